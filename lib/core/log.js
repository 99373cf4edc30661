'use strict';

// Loggers as programs have them: a function, or pino, winston, bunyan, console and what is called as one of these.
//
// What a logger throws, or rejects with, is swallowed: a log fails no statement.

/**
 * What a logger is told of a statement that has ended.
 * @typedef {object} Ended
 * @property {string} sql
 * @property {string} operation
 * @property {number} durationMs
 * @property {number} waitMs
 * @property {unknown[] | undefined} parameters
 * @property {number | undefined} rowCount
 * @property {boolean} hasFailed
 * @property {unknown} error
 * @property {string | undefined} node
 * @property {boolean} isSlow
 */

/** @param {() => unknown} call */
function quietly(call) {
  try {
    const result = call();
    if (result instanceof Promise) result.catch(() => {});
  } catch {
    // See the head of this file.
  }
}

/** What has a value. @param {Record<string, unknown>} fields */
const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** @param {any} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** A function, which is called once for each statement. */
class FunctionLog {
  #call;

  /** @param {(event: object) => unknown} call */
  constructor(call) {
    this.#call = call;
  }

  /** @param {Ended} ended */
  statement({ sql, durationMs, parameters, rowCount, hasFailed, error, node }) {
    const told = parameters === undefined ? {} : { parameters };
    const how = hasFailed ? { error } : rowCount === undefined ? {} : { rowCount };
    quietly(() => this.#call({ sql, durationMs, ...told, ...how, node }));
  }

  /** It is told of all statements, and of nothing else. */
  hasDebug() {
    return true;
  }

  event() {}
}

/** What is said of the events of a pool, and how loud. @type {Record<string, [level: 'info' | 'warn' | 'error', text: (detail: any) => string]>} */
const EVENTS = {
  node: ['info', ({ host, port, state, role }) => `node ${host}:${port} is ${state}, role: ${role}`],
  primary: [
    'info',
    ({ from, to, downMs }) => `the primary is ${to}${from === null ? '' : `, after ${from}`}; none for ${downMs} ms`,
  ],
  failover: ['info', ({ from, to }) => `failover from ${from} to ${to ?? 'no node'}`],
  fenced: ['warn', ({ host, port }) => `node ${host}:${port} accepts no more writes`],
  error: ['error', (error) => `in the background: ${messageOf(error)}`],
};

/** A logger with a function for each level. */
class LevelLog {
  /** @type {any} */
  #logger;
  /** Whether the fields come first, and the text behind them: so do pino and bunyan. */
  #takesFieldsFirst;
  #isBunyan;

  /** @param {any} logger */
  constructor(logger) {
    this.#logger = logger;
    this.#isBunyan = typeof logger.addSerializers === 'function';
    this.#takesFieldsFirst = this.#isBunyan || typeof logger.bindings === 'function';
  }

  /** Of a statement that has succeeded and was not slow: only if hasDebug(). @param {Ended} ended */
  statement({ hasFailed, error, isSlow, sql, operation, durationMs, waitMs, rowCount, node, parameters }) {
    const level = hasFailed ? 'error' : isSlow ? 'warn' : 'debug';
    const fields = given({ sql, operation, durationMs, waitMs, rowCount, node, parameters });
    if (hasFailed) this.#write(level, `statement failed: ${messageOf(error)}`, this.#withError(fields, error));
    else this.#write(level, isSlow ? 'slow statement' : 'statement', fields);
  }

  /** @param {string} event @param {any} detail */
  event(event, detail) {
    if (!Object.hasOwn(EVENTS, event)) return;
    const [level, text] = EVENTS[event];
    this.#write(level, text(detail), event === 'error' ? this.#withError({}, detail) : detail);
  }

  /** @param {Record<string, unknown>} fields @param {unknown} error */
  #withError(fields, error) {
    return this.#takesFieldsFirst ? { ...fields, err: error } : { ...fields, error };
  }

  /** Whether the level `debug` is written at all. It may change while the program runs. */
  hasDebug() {
    const logger = this.#logger;
    try {
      // Without arguments bunyan says whether it would write.
      if (this.#isBunyan) return logger.debug() === true;
      return typeof logger.isLevelEnabled !== 'function' || logger.isLevelEnabled('debug') === true;
    } catch {
      return false;
    }
  }

  /** @param {'info' | 'warn' | 'error' | 'debug'} level @param {string} text @param {object} fields */
  #write(level, text, fields) {
    quietly(() => (this.#takesFieldsFirst ? this.#logger[level](fields, text) : this.#logger[level](text, fields)));
  }
}

/**
 * @param {any} logger the option, checked
 * @returns {FunctionLog | LevelLog | undefined}
 */
function logOf(logger) {
  if (logger === undefined) return undefined;
  return typeof logger === 'function' ? new FunctionLog(logger) : new LevelLog(logger);
}

module.exports = { logOf };
