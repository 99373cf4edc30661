'use strict';

// The channels of node:diagnostics_channel, and the messages of statements and transactions on them.
//
// A TracingChannel is five channels, whose names are a part of Node's documentation (`tracing:<name>:start` and so on). They are made by
// these names, because a runtime may have channel() without tracingChannel().

const { channel } = require('node:diagnostics_channel');

/** A TracingChannel. Each piece of work is told as start, end, asyncStart and asyncEnd, and as error before asyncStart if it failed. */
class Tracing {
  /** @param {string} name */
  constructor(name) {
    this.start = channel(`tracing:${name}:start`);
    this.end = channel(`tracing:${name}:end`);
    this.asyncStart = channel(`tracing:${name}:asyncStart`);
    this.asyncEnd = channel(`tracing:${name}:asyncEnd`);
    this.error = channel(`tracing:${name}:error`);
  }

  /** Whether anybody listens. */
  get isListened() {
    return (
      this.start.hasSubscribers ||
      this.asyncEnd.hasSubscribers ||
      this.error.hasSubscribers ||
      this.end.hasSubscribers ||
      this.asyncStart.hasSubscribers
    );
  }

  /**
   * Tells of the start, and calls `begin` with what subscribers have bound to it (bindStore), which stays bound in all that follows
   * from it.
   * @template T
   * @param {object} message
   * @param {() => Promise<T>} begin an async function, so it does not throw
   * @returns {Promise<T>}
   */
  run(message, begin) {
    const { start, end } = this;
    const beginAndEnd = () => {
      const promise = begin();
      end.publish(message);
      return promise;
    };
    if (typeof start.runStores === 'function') return start.runStores(message, beginAndEnd);
    start.publish(message);
    return beginAndEnd();
  }

  /** Tells that the work has ended. @param {object} message @param {boolean} hasFailed */
  settle(message, hasFailed) {
    if (hasFailed) this.error.publish(message);
    this.asyncStart.publish(message);
    this.asyncEnd.publish(message);
  }
}

/** A statement, or one of a batch. */
class StatementMessage {
  #parameters;

  /** @param {string} sql @param {unknown} parameters */
  constructor(sql, parameters) {
    this.sql = sql;
    /** What is sent in its place, if a subscriber to `start` sets it. @type {string | undefined} */
    this.text = undefined;
    /** @type {string | undefined} */
    this.node = undefined;
    /** @type {number | undefined} */
    this.rowCount = undefined;
    this.waitMs = 0;
    /** @type {unknown} */
    this.error = undefined;
    this.#parameters = parameters;
  }

  /** Not a property of its own: whoever prints the message does not print them. */
  get parameters() {
    return Array.isArray(this.#parameters) ? this.#parameters : [];
  }
}

/** @typedef {'query' | 'read' | 'stream' | 'batch' | 'exec' | 'copyFrom' | 'copyTo'} Operation */

/** What hyperiondb:query tells. */
class QueryMessage extends StatementMessage {
  /**
   * @param {unknown} pool
   * @param {Operation} operation
   * @param {string} sql
   * @param {unknown} parameters
   * @param {TransactionMessage | undefined} transaction
   */
  constructor(pool, operation, sql, parameters, transaction) {
    super(sql, parameters);
    this.operation = operation;
    this.pool = pool;
    this.transaction = transaction;
    /** Those of a batch. @type {StatementMessage[] | undefined} */
    this.statements = undefined;
  }
}

/** What hyperiondb:transaction tells. */
class TransactionMessage {
  /** @param {unknown} pool @param {Record<string, any>} options of BEGIN */
  constructor(pool, { isolation, readOnly, deferrable, durability }) {
    this.pool = pool;
    this.isolation = isolation;
    this.readOnly = readOnly;
    this.deferrable = deferrable;
    this.durability = durability;
    /** How often it was begun. */
    this.attempts = 0;
    /** @type {string | undefined} */
    this.node = undefined;
    /** @type {'committed' | 'rolled back' | 'prepared' | 'unknown' | undefined} */
    this.outcome = undefined;
    /** @type {unknown} */
    this.error = undefined;
  }
}

/**
 * Writes into a message. Its subscribers may have frozen it, which must fail nothing.
 * @template {object} T
 * @param {T} message
 * @param {Partial<T>} members
 */
function fill(message, members) {
  try {
    Object.assign(message, members);
  } catch {
    // It stays as it is.
  }
}

const QUERIES = new Tracing('hyperiondb:query');
const TRANSACTIONS = new Tracing('hyperiondb:transaction');
const FAILOVERS = channel('hyperiondb:failover');

module.exports = { FAILOVERS, QUERIES, QueryMessage, StatementMessage, TRANSACTIONS, TransactionMessage, fill };
