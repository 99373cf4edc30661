'use strict';

// Placeholders: from `?`, `$n` and `?n` to what an engine takes. They are found by scanners that know what is a string, a comment or a
// quoted name: for PostgreSQL the lexer of lib/core/sql-tokens.js, for SQLite the one of sqlite-lexer.js. The engines differ: [a] is a
// name in SQLite, comments nest in PostgreSQL only, and only PostgreSQL has E'...' and dollar quotes.
//
// `??` stands for a single `?` in PostgreSQL's operators: `doc ?? 'key'`, `doc ??| ARRAY[...]`, `doc @?? '$.a'`. SQLite has no such
// operator, so that it is refused there.

const { Lexer } = require('../../core/sql-tokens.js');
const { ParameterError } = require('../../errors.js');
const { SqliteLexer } = require('./sqlite-lexer.js');

/** A number of 16 bits counts the parameters in the protocol (PostgreSQL docs, 55.7, Bind). */
const MOST_PARAMETERS = 65_535;

/**
 * @typedef {object} Translation
 * @property {string} text as the engine takes it
 * @property {number} count of the parameters
 * @property {readonly number[] | null} order which parameter each `?` of SQLite stands for, from 0; null: in their order
 */

/** The placeholders of a statement while they are found. */
class Placeholders {
  /** @type {'?' | '$n' | null} */
  #style = null;
  #isEmpty = true;
  /** The parameter of each placeholder, from 0. @type {number[]} */
  order = [];

  /** @param {'?' | '$n'} style */
  #use(style) {
    if (this.#style !== null && this.#style !== style) {
      throw new ParameterError('sql: ? and numbered placeholders ($1, ?1) cannot be mixed in one statement');
    }
    this.#style = style;
  }

  /** A `?`; returns its number, from 1. */
  next() {
    this.#use('?');
    return this.order.push(this.order.length);
  }

  /** A `$n` or `?n`; returns its number. @param {string} digits */
  numbered(digits) {
    this.#use('$n');
    const number = Number(digits);
    if (number < 1 || number > MOST_PARAMETERS) {
      throw new ParameterError(`sql: placeholders are numbered from 1 to ${MOST_PARAMETERS}, not ${digits}`);
    }
    this.order.push(number - 1);
    return number;
  }

  /** Takes note of any token. @param {string} sql @param {{ kind: string, start: number }} token */
  see(sql, { kind, start }) {
    if (kind !== 'space' && sql[start] !== ';') this.#isEmpty = false;
  }

  /** How many parameters there are. A number that is left out is an error: the server could not know the type of that parameter. */
  count() {
    if (this.#isEmpty) throw new ParameterError('sql has no statement');
    if (this.#style !== '$n') return this.order.length;
    const used = new Set(this.order);
    const highest = Math.max(...used);
    for (let i = 0; i < highest; i++) {
      if (!used.has(i)) throw new ParameterError(`sql: the statement has $${highest + 1}, but not $${i + 1}`);
    }
    return highest + 1;
  }

  /** Whether each parameter is used once, and in its order. */
  get inOrder() {
    return this.order.every((parameter, i) => parameter === i);
  }
}

/** The digits that begin at `from`. @param {string} sql @param {number} from */
function digitsAt(sql, from) {
  const digits = /\d*/y;
  digits.lastIndex = from;
  return /** @type {RegExpExecArray} */ (digits.exec(sql))[0];
}

const NAME_CHARACTER = /[\w$\u0080-\uffff]/;

/**
 * For PostgreSQL: `$n`. A space keeps a `$n` from what was next to its `?` and would run into it: `LIMIT?` is no `LIMIT$1`.
 * @param {string} sql
 * @returns {Translation}
 */
function forPostgres(sql) {
  const lexer = new Lexer(sql);
  const found = new Placeholders();
  let text = '';
  let copied = 0;
  /** @param {string} replacement @param {number} end */
  const replace = (replacement, end) => {
    text += sql.slice(copied, lexer.start) + replacement;
    copied = end;
    lexer.end = end;
  };
  while (lexer.next()) {
    found.see(sql, lexer);
    if (lexer.kind !== 'sign') continue;
    const sign = sql[lexer.start];
    if (sign !== '?' && sign !== '$') continue;
    if (sign === '?' && sql[lexer.end] === '?') {
      replace('?', lexer.end + 1);
      continue;
    }
    const digits = digitsAt(sql, lexer.end);
    const end = lexer.end + digits.length;
    if (sign === '$') {
      if (digits === '') continue;
      found.numbered(digits);
      lexer.end = end;
      continue;
    }
    const number = digits === '' ? found.next() : found.numbered(digits);
    const before = lexer.start > 0 && NAME_CHARACTER.test(sql[lexer.start - 1]) ? ' ' : '';
    const after = end < sql.length && NAME_CHARACTER.test(sql[end]) ? ' ' : '';
    replace(`${before}$${number}${after}`, end);
  }
  return { text: text + sql.slice(copied), count: found.count(), order: null };
}

/**
 * For SQLite: `?`, with the order of the parameters. `?n` and `$n` are names of parameters to its drivers.
 * @param {string} sql
 * @returns {Translation}
 */
function forSqlite(sql) {
  const lexer = new SqliteLexer(sql);
  const found = new Placeholders();
  let text = '';
  let copied = 0;
  while (lexer.next()) {
    found.see(sql, lexer);
    if (lexer.kind !== 'variable') continue;
    const token = sql.slice(lexer.start, lexer.end);
    if (token === '?' && sql[lexer.end] === '?') {
      throw new ParameterError('sql: ?? is the operator ? of jsonb, which SQLite does not have');
    }
    if (token === '?') found.next();
    else if (/^[?$]\d+$/.test(token)) found.numbered(token.slice(1));
    else throw new ParameterError(`sql: ${token} is a named parameter: parameters are ? or $1`);
    text += `${sql.slice(copied, lexer.start)}?`;
    copied = lexer.end;
  }
  const count = found.count();
  return { text: text + sql.slice(copied), count, order: found.inOrder ? null : found.order };
}

module.exports = { forPostgres, forSqlite };
