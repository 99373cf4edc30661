'use strict';

// Those who look at a page. A slow one takes no memory of its own: while it does not read, nothing is written to it. When it reads
// again it gets what it has missed, which is kept once for all, or, after a longer time, the whole present state.

/** @typedef {import('node:http').ServerResponse} ServerResponse */
/**
 * @typedef {object} Viewer
 * @property {number} seen the number of the last message that was written to it
 * @property {boolean} isBehind whether it has not read yet what was written
 * @property {number} since when it was found to be behind; 0: it is not
 */

/** More are refused: each is an open connection. */
const MOST = 1_000;
/** So many messages are kept. */
const KEPT = 60;
/** One that has read nothing for so long is gone, or comes again: browsers do. */
const STUCK_MS = 30_000;

class Viewers {
  /** @type {Map<ServerResponse, Viewer>} */
  #all = new Map();
  /** The last messages, the oldest first. @type {Buffer[]} */
  #messages = [];
  /** How many messages there were. */
  #count = 0;
  #greeting;

  /** @param {() => Buffer} greeting the whole present state */
  constructor(greeting) {
    this.#greeting = greeting;
  }

  get size() {
    return this.#all.size;
  }

  get isFull() {
    return this.#all.size >= MOST;
  }

  /** @param {ServerResponse} response */
  add(response) {
    /** @type {Viewer} */
    const viewer = { seen: this.#count, isBehind: false, since: 0 };
    this.#all.set(response, viewer);
    const forget = () => this.#all.delete(response);
    response.on('close', forget).on('error', forget);
    response.on('drain', () => {
      viewer.isBehind = false;
      viewer.since = 0;
      this.#catchUp(response, viewer);
    });
    this.#write(response, viewer, this.#greeting());
  }

  /** @param {Buffer} message */
  send(message) {
    this.#messages.push(message);
    if (this.#messages.length > KEPT) this.#messages.shift();
    this.#count++;
    const now = performance.now();
    for (const [response, viewer] of this.#all) {
      if (!viewer.isBehind) this.#catchUp(response, viewer);
      else if (viewer.since === 0) viewer.since = now;
      else if (now - viewer.since > STUCK_MS) response.destroy();
    }
  }

  /** @param {ServerResponse} response @param {Viewer} viewer */
  #catchUp(response, viewer) {
    const missed = this.#count - viewer.seen;
    if (missed === 0) return;
    const known = missed <= this.#messages.length;
    this.#write(response, viewer, known ? Buffer.concat(this.#messages.slice(-missed)) : this.#greeting());
  }

  /** @param {ServerResponse} response @param {Viewer} viewer @param {Buffer} message */
  #write(response, viewer, message) {
    viewer.seen = this.#count;
    if (response.writableEnded || response.destroyed) return;
    viewer.isBehind = !response.write(message);
    // Of the middleware `compression`, which holds back what is small otherwise.
    /** @type {any} */ (response).flush?.();
  }

  /** @param {Buffer} message the last one */
  end(message) {
    for (const response of this.#all.keys()) if (!response.writableEnded) response.end(message);
    this.#all.clear();
    this.#messages.length = 0;
  }
}

module.exports = { Viewers };
