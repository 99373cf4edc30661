'use strict';

// pool.session(): reads follow the writes that the same session has made before them.
//
// A session knows the position of its last write as a consistency token, which its reads wait for (`after`). A query() brings its
// token with its answer. After any other write, and after one that may have been applied although it failed, the session is unsure,
// and its next read asks the primary where it is: that position is behind all writes that had ended by then.

const { AsyncLocalStorage } = require('node:async_hooks');
const { ParameterError } = require('../errors.js');
const { laterToken } = require('../values/token.js');
const { withToken } = require('../values/rows.js');
const { askTokenAfterWrite, bringsTokens, queryForToken } = require('./token.js');

/** The modes of pools that reach no primary that accepts writes. */
const WITHOUT_WRITES = ['standby', 'read-only'];

class Session {
  /** @type {string | undefined} */
  #token;
  /** Whether a write has ended of which no position is known, nor asked for. */
  #isUnsure = false;
  /** The request for the position, while it runs: reads that run side by side share it. @type {Promise<string> | undefined} */
  #request;
  /** @type {() => Promise<string>} */
  #ask;

  /**
   * @param {() => Promise<string>} ask the primary for its position
   * @param {boolean} takesTokens whether a statement of the pool can bring its token
   */
  constructor(ask, takesTokens) {
    this.#ask = ask;
    this.takesTokens = takesTokens;
  }

  /** A write has ended at this position. @param {string} token */
  wrote(token) {
    this.#token = laterToken(this.#token, token);
  }

  /** A write has ended, and its position is not known. */
  lose() {
    this.#isUnsure = true;
  }

  /** The same as a function, and always the same one. */
  loseIt = () => this.lose();

  /** A statement has failed. @param {unknown} error */
  failed(error) {
    // A mistake in the call: nothing was sent.
    if (error instanceof ParameterError) return;
    if (/** @type {any} */ (error)?.outcome !== 'not-applied') this.lose();
  }

  /**
   * Runs a write that brings no token.
   * @template T
   * @param {() => Promise<T>} work
   */
  async unsureAfter(work) {
    try {
      return await work();
    } finally {
      this.lose();
    }
  }

  /**
   * The same for a write whose rows are read as a stream.
   * @template {import('node:stream').Readable} T
   * @param {T} stream
   */
  unsureAfterStream(stream) {
    const lose = () => this.lose();
    // What was not read to its end has no 'end'.
    stream.once('end', lose);
    stream.once('close', lose);
    return stream;
  }

  /**
   * The position that a read must see: known, or a promise of it while the primary is asked; undefined if nothing was written.
   * @returns {string | Promise<string> | undefined}
   */
  position() {
    if (this.#isUnsure) {
      // Not when the answer has come: a write that ends meanwhile makes the session unsure again.
      this.#isUnsure = false;
      const request = this.#askPosition();
      this.#request = request;
      const forget = () => {
        if (this.#request === request) this.#request = undefined;
      };
      request.then(forget, forget);
    }
    return this.#request ?? this.#token;
  }

  async #askPosition() {
    try {
      this.wrote(await this.#ask());
      return /** @type {string} */ (this.#token);
    } catch (error) {
      this.lose();
      throw error;
    }
  }
}

/** Whether the options declare that nothing is changed. @param {any} options not yet checked */
const isDeclaredRead = (options) => options?.readOnly === true || options?.transaction?.readOnly === true;

/** The sessions of a pool. A pool has none of this before its first session begins. */
class Sessions {
  /** @type {AsyncLocalStorage<Session>} */
  #storage = new AsyncLocalStorage();
  #ask;
  #mode;

  /**
   * @param {string} mode of the pool
   * @param {() => Promise<string>} ask the primary for its position
   */
  constructor(mode, ask) {
    this.#mode = mode;
    this.#ask = ask;
  }

  /** The session in which the caller runs. */
  current() {
    return this.#storage.getStore();
  }

  /**
   * Runs `fn` in a new session, or in that of its caller.
   * @template T
   * @param {() => T} fn
   */
  run(fn) {
    if (this.current() !== undefined || WITHOUT_WRITES.includes(this.#mode)) return fn();
    return this.#storage.run(new Session(this.#ask, bringsTokens(this.#mode)), fn);
  }

  /**
   * Runs work that may write, and whose position is not known when it has ended.
   * @template T
   * @param {unknown} options of the call, not yet checked
   * @param {() => Promise<T>} work
   */
  write(options, work) {
    const session = this.current();
    return session === undefined || isDeclaredRead(options) ? work() : session.unsureAfter(work);
  }
}

/**
 * Runs a statement of the pool, with the token that its caller or its session wants.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {string} sql
 * @param {unknown} params
 * @param {Record<string, any>} options checked
 * @param {Session | undefined} session
 * @returns {Promise<object[]>}
 */
async function queryWithToken(runner, sql, params, options, session) {
  const writing = options.readOnly ? undefined : session;
  if (!options.token && !writing?.takesTokens) {
    const query = () => runner.query(sql, params, options, 0);
    return writing === undefined ? query() : writing.unsureAfter(query);
  }
  try {
    const { rows, token: brought } = await queryForToken(runner, sql, params, options);
    if (brought === '' && !options.token) {
      writing?.lose();
      return rows;
    }
    const token = brought || (await askTokenAfterWrite(runner, options));
    writing?.wrote(token);
    return options.token ? withToken(rows, token) : rows;
  } catch (error) {
    writing?.failed(error);
    throw error;
  }
}

module.exports = { Session, Sessions, queryWithToken };
