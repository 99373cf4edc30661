'use strict';

// LISTEN and NOTIFY: who wants to hear what. The connection is the core's (src/query/listen.rs), one for all channels.
//
// While somebody listens the process stays alive and the pool is not collected, as with an open server socket.

const { OP } = require('../core/numbers.js');
const { ParameterError, PoolClosedError, located } = require('../errors.js');

/** NAMEDATALEN - 1: LISTEN would cut a longer name short, and pg_notify refuse it. */
const CHANNEL_BYTES = 63;
/** NOTIFY_PAYLOAD_MAX_LENGTH - 1 of a server with its usual block size. */
const PAYLOAD_BYTES = 7_999;

/** @typedef {(payload: string, notification: object) => unknown} Handler */

/** @param {unknown} channel */
function checkChannel(channel) {
  if (typeof channel !== 'string' || channel === '') throw new ParameterError('channel must be a string, not empty');
  if (channel.includes('\0')) throw new ParameterError('channel contains a NUL character');
  if (Buffer.byteLength(channel) > CHANNEL_BYTES) {
    throw new ParameterError(`channel is longer than ${CHANNEL_BYTES} bytes`);
  }
  return channel;
}

/** @param {unknown} handler */
function checkHandler(handler) {
  if (typeof handler !== 'function') throw new ParameterError('handler must be a function');
  return /** @type {Handler} */ (handler);
}

/** @param {unknown} payload */
function checkPayload(payload) {
  if (payload === undefined || payload === null) return '';
  if (typeof payload !== 'string') throw new ParameterError(`payload must be a string, not ${typeof payload}`);
  if (payload.includes('\0')) throw new ParameterError('payload contains a NUL character');
  if (Buffer.byteLength(payload) > PAYLOAD_BYTES) {
    throw new ParameterError(`payload is longer than ${PAYLOAD_BYTES} bytes`);
  }
  return payload;
}

/** Pools that somebody listens on. @type {Set<object>} */
const listening = new Set();

/** One handler on one channel. */
class Subscription {
  #end;

  /**
   * @param {string} channel
   * @param {() => Promise<void>} end
   */
  constructor(channel, end) {
    this.channel = channel;
    this.#end = end;
  }

  /** The handler is not called any more. */
  async unlisten() {
    await this.#end();
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.#end();
  }
}

/** What one pool listens to. */
class Listeners {
  #runner;
  #pool;
  /** Subscriptions by channel. @type {Map<string, Map<Subscription, Handler>>} */
  #channels = new Map();
  /** The last order for each channel: the next one waits for it. @type {Map<string, Promise<unknown>>} */
  #orders = new Map();
  #closed = false;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {import('node:events').EventEmitter} pool held while somebody listens
   */
  constructor(runner, pool) {
    this.#runner = runner;
    this.#pool = new WeakRef(pool);
  }

  /**
   * Gives the core an order about a channel, after those before it.
   * @param {number} operation
   * @param {string} channel
   */
  async #order(operation, channel) {
    const { link, pool } = this.#runner;
    const before = this.#orders.get(channel);
    const order = (async () => {
      await before?.catch(() => {});
      if (this.#closed) throw new PoolClosedError();
      await link.ask(operation, pool, { text: channel });
    })();
    this.#orders.set(channel, order);
    try {
      await order;
    } finally {
      if (this.#orders.get(channel) === order) this.#orders.delete(channel);
    }
  }

  /** Holds the process and the pool while somebody listens. */
  #hold() {
    const pool = this.#pool.deref();
    const { link } = this.#runner;
    const wanted = this.#channels.size > 0;
    if (pool === undefined || listening.has(pool) === wanted) return;
    if (wanted) {
      listening.add(pool);
      link.hold();
    } else {
      listening.delete(pool);
      link.letGo();
    }
  }

  /**
   * @param {unknown} channel
   * @param {unknown} handler
   * @returns {Promise<Subscription>} once the server has confirmed
   */
  async listen(channel, handler) {
    const name = checkChannel(channel);
    /** @type {Subscription} */
    const subscription = new Subscription(name, () => this.#remove(name, (one) => one === subscription));
    const handlers = this.#channels.get(name) ?? new Map();
    handlers.set(subscription, checkHandler(handler));
    this.#channels.set(name, handlers);
    this.#hold();
    try {
      // The server does not mind being told twice, and whoever asks wants to know that it listens.
      await this.#order(OP.LISTEN, name);
    } catch (error) {
      handlers.delete(subscription);
      if (handlers.size === 0 && this.#channels.get(name) === handlers) this.#channels.delete(name);
      this.#hold();
      throw located(error);
    }
    return subscription;
  }

  /**
   * @param {string} channel
   * @param {(subscription: Subscription, handler: Handler) => boolean} which
   */
  async #remove(channel, which) {
    const handlers = this.#channels.get(channel);
    if (handlers === undefined) return;
    for (const [subscription, handler] of handlers) {
      if (which(subscription, handler)) handlers.delete(subscription);
    }
    if (handlers.size > 0) return;
    this.#channels.delete(channel);
    this.#hold();
    if (this.#closed) return;
    // Nobody hears it any more, confirmed or not.
    await this.#order(OP.UNLISTEN, channel).catch(() => {});
  }

  /**
   * Ends one handler's, one channel's or all subscriptions.
   * @param {unknown} [channel]
   * @param {unknown} [handler]
   */
  async unlisten(channel, handler) {
    const names = channel === undefined ? [...this.#channels.keys()] : [checkChannel(channel)];
    const wanted = handler === undefined ? undefined : checkHandler(handler);
    await Promise.all(names.map((name) => this.#remove(name, (_, one) => wanted === undefined || one === wanted)));
  }

  /**
   * Calls the handlers of a channel. What one of them throws, or rejects with, is told as an `error` event.
   * @param {{ channel: string, payload: string }} notification
   */
  hear(notification) {
    const failed = (/** @type {unknown} */ error) => this.#pool.deref()?.emit('error', error);
    for (const handler of [...(this.#channels.get(notification.channel)?.values() ?? [])]) {
      try {
        const result = handler(notification.payload, notification);
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }

  /** The pool ends. */
  close() {
    this.#closed = true;
    this.#channels.clear();
    this.#hold();
  }
}

module.exports = { Listeners, checkChannel, checkPayload };
