'use strict';

// What the parts of transactions that span clusters share: the decisions, the second phase, and what is at work.

const { Decisions } = require('./decisions.js');
const { endPrepared } = require('./prepared.js');

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {{ unit: Unit, gid: string }} Part */

/** How a test stops a transaction at a point of its end: a property of the object, with a function that is awaited there. */
const POINT = Symbol.for('hyperiondb-client.two-phase-point');

/** What the parts of a transaction need of the whole. */
class Context {
  #twoPhase;
  /** Transactions of this process that are not over, by their ids. @type {Map<string, { cancel(): void }>} */
  active = new Map();
  /** What goes on after its call has been answered. @type {Set<Promise<unknown>>} */
  #working = new Set();
  /** Whether nothing new is begun. */
  closing = false;
  /** Whether nothing may be tried again any more: what is not finished is left to a recovery. */
  closed = false;

  /**
   * @param {any} twoPhase
   * @param {Record<string, any>} options
   * @param {() => Unit} decisionUnit
   */
  constructor(twoPhase, options, decisionUnit) {
    this.#twoPhase = twoPhase;
    this.options = options;
    this.decisions = new Decisions(options.table, decisionUnit, () => this.closing);
  }

  /** @returns {((point: string, part?: number) => unknown) | undefined} */
  get at() {
    return this.#twoPhase[POINT];
  }

  isClosing = () => this.closing;
  isClosed = () => this.closed;
  /** @param {string} id */
  isActive = (id) => this.active.has(id);

  /** @param {Promise<unknown>} work which never rejects */
  background(work) {
    this.#working.add(work);
    work.then(() => this.#working.delete(work));
  }

  /** Resolves when what goes on now is over. */
  async settled() {
    await Promise.all(this.#working);
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
