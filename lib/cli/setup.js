'use strict';

// `setup exactly-once`: the table of exactly-once transactions, as SQL to read, or made on the primary.

const { OptionError } = require('../errors.js');
const { OUTCOMES } = require('../options/exactly-once-rows.js');
const { tableDdl, tableGrant } = require('../api/exactly-once/marker-table.js');
const { UsageError } = require('./arguments.js');

/**
 * Prints the SQL, and runs it if that is asked for.
 * @param {import('./arguments.js').Arguments} asked
 * @param {(options: import('../../client.js').PoolOptions) => import('../../client.js').Pool} openPool
 * @param {NodeJS.WritableStream} out
 * @returns {Promise<number>} the exit code
 */
async function setUp({ apply, grant, pool: options, table: given }, openPool, out) {
  const { value: preset, check } = OUTCOMES.exactlyOnceTable;
  let table = preset;
  try {
    if (given !== undefined) table = /** @type {string} */ (check(given, '--table'));
  } catch (error) {
    throw error instanceof OptionError ? new UsageError(error.message) : error;
  }
  const statements = [...tableDdl(table), ...(grant === undefined ? [] : [tableGrant(table, grant)])];
  if (!apply) {
    const rights =
      grant === undefined
        ? `-- For each role that uses the table and does not own it:\n-- ${tableGrant(table, 'role')};\n`
        : '';
    out.write(`${statements.map((statement) => `${statement};\n`).join('')}${rights}`);
    return 0;
  }
  const pool = openPool({ ...options, applicationName: 'hyperiondb-client setup' });
  try {
    await pool.batch(statements, { transaction: true });
  } finally {
    await pool.end();
  }
  out.write(`the table ${table} is there\n`);
  return 0;
}

module.exports = { setUp };
