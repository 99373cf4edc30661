'use strict';

// What SQLite reports, as a DatabaseError with the SQLSTATE that PostgreSQL has for the same (PostgreSQL docs, Appendix A). The codes
// of SQLite: sqlite.org/rescode.html. `sqliteCode` has the one of the error.

const { DatabaseError } = require('../../errors.js');

/** By the extended code: its name and the SQLSTATE. @type {Readonly<Record<number, readonly [name: string, state: string]>>} */
const EXTENDED = {
  275: ['SQLITE_CONSTRAINT_CHECK', '23514'],
  531: ['SQLITE_CONSTRAINT_COMMITHOOK', '23000'],
  787: ['SQLITE_CONSTRAINT_FOREIGNKEY', '23503'],
  1299: ['SQLITE_CONSTRAINT_NOTNULL', '23502'],
  1555: ['SQLITE_CONSTRAINT_PRIMARYKEY', '23505'],
  1811: ['SQLITE_CONSTRAINT_TRIGGER', 'P0001'],
  2067: ['SQLITE_CONSTRAINT_UNIQUE', '23505'],
  2579: ['SQLITE_CONSTRAINT_ROWID', '23505'],
  3091: ['SQLITE_CONSTRAINT_DATATYPE', '42804'],
};

/** By the primary code, which is the lower byte of an extended one. @type {typeof EXTENDED} */
const PRIMARY = {
  1: ['SQLITE_ERROR', '42000'],
  4: ['SQLITE_ABORT', '57014'],
  5: ['SQLITE_BUSY', '55P03'],
  6: ['SQLITE_LOCKED', '55P03'],
  7: ['SQLITE_NOMEM', '53200'],
  8: ['SQLITE_READONLY', '25006'],
  9: ['SQLITE_INTERRUPT', '57014'],
  10: ['SQLITE_IOERR', '58030'],
  11: ['SQLITE_CORRUPT', 'XX001'],
  13: ['SQLITE_FULL', '53100'],
  14: ['SQLITE_CANTOPEN', '58030'],
  18: ['SQLITE_TOOBIG', '54000'],
  19: ['SQLITE_CONSTRAINT', '23000'],
  20: ['SQLITE_MISMATCH', '42804'],
  23: ['SQLITE_AUTH', '42501'],
  25: ['SQLITE_RANGE', '08P01'],
  26: ['SQLITE_NOTADB', 'XX001'],
};

/** SQLITE_ERROR is told by its message alone. @type {readonly [RegExp, string][]} */
const BY_MESSAGE = [
  [/syntax error|unrecognized token|incomplete input|^no tables specified/, '42601'],
  [/^no such table|^no such view/, '42P01'],
  [/^no such column|has no column named/, '42703'],
  [/^no such function|^wrong number of arguments to function/, '42883'],
  [/^(?:table|view|index|trigger|there is already an? \w+).* already|^index .* already exists/, '42P07'],
  [/^ambiguous column name/, '42702'],
  [/^duplicate column name/, '42701'],
  [/^no such index|^no such trigger|^no such collation/, '42704'],
  [/^integer overflow/, '22003'],
  [/^malformed JSON/, '22P02'],
  [/values for \d+ columns|has \d+ columns but/, '42601'],
  [/^misuse of aggregate|^a GROUP BY clause is required/, '42803'],
  [/too many SQL variables/, '54023'],
];

/**
 * The code of an error of a driver: node:sqlite has it as a number, better-sqlite3 as a name.
 * @param {any} error
 * @returns {readonly [name: string, state: string] | null} null: it is no error of SQLite
 */
function codeOf({ errcode, code }) {
  if (typeof errcode === 'number')
    return EXTENDED[errcode] ?? PRIMARY[errcode & 0xff] ?? [`SQLITE_${errcode}`, 'XX000'];
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) return null;
  const exact = [...Object.values(EXTENDED), ...Object.values(PRIMARY)].find(([name]) => name === code);
  if (exact !== undefined) return exact;
  // An extended code that is not in the table has the state of its primary code.
  const primary = Object.values(PRIMARY).find(([name]) => code.startsWith(`${name}_`));
  return [code, primary?.[1] ?? 'XX000'];
}

/** The parts of a message that PostgreSQL's errors have as fields. @param {string} state @param {string} message */
function fieldsOf(state, message) {
  const [, names = ''] = /constraint failed: (.*)$/s.exec(message) ?? [];
  if (state === '23514') return { constraint: names };
  const [, table, column] = /^([^.,]+)\.([^.,]+)/.exec(names) ?? [];
  if (table === undefined) return {};
  return state === '23502' ? { table, column } : { table };
}

/**
 * @param {string} message
 * @param {string} state SQLSTATE
 * @param {Record<string, unknown>} [fields]
 */
function databaseError(message, state, fields = {}) {
  return Object.assign(new DatabaseError(message, state), {
    severity: 'ERROR',
    outcome: 'not-applied',
    attempts: 1,
    ...fields,
  });
}

/**
 * What a caller is told of an error; one that is not of SQLite as it is.
 * @param {any} error
 */
function fromSqlite(error) {
  const found = codeOf(error ?? {});
  if (found === null) return error;
  const [sqliteCode, known] = found;
  const { message } = error;
  const state = known === '42000' ? (BY_MESSAGE.find(([pattern]) => pattern.test(message))?.[1] ?? known) : known;
  return databaseError(message, state, { sqliteCode, ...fieldsOf(state, message) });
}

/** Whether another connection holds the file. @param {any} error */
const isBusy = (error) => codeOf(error ?? {})?.[1] === '55P03';

module.exports = { databaseError, fromSqlite, isBusy };
