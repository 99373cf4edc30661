'use strict';

// What the parts of transactions that span clusters share: the decisions, the second phase, and what is at work.

const { endPrepared } = require('./prepared.js');

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {{ unit: Unit, gid: string }} Part */

/** How a test stops a transaction at a point of its end: a property of the object, with a function that is awaited there. */
const POINT = Symbol.for('hyperiondb-client.two-phase-point');

/** What the parts of a transaction need of the whole. */
class Context {
  #twoPhase;
  /** Transactions of this process that are at their end. @type {Set<string>} */
  active = new Set();
  /** What goes on after its call has been answered. @type {Set<Promise<unknown>>} */
  #working = new Set();
  closed = false;

  /**
   * @param {any} twoPhase
   * @param {Record<string, any>} options
   * @param {import('./decisions.js').Decisions} decisions
   */
  constructor(twoPhase, options, decisions) {
    this.#twoPhase = twoPhase;
    this.options = options;
    this.decisions = decisions;
  }

  /** @returns {((point: string, part?: number) => unknown) | undefined} */
  get at() {
    return this.#twoPhase[POINT];
  }

  isClosed = () => this.closed;
  /** @param {string} id */
  isActive = (id) => this.active.has(id);

  /** @param {Promise<unknown>} work which never rejects */
  background(work) {
    this.#working.add(work);
    work.then(() => this.#working.delete(work));
  }

  async settled() {
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  /**
   * The second phase, on all participants at once. Resolves when each has answered, or its time is over; never rejects.
   * @param {string} id
   * @param {Part[]} parts
   * @param {Set<string>} pending the names of those that have not committed; it becomes smaller
   */
  finish(id, parts, pending) {
    const until = performance.now() + this.options.finishTimeoutMs;
    const finishing = Promise.allSettled(
      parts.map(async ({ unit, gid }, part) => {
        if (this.at !== undefined) await this.at('commit', part);
        await endPrepared(unit, 'COMMIT', gid, until, this.isClosed);
        pending.delete(unit.name);
        if (this.at !== undefined) await this.at('committed one', part);
      }),
    ).then(() => {
      if (pending.size === 0) this.background(this.#remove(id));
    });
    this.background(finishing);
    return finishing;
  }

  /** @param {string} id */
  async #remove(id) {
    if (this.at !== undefined) await this.at('committed');
    await this.decisions.remove(id);
  }
}

module.exports = { Context };
