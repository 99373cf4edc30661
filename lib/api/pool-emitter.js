'use strict';

// What is special about the events of a pool: an `error` that nobody listens to is no exception, and notices cost something.

const { EventEmitter } = require('node:events');

class PoolEmitter extends EventEmitter {
  #onNoticeListener;

  /** @param {() => void} onNoticeListener called when somebody begins to listen to `notice` */
  constructor(onNoticeListener) {
    super();
    this.#onNoticeListener = onNoticeListener;
  }

  /**
   * An `error` event without listeners does nothing: an idle pool must not end the process.
   * @param {string | symbol} event
   * @param {...any} rest
   */
  emit(event, ...rest) {
    if (event === 'error' && this.listenerCount('error') === 0) return false;
    return super.emit(event, ...rest);
  }

  // once() and the other methods that add a listener call one of these three.
  /**
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  on(event, listener) {
    if (event === 'notice') this.#onNoticeListener();
    return super.on(event, listener);
  }

  /**
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  addListener(event, listener) {
    return this.on(event, listener);
  }

  /**
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  prependListener(event, listener) {
    if (event === 'notice') this.#onNoticeListener();
    return super.prependListener(event, listener);
  }
}

module.exports = { PoolEmitter };
