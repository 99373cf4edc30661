'use strict';

// A flight of a pinned session (pinned-session.js): what is sent at once, its call, and its results.

const { FLAG } = require('../core/numbers.js');
const { PromisedCall } = require('../core/promised-call.js');

/** Kinds of grants that a flight gets; the numbers are a contract with src/query/pinned/results.rs. */
const GRANT = { RESULT: 1, TAG: 2, SUSPENDED: 3 };

/** What a fenced node says of a statement that writes. */
const READ_ONLY = '25006';
/** @type {readonly any[]} */
const NO_FIELDS = Object.freeze([]);

/** @typedef {{ text: string, values?: readonly (null | string | Buffer)[], name?: string }} FlightText */

/**
 * @typedef {object} RawField a column as RowDescription has it
 * @property {string} name
 * @property {number} tableOid
 * @property {number} columnNumber
 * @property {number} typeOid
 * @property {number} typeSize
 * @property {number} typeModifier
 */

/** The result of one statement. */
class RawResult {
  /**
   * @param {any[]} rows
   * @param {readonly RawField[]} fields
   * @param {string} tag the command tag: 'INSERT 0 1'; nothing for an empty query
   */
  constructor(rows, fields, tag) {
    this.rows = rows;
    this.fields = fields;
    this.tag = tag;
  }
}

/** @param {string} tag without its count @param {number} count */
const withCount = (tag, count) => (tag.endsWith(' ') ? tag + count : tag);

/**
 * What a call needs of its session.
 * @typedef {object} Session
 * @property {boolean} isSuspect
 * @property {(status: number) => void} answered
 * @property {(call: FlightCall, deliver: () => void) => void} whenLooked
 */

class FlightCall extends PromisedCall {
  /**
   * @param {Session} session
   * @param {import('../core/statements.js').Statement} statement
   */
  constructor(session, statement) {
    super();
    this.session = session;
    this.statement = statement;
    /** Those that have ended before the last one. @type {RawResult[] | undefined} */
    this.results = undefined;
    this.suspended = false;
    this.onGrant = this.granted;
  }

  /** @param {number} kind @param {number} count @param {string} tag */
  granted(kind, count, tag) {
    if (kind === GRANT.RESULT) {
      this.results ??= [];
      this.results.push(new RawResult(this.rows, this.fields, withCount(tag, count)));
      this.rows = [];
      this.shape = null;
    } else if (kind === GRANT.TAG) {
      this.statement.tag = tag;
    } else {
      this.suspended = true;
    }
  }

  /** @returns {readonly any[]} */
  get fields() {
    return this.shape === null ? NO_FIELDS : this.shape.fields;
  }

  finish() {
    this.session.answered(this.node);
    const tag = this.suspended ? '' : withCount(this.statement.tag ?? '', this.rowCount);
    const last = new RawResult(this.rows, this.fields, tag);
    const results = this.results === undefined ? [last] : [...this.results, last];
    if (this.session.isSuspect) this.session.whenLooked(this, () => this.resolve(results));
    else this.resolve(results);
  }

  /** @param {Error} error */
  fail(error) {
    this.session.answered(this.node);
    if (/** @type {any} */ (error).code === READ_ONLY) this.session.isSuspect = true;
    if (this.session.isSuspect) this.session.whenLooked(this, () => this.reject(error));
    else this.reject(error);
  }
}

/** @param {FlightText} flight @param {boolean} binary */
function flagsOf({ values, name }, binary) {
  if (values === undefined) return FLAG.SIMPLE;
  if (binary) return FLAG.BINARY;
  return name === undefined ? 0 : FLAG.NAMED;
}

module.exports = { FlightCall, flagsOf };
