'use strict';

// What the pool reports of its nodes during a round, and other events, in the order of time: the evidence when a round fails.

/** @typedef {import('../../../client').Pool} Pool */
/** @typedef {{ at: number, what: string, [more: string]: unknown }} Happening */

const LOOK_MS = 50;

class Record {
  /** @type {Happening[]} */
  #happenings = [];
  #timer;
  #last = '';

  /** @param {Pool} pool */
  constructor(pool) {
    for (const name of /** @type {const} */ (['primary', 'fenced', 'gap', 'error'])) {
      pool.on(name, (/** @type {any} */ event) =>
        this.add(name, event instanceof Error ? { error: String(event) } : event),
      );
    }
    this.#look(pool);
    this.#timer = setInterval(() => this.#look(pool), LOOK_MS);
  }

  /** @param {Pool} pool */
  #look(pool) {
    // Fields that change all the time are left out.
    const nodes = pool
      .nodes()
      .map(({ host, port, role, state, timeline, lastError }) => ({ host, port, role, state, timeline, lastError }));
    const text = JSON.stringify(nodes);
    if (text !== this.#last) this.add('nodes', { nodes });
    this.#last = text;
  }

  /** @param {string} what @param {object} [more] */
  add(what, more) {
    this.#happenings.push({ ...more, at: Date.now(), what });
  }

  /** Ends the record. @param {number} zero what times are counted from @returns {Happening[]} */
  stop(zero) {
    clearInterval(this.#timer);
    return this.#happenings.map((happening) => ({ ...happening, at: happening.at - zero }));
  }
}

exports.Record = Record;
