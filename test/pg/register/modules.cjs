// Run by register.test.js: what require() gives of pg and its packages.
'use strict';

const pg = require('pg');

/** @param {() => unknown} load */
function failure(load) {
  try {
    load();
  } catch (error) {
    const { code, message } = /** @type {any} */ (error);
    return { code, message };
  }
  return undefined;
}

module.exports = {
  same: {
    'pg/lib': require('pg/lib') === pg,
    'pg/lib/index.js': require('pg/lib/index.js') === pg,
    'pg-pool': require('pg-pool') === pg.Pool,
    'pg-cursor': require('pg-cursor') === pg.Cursor,
    'pg-query-stream': require('pg-query-stream') === pg.QueryStream,
    'pg-types': require('pg-types') === pg.types,
    'pg-protocol': require('pg-protocol').DatabaseError === pg.DatabaseError,
    'pg/lib/client': require('pg/lib/client') === pg.Client,
    'pg/lib/connection.js': require('pg/lib/connection.js') === pg.Connection,
    'pg/lib/defaults': require('pg/lib/defaults') === pg.defaults,
    'pg/lib/query': require('pg/lib/query') === pg.Query,
    'pg/lib/result.js': require('pg/lib/result.js') === pg.Result,
    'pg/lib/type-overrides': require('pg/lib/type-overrides') === pg.TypeOverrides,
    'pg/lib/utils': require('pg/lib/utils').prepareValue(7) === '7',
    'pg/lib/connection-parameters': new (require('pg/lib/connection-parameters'))({ host: 'db1' }).host === 'db1',
  },
  isDefined: [
    'Client',
    'Connection',
    'Cursor',
    'DatabaseError',
    'Pool',
    'Query',
    'QueryStream',
    'Result',
    'TypeOverrides',
  ].filter((name) => typeof pg[name] !== 'function'),
  version: require('pg/package.json').version,
  native: pg.native,
  failures: ['pg-native', 'pg/native', 'pg/lib/native', 'pg/lib/stream'].map((name) => failure(() => require(name))),
  protocol: Object.keys(require('pg-protocol')).sort(),
};

if (require.main === module) console.log(JSON.stringify(module.exports));
