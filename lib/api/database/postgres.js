'use strict';

// openDatabase() over a pool: statements go to the pool, or to the transaction of their scope.

const { createPool } = require('../pool.js');
const { forPostgres } = require('./placeholders.js');

/** @typedef {import('./scope.js').Session} Session */

/** How values arrive, whatever a pool that was handed in has chosen; only its parsers stay. */
const TYPES = Object.freeze({ int8: 'bigint', numeric: 'string', date: 'string', json: 'parse' });
const OPTIONS = Object.freeze({ types: TYPES });

/** Commands whose count is the number of rows that were changed. */
const CHANGES = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/** A BigInt as a number, where no digit is lost. In arrays, too. @param {unknown} value @returns {unknown} */
function narrow(value) {
  if (typeof value === 'bigint') {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }
  return Array.isArray(value) ? value.map(narrow) : value;
}

/** Makes numbers of the int8 values that fit: SQLite has one type of integers. @param {any} rows */
function narrowed(rows) {
  for (const { name, typeName } of rows.fields) {
    if (typeName !== 'int8' && typeName !== '_int8') continue;
    for (const row of rows) {
      // Not by assignment, because the column may be called __proto__.
      if (name === '__proto__') Object.defineProperty(row, name, { value: narrow(row[name]) });
      else row[name] = narrow(row[name]);
    }
  }
  return rows;
}

/**
 * @param {{ query: Function, exec: Function }} runner a pool or a transaction
 * @returns {Session}
 */
const sessionOf = (runner) => ({
  async execute(kind, { text }, params) {
    const rows = await runner.query(text, params, OPTIONS);
    if (kind === 'run') return { changes: CHANGES.has(rows.command) ? rows.rowCount : 0, lastInsertRowid: null };
    narrowed(rows);
    return kind === 'get' ? rows[0] : rows;
  },
  async exec(script) {
    await runner.exec(script);
  },
  async command(sql) {
    await runner.query(sql);
  },
});

class PostgresEngine {
  name = /** @type {const} */ ('postgres');
  translate = forPostgres;
  /** The pool looks at the parameters itself. @param {unknown} _statement @param {readonly unknown[]} params */
  bind = (_statement, params) => params;
  #pool;
  #isOurs;
  /** @type {Session} */
  #session;

  /**
   * @param {import('../pool.js').Pool} pool
   * @param {boolean} isOurs whether close() ends it
   */
  constructor(pool, isOurs) {
    this.#pool = pool;
    this.#isOurs = isOurs;
    this.#session = sessionOf(pool);
  }

  /**
   * Runs work outside of transactions.
   * @template T
   * @param {(session: Session) => Promise<T>} work
   */
  run(work) {
    return work(this.#session);
  }

  /**
   * @template T
   * @param {(session: Session) => Promise<T>} body
   * @returns {Promise<T>}
   */
  transaction(body) {
    return /** @type {Promise<T>} */ (this.#pool.transaction((tx) => body(sessionOf(tx))));
  }

  async close() {
    if (this.#isOurs) await this.#pool.end();
  }
}

/** @param {unknown} options of a pool, or a connection string */
const openPostgres = (options) => new PostgresEngine(createPool(options), true);

module.exports = { PostgresEngine, openPostgres };
