'use strict';

// Tells those who watch a pool what runs: the logger (log.js), the listeners of the event `slow`, and the subscribers of
// node:diagnostics_channel (channels.js). All that runs statements asks `isWatching` first, so that nothing is paid while nobody
// watches.
//
// Nothing here may fail a statement or lose its result. What a subscriber throws is Node's matter: publish() hands it to
// 'uncaughtException' in a later tick.

const { FAILOVERS, QUERIES, QueryMessage, StatementMessage, fill } = require('./channels.js');
const { logOf } = require('./log.js');
const { Tracer } = require('./tracer.js');

/** @typedef {import('./channels.js').Operation} Operation */
/** @typedef {import('./core-link.js').Call} Call */
/** A statement of a batch; `text` is sent in place of `sql`. @typedef {{ sql: string, params: readonly unknown[], text?: string }} Item */
/**
 * The pool.
 * @typedef {object} Owner
 * @property {(event: string) => number} listenerCount
 * @property {(event: string, detail: object) => boolean} emit
 * @property {<T>(work: () => T) => T} outside
 */

/** Of the options of a pool that another one opens beside itself: that one, in whose name it runs statements. */
const OUTER = Symbol('outer pool');

/** Those whose logger is told parameters. @type {readonly Operation[]} */
const WITH_PARAMETERS = ['query', 'read', 'stream', 'batch'];

/** A statement that is watched. What sends it says here what became of it. */
class Watched {
  startedAt = performance.now();
  /** @type {Call | undefined} */
  call;
  /** That of the batch of which it is one. @type {Call | undefined} */
  whole;
  /** When it has ended, if it is reported later. @type {number | undefined} */
  endedAt;
  /** The node, if the call does not say it. @type {string | undefined} */
  node;
  /** Rows returned or changed, if the result does not say it. @type {number | undefined} */
  rowCount;
  /** Whether its reader has left before its end: what it fails with then is no failure. */
  isLeft = false;

  /** @param {Operation} operation @param {string} sql @param {unknown[] | undefined} parameters for logger and listeners */
  constructor(operation, sql, parameters) {
    this.operation = operation;
    this.sql = sql;
    /** What is to be sent. */
    this.text = sql;
    this.parameters = parameters;
  }

  /** Takes the call when it is sent. */
  sent = (/** @type {Call} */ call) => {
    this.call = call;
  };
}

class Observer {
  /** The pool of the user. @type {Owner} */
  #owner;
  /** Whether the pool is one that another one has opened. */
  #isInner;
  #nodes;
  #log;
  #logParameters;
  /** From which duration on a statement is slow. */
  #slowMs;
  /** Whether the options ask for reports of statements. */
  #tells;

  /**
   * @param {Owner} owner
   * @param {readonly string[]} nodes their names
   * @param {Readonly<Record<string, any>>} options of the pool
   */
  constructor(owner, nodes, options) {
    const { logger, logParameters, slowQueryMs } = options;
    const outer = /** @type {any} */ (options)[OUTER];
    this.#owner = outer ?? owner;
    this.#isInner = outer !== undefined;
    this.#nodes = nodes;
    /** Tells of transactions. */
    this.tracer = new Tracer(this.#owner, nodes);
    this.#log = logOf(logger);
    this.#logParameters = logParameters === true;
    this.#slowMs = slowQueryMs ?? Infinity;
    this.#tells = logger !== undefined || slowQueryMs !== undefined;
  }

  /** Whether anybody wants to know of statements. */
  get isWatching() {
    return this.#tells || QUERIES.isListened;
  }

  /**
   * Tells of an event of the pool.
   * @param {string} event
   * @param {any} detail
   */
  event(event, detail) {
    // Both pools see what happens to the nodes.
    if (this.#isInner) return;
    this.#log?.event(event, detail);
    if (event === 'failover' && FAILOVERS.hasSubscribers) FAILOVERS.publish({ ...detail, pool: this.#owner });
  }

  /**
   * Runs a statement that is watched.
   * @template T
   * @param {Operation} operation
   * @param {string} sql
   * @param {unknown} params
   * @param {number} transaction 0: none
   * @param {(watched: Watched) => Promise<T>} work sends `watched.text`
   * @returns {Promise<T>}
   */
  run(operation, sql, params, transaction, work) {
    const watched = new Watched(operation, sql, this.#parametersOf(operation, params));
    if (!QUERIES.isListened) return this.#follow(watched, undefined, work);
    const message = new QueryMessage(this.#owner, operation, sql, params, this.tracer.messageOf(transaction));
    return QUERIES.run(message, () => {
      if (typeof message.text === 'string') watched.text = message.text;
      return this.#follow(watched, message, work);
    });
  }

  /**
   * Runs a batch that is watched.
   * @template T
   * @param {Item[]} items
   * @param {(items: Item[], sent: (results: Promise<any>[], calls: Call[], whole: Call) => void) => Promise<T>} work
   *   sends the items that it is given, and says when they are sent
   * @returns {Promise<T>}
   */
  runBatch(items, work) {
    const all = items.map(({ sql, params }) => new Watched('batch', sql, this.#parametersOf('batch', params)));
    if (!QUERIES.isListened) return this.#followBatch(items, all, [], undefined, work);
    const sql = items.map((item) => item.sql).join(';\n');
    const message = new QueryMessage(this.#owner, 'batch', sql, undefined, undefined);
    const parts = items.map((item) => new StatementMessage(item.sql, item.params));
    message.statements = [...parts];
    return QUERIES.run(message, () => {
      const given = items.map((item, index) => {
        const { text } = parts[index];
        return typeof text === 'string' && text !== item.sql ? { ...item, text } : item;
      });
      return this.#followBatch(given, all, parts, message, work);
    });
  }

  /**
   * @template T
   * @param {Watched} watched
   * @param {QueryMessage | undefined} message
   * @param {(watched: Watched) => Promise<T>} work
   */
  async #follow(watched, message, work) {
    let result;
    try {
      result = await begun(work, watched);
    } catch (error) {
      if (watched.isLeft) this.#ended(watched, message, watched.rowCount, false, undefined);
      else this.#ended(watched, message, undefined, true, error);
      throw error;
    }
    this.#ended(watched, message, /** @type {any} */ (result)?.rowCount, false, undefined);
    return result;
  }

  /**
   * @template T
   * @param {Item[]} items
   * @param {Watched[]} all
   * @param {StatementMessage[]} parts of the message
   * @param {QueryMessage | undefined} message
   * @param {(items: Item[], sent: (results: Promise<any>[], calls: Call[], whole: Call) => void) => Promise<T>} work
   */
  async #followBatch(items, all, parts, message, work) {
    /** @type {Promise<Ending>[]} */
    let endings = [];
    const sent = (/** @type {Promise<any>[]} */ results, /** @type {Call[]} */ calls, /** @type {Call} */ whole) => {
      for (const [index, watched] of all.entries()) Object.assign(watched, { call: calls[index], whole });
      endings = results.map((result, index) => endingOf(all[index], result));
    };
    // Behind the end of the whole, which alone says how long the batch has waited for its connection.
    const end = async (/** @type {boolean} */ hasFailed, /** @type {unknown} */ error) => {
      const known = await Promise.all(endings);
      for (const [index, watched] of all.entries()) {
        // A batch of which nothing was sent has no other endings.
        const { rowCount, hasFailed: has, error: own } = known[index] ?? { rowCount: undefined, hasFailed, error };
        if (known.length > 0) this.#fill(watched, parts[index], rowCount, own);
        this.#report(watched, rowCount, has, own);
      }
      if (message !== undefined) this.#settleBatch(message, parts, hasFailed, error);
    };
    let result;
    try {
      result = await work(items, sent);
    } catch (error) {
      await end(true, error);
      throw error;
    }
    await end(false, undefined);
    return result;
  }

  /**
   * @param {QueryMessage} message
   * @param {StatementMessage[]} parts
   * @param {boolean} hasFailed
   * @param {unknown} error
   */
  #settleBatch(message, parts, hasFailed, error) {
    const { node } = parts.find((part) => part.node !== undefined) ?? parts[0];
    const waitMs = parts.reduce((most, part) => Math.max(most, part.waitMs), 0);
    const rowCount = hasFailed ? undefined : parts.reduce((sum, part) => sum + (part.rowCount ?? 0), 0);
    fill(message, { node, waitMs, rowCount, error });
    QUERIES.settle(message, hasFailed);
  }

  /**
   * A statement has ended.
   * @param {Watched} watched
   * @param {QueryMessage | undefined} message
   * @param {number | undefined} rowCount
   * @param {boolean} hasFailed
   * @param {unknown} error
   */
  #ended(watched, message, rowCount, hasFailed, error) {
    const rows = hasFailed ? undefined : (rowCount ?? watched.rowCount);
    if (message !== undefined) {
      this.#fill(watched, message, rows, error);
      QUERIES.settle(message, hasFailed);
    }
    this.#report(watched, rows, hasFailed, error);
  }

  /**
   * Writes into a message how its statement has ended.
   * @param {Watched} watched
   * @param {StatementMessage | undefined} message
   * @param {number | undefined} rowCount
   * @param {unknown} error
   */
  #fill(watched, message, rowCount, error) {
    if (message === undefined) return;
    const node = this.#nodeOf(watched);
    fill(message, { node, rowCount, waitMs: waitMsOf(watched), error });
  }

  /** @param {Watched} watched @returns {string | undefined} */
  #nodeOf({ node, call }) {
    return node ?? this.#nodes[call?.node ?? -1];
  }

  /**
   * The parameters for the logger: none without the option `logParameters`.
   * @param {Operation} operation
   * @param {unknown} params
   * @returns {unknown[] | undefined}
   */
  #parametersOf(operation, params) {
    if (!this.#logParameters || !this.#tells || !WITH_PARAMETERS.includes(operation)) return undefined;
    // A copy: the caller may change the array before the statement ends.
    return Array.isArray(params) ? [...params] : [];
  }

  /**
   * Reports a statement that has ended to the logger, and to the listeners if it was slow.
   * @param {Watched} watched
   * @param {number | undefined} rowCount
   * @param {boolean} hasFailed
   * @param {unknown} error
   */
  #report(watched, rowCount, hasFailed, error) {
    if (!this.#tells) return;
    const durationMs = (watched.endedAt ?? performance.now()) - watched.startedAt;
    const isSlow = durationMs >= this.#slowMs;
    const log = this.#log;
    // Most statements: nothing is made for them.
    if (!isSlow && (log === undefined || !(hasFailed || log.hasDebug()))) return;
    const { sql, operation, parameters } = watched;
    const node = this.#nodeOf(watched);
    const waitMs = waitMsOf(watched);
    log?.statement({ sql, operation, durationMs, waitMs, parameters, rowCount, hasFailed, error, node, isSlow });
    if (!isSlow || this.#owner.listenerCount('slow') === 0) return;
    const told = parameters === undefined ? {} : { parameters };
    const event = { sql, operation, durationMs, waitMs, node, rowCount, ...told, ...(hasFailed ? { error } : {}) };
    // Not here: a listener that throws must not fail the statement. Nor in its transaction, which a call of the listener would join.
    process.nextTick(() => this.#owner.outside(() => this.#owner.emit('slow', event)));
  }
}

/**
 * What `work` throws at once, as a rejection: the end of the work is told behind the message `end` alone.
 * @template T
 * @param {(watched: Watched) => Promise<T>} work
 * @param {Watched} watched
 * @returns {Promise<T>}
 */
function begun(work, watched) {
  try {
    return work(watched);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @param {Watched} watched */
const waitMsOf = ({ call, whole }) => ((call?.waitUs ?? 0) + (whole?.waitUs ?? 0)) / 1000;

/** @typedef {{ rowCount: number | undefined, hasFailed: boolean, error: unknown }} Ending */

/**
 * How a statement of a batch has ended.
 * @param {Watched} watched
 * @param {Promise<any>} result
 * @returns {Promise<Ending>}
 */
async function endingOf(watched, result) {
  try {
    const { rowCount } = await result;
    return { rowCount, hasFailed: false, error: undefined };
  } catch (error) {
    return { rowCount: undefined, hasFailed: true, error };
  } finally {
    watched.endedAt = performance.now();
  }
}

module.exports = { OUTER, Observer, Watched };
