// Run by register.test.js: what import gives of pg and its packages, beside what require() gives.

import { createRequire } from 'node:module';
import pg, { Pool } from 'pg';
import * as all from 'pg';
import Cursor from 'pg-cursor';
import manifest from 'pg/package.json' with { type: 'json' };
import connectionParameters from 'pg/lib/connection-parameters';
import typeOverrides from 'pg/lib/type-overrides.js';
import { prepareValue } from 'pg/lib/utils';
import PgPool from 'pg-pool';
import { DatabaseError } from 'pg-protocol';
import QueryStream from 'pg-query-stream';
import types, { getTypeParser } from 'pg-types';

const require = createRequire(import.meta.url);
const required = require('pg');

/** @param {Promise<unknown>} loading */
const failure = (loading) =>
  loading.then(
    () => undefined,
    ({ code, message }) => ({ code, message }),
  );

console.log(
  JSON.stringify({
    same: {
      pg: pg === required,
      Pool: Pool === required.Pool,
      'pg-cursor': Cursor === required.Cursor,
      'pg-pool': PgPool === required.Pool,
      'pg-protocol': DatabaseError === required.DatabaseError,
      'pg-query-stream': QueryStream === required.QueryStream,
      'pg-types': types === required.types && getTypeParser === types.getTypeParser,
      'pg/lib/type-overrides.js': typeOverrides === required.TypeOverrides,
      'pg/lib/utils': prepareValue === require('pg/lib/utils').prepareValue,
      'pg/lib/connection-parameters': connectionParameters === require('pg/lib/connection-parameters'),
      'a file of CommonJS that is imported': (await import('./modules.cjs')).default.same['pg-pool'],
    },
    names: Object.keys(all).sort(),
    isUndefined: Object.entries(all)
      .filter(([, value]) => value === undefined)
      .map(([name]) => name),
    version: manifest.version,
    failures: await Promise.all(['pg-native', 'pg/lib/stream'].map((name) => failure(import(name)))),
  }),
);
