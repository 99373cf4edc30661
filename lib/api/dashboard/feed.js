'use strict';

// Looks at a pool once a second, keeps the last minutes, and sends each look to all viewers, as server-sent events: one look and one
// text, however many viewers there are.
//
//   hello   the whole history, the present look, all failovers: what a viewer begins with
//   sample  the next look; `failovers` and `errors` only when they have changed
//   closed  the pool has ended: the last event

const { randomBytes } = require('node:crypto');
const { ErrorMinutes } = require('./error-minutes.js');
const { History, KEPT } = require('./history.js');
const { pointOf, sampleOf } = require('./sample.js');
const { Viewers } = require('./viewers.js');

/** @typedef {import('./sample.js').Look} Look */
/**
 * What is looked at.
 * @typedef {object} Source
 * @property {string | null} name of the pool
 * @property {() => import('./sample.js').Raw} snapshot
 * @property {() => import('./sample.js').NodeStatus[]} nodes
 * @property {() => import('./sample.js').PoolStatus} status
 */

const INTERVAL_MS = 1_000;
/** The quantiles in the table of nodes are of so many looks: those of one second jump. */
const RECENT = 10;
/** Of the format of the events: a page that was loaded before an update loads itself again. */
const VERSION = 1;

/** @param {string} event @param {unknown} data */
const message = (event, data) => Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);

class Feed {
  #source;
  /** Another one after a restart of the process. */
  #instance = randomBytes(6).toString('hex');
  #history = new History();
  #errors = new ErrorMinutes();
  #viewers = new Viewers(() => this.#greeting());
  /** The last looks, the oldest first. @type {Look[]} */
  #looks = [];
  /** @type {ReturnType<typeof sampleOf> | undefined} */
  #sample;
  /** What was sent last of each: the next sample leaves it out. */
  #sent = { failovers: '', errors: '' };
  /** @type {any[]} */
  #failovers = [];
  /** Made once for all that come within a second. @type {Buffer | undefined} */
  #hello;
  #timer;
  #isClosed = false;

  /** @param {Source} source @param {{ intervalMs?: number }} [options] */
  constructor(source, { intervalMs = INTERVAL_MS } = {}) {
    this.#source = source;
    // A pool that was forgotten goes, and this with it.
    const feed = new WeakRef(this);
    const timer = setInterval(() => {
      const alive = feed.deref();
      if (alive === undefined) clearInterval(timer);
      else alive.#tryToLook();
    }, intervalMs);
    timer.unref();
    this.#timer = timer;
    this.look();
  }

  /** Whether there are as many viewers as there may be. */
  get isFull() {
    return this.#viewers.isFull;
  }

  /** A look that fails is a gap in the charts, and no exception that would end the process. */
  #tryToLook() {
    try {
      this.look();
    } catch {}
  }

  /** Looks at the pool, and tells the viewers. */
  look() {
    if (this.#isClosed) return;
    const source = this.#source;
    const raw = source.snapshot();
    const at = Date.now();
    const look = { at, clock: performance.now(), raw, nodes: source.nodes(), pool: source.status() };
    const sample = sampleOf(look, this.#looks.at(-1), this.#looks[0]);
    this.#looks.push(look);
    if (this.#looks.length > RECENT) this.#looks.shift();
    this.#history.add(pointOf(sample));
    this.#errors.add(raw.errors, at);
    this.#sample = sample;
    this.#failovers = raw.failovers;
    this.#hello = undefined;
    const changes = { failovers: this.#failovers, errors: this.#errors.list(at) };
    const changed = /** @type {const} */ (['failovers', 'errors']).filter((name) => {
      const text = JSON.stringify(changes[name]);
      const isOld = text === this.#sent[name];
      this.#sent[name] = text;
      return !isOld;
    });
    if (this.#viewers.size === 0) return;
    const more = Object.fromEntries(changed.map((name) => [name, changes[name]]));
    this.#viewers.send(message('sample', { ...sample, ...more }));
  }

  /**
   * Sends the events to a viewer until it goes.
   * @param {import('node:http').ServerResponse} response whose head is sent
   */
  watch(response) {
    if (!this.#isClosed) {
      this.#viewers.add(response);
      return;
    }
    response.write(this.#greeting());
    response.end(message('closed', {}));
  }

  #greeting() {
    const sample = this.#sample;
    this.#hello ??= message('hello', {
      ...{ version: VERSION, instance: this.#instance, name: this.#source.name, kept: KEPT, closed: this.#isClosed },
      history: this.#history.columns(),
      sample: { ...sample, failovers: this.#failovers, errors: this.#errors.list(sample?.at ?? 0) },
    });
    return this.#hello;
  }

  /** A last look, and the end of all events: the pool has ended. */
  close() {
    if (this.#isClosed) return;
    this.#tryToLook();
    this.#isClosed = true;
    this.#hello = undefined;
    clearInterval(this.#timer);
    this.#viewers.end(message('closed', {}));
  }
}

module.exports = { Feed };
