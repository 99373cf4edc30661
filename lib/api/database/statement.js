'use strict';

// What prepare() returns: the text for the engine, and the three ways to run it.

const { ParameterError } = require('../../errors.js');
const { leadingWords, transactionControl } = require('../../core/sql-tokens.js');

/** @typedef {'get' | 'all' | 'run'} Kind */

const SAVEPOINTS = new Set(['SAVEPOINT', 'RELEASE', 'ROLLBACK']);

/**
 * Refuses what tx() does: a statement of its own that begins or ends a transaction would not be known to it.
 * @param {string} sql
 */
function checkControl(sql) {
  const [first = ''] = leadingWords(sql, 1);
  if (transactionControl(sql) !== null) throw new ParameterError(`sql: ${first} cannot be prepared: use tx()`);
  if (!SAVEPOINTS.has(first)) return;
  throw new ParameterError(`sql: ${first} cannot be prepared: use tx(fn, { nested: 'savepoint' })`);
}

/** @param {unknown} sql @param {string} name */
function checkText(sql, name) {
  if (typeof sql !== 'string') {
    throw new ParameterError(`${name} must be a string, not ${sql === null ? 'null' : typeof sql}`);
  }
  if (sql.includes('\0')) throw new ParameterError(`${name} contains a NUL character`);
  if (!sql.isWellFormed()) throw new ParameterError(`${name} contains an unpaired surrogate, which UTF-8 cannot hold`);
  return sql;
}

class Statement {
  /** @type {(kind: Kind, statement: Statement, params: readonly unknown[]) => Promise<any>} */
  #call;

  /**
   * @param {import('./placeholders.js').Translation} translation
   * @param {(kind: Kind, statement: Statement, params: readonly unknown[]) => Promise<any>} call
   */
  constructor({ text, count, order }, call) {
    /** The text for the engine. */
    this.text = text;
    this.count = count;
    this.order = order;
    this.#call = call;
    Object.freeze(this);
  }

  /** @param {...unknown} params */
  get(...params) {
    return this.#call('get', this, params);
  }

  /** @param {...unknown} params */
  all(...params) {
    return this.#call('all', this, params);
  }

  /** @param {...unknown} params */
  run(...params) {
    return this.#call('run', this, params);
  }

  /** Refuses parameters that no engine takes. @param {readonly unknown[]} params */
  check(params) {
    if (params.length !== this.count) {
      throw new ParameterError(`the statement takes ${this.count} parameters, ${params.length} were given`);
    }
    const missing = params.indexOf(undefined);
    if (missing !== -1) throw new ParameterError(`parameter $${missing + 1} is undefined: null is NULL`);
  }
}

module.exports = { Statement, checkControl, checkText };
