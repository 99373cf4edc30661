'use strict';

// The options of openDatabase() and of its transactions, a row each.

const { boolean, choice, ms } = require('./validate.js');

/** @typedef {import('./validate.js').Rows} Rows */

/** All are SQLite's: a pool has its own. @satisfies {Rows} */
const DATABASE = {
  driver: {
    type: "'node:sqlite' | 'better-sqlite3'",
    preset: 'the first that is there, `node:sqlite` before `better-sqlite3`',
    check: choice(['node:sqlite', 'better-sqlite3']),
    text: 'what runs SQLite; one that is not there rejects with ERR_NO_SQLITE',
  },
  readOnly: {
    type: 'boolean',
    value: false,
    check: boolean,
    text: 'opens a file that is there, and refuses writes with 25006',
  },
  busyTimeoutMs: {
    type: 'number',
    value: 5_000,
    check: ms(0),
    text: 'how long work waits while another process writes to the file, before it rejects with 55P03',
  },
};

/** @satisfies {Rows} */
const DATABASE_TRANSACTION = {
  nested: {
    type: "'join' | 'savepoint'",
    value: 'join',
    check: choice(['join', 'savepoint']),
    text:
      "what it is within another transaction of the same database; `'savepoint'`: its failure is undone alone, and the outer one " +
      'lives',
  },
};

module.exports = { DATABASE, DATABASE_TRANSACTION };
