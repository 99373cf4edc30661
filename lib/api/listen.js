'use strict';

// LISTEN and NOTIFY: the handlers of each channel. The core holds the connection (src/query/listen.rs), one for all channels.
//
// While there is a subscription, the process stays alive and the pool is not collected, as with an open server socket.

const { OP } = require('../core/numbers.js');
const { ParameterError, PoolClosedError, located } = require('../errors.js');

/** NAMEDATALEN - 1: LISTEN would truncate a longer name, and pg_notify would refuse it. */
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

/** Pools with subscriptions, which must not be collected. @type {Set<object>} */
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

  /** Ends the subscription: its handler is not called again. */
  async unlisten() {
    await this.#end();
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.#end();
  }
}

/** The subscriptions of one pool. */
class Listeners {
  #runner;
  #pool;
  /** Subscriptions by channel. @type {Map<string, Map<Subscription, Handler>>} */
  #channels = new Map();
  /** The last LISTEN or UNLISTEN of each channel: the next one waits for it. @type {Map<string, Promise<unknown>>} */
  #commands = new Map();
  #closed = false;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {import('node:events').EventEmitter} pool held while there are subscriptions
   */
  constructor(runner, pool) {
    this.#runner = runner;
    this.#pool = new WeakRef(pool);
  }

  /**
   * Sends a LISTEN or UNLISTEN of a channel, after the earlier ones of that channel.
   * @param {number} operation
   * @param {string} channel
   */
  async #sendCommand(operation, channel) {
    const { link, pool } = this.#runner;
    const before = this.#commands.get(channel);
    const command = (async () => {
      await before?.catch(() => {});
      if (this.#closed) throw new PoolClosedError();
      await link.ask(operation, pool, { text: channel });
    })();
    this.#commands.set(channel, command);
    try {
      await command;
    } finally {
      if (this.#commands.get(channel) === command) this.#commands.delete(channel);
    }
  }

  /** Keeps the process and the pool alive while there are subscriptions. */
  #updateHold() {
    const pool = this.#pool.deref();
    const { link } = this.#runner;
    const wanted = this.#channels.size > 0;
    if (pool === undefined || listening.has(pool) === wanted) return;
    if (wanted) {
      listening.add(pool);
      link.hold();
    } else {
      listening.delete(pool);
      link.unhold();
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
    this.#updateHold();
    try {
      // Also for a channel that has handlers: LISTEN twice is no error, and the caller waits for the server's confirmation.
      await this.#sendCommand(OP.LISTEN, name);
    } catch (error) {
      handlers.delete(subscription);
      if (handlers.size === 0 && this.#channels.get(name) === handlers) this.#channels.delete(name);
      this.#updateHold();
      throw located(error);
    }
    return subscription;
  }

  /**
   * Ends some subscriptions of a channel.
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
    this.#updateHold();
    if (this.#closed) return;
    // No handler is called any more, whether the server confirms it or not.
    await this.#sendCommand(OP.UNLISTEN, channel).catch(() => {});
  }

  /**
   * Ends the subscriptions of one handler, of one channel, or all.
   * @param {unknown} [channel]
   * @param {unknown} [handler]
   */
  async unlisten(channel, handler) {
    const names = channel === undefined ? [...this.#channels.keys()] : [checkChannel(channel)];
    const wanted = handler === undefined ? undefined : checkHandler(handler);
    await Promise.all(names.map((name) => this.#remove(name, (_, one) => wanted === undefined || one === wanted)));
  }

  /**
   * Calls the handlers of a channel. An error of a handler becomes an `error` event of the pool.
   * @param {{ channel: string, payload: string }} notification
   */
  dispatch(notification) {
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

  /** Ends all subscriptions with the pool. */
  close() {
    this.#closed = true;
    this.#channels.clear();
    this.#updateHold();
  }
}

module.exports = { Listeners, checkChannel, checkPayload };
