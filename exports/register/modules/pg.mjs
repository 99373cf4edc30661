// The names that `import { ... } from 'pg'` finds.

import { createRequire } from 'node:module';

const pg = createRequire(import.meta.url)('./pg.js');

export const {
  Client,
  Connection,
  DatabaseError,
  Pool,
  Query,
  Result,
  TypeOverrides,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  types,
} = pg;
export default pg;
