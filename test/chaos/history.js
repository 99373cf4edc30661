'use strict';

// What the callers of a pool were told, as plain data: the checker is a pure function of it, and tests can doctor it. Times
// are performance.now(), except for notifications: gaps are reported in Dates, so these times are Date.now().

/**
 * The outcome of a piece of work, as its caller knows it:
 *   acknowledged   the promise resolved
 *   not-applied    the error said so
 *   unknown        the error said so, or had no outcome
 *   pending        no answer yet; at the end of a run there must be none
 * @typedef {'acknowledged' | 'not-applied' | 'unknown' | 'pending'} Fate
 */

/** @typedef {'autocommit' | 'transaction' | 'begin' | 'batch' | 'batch in a transaction'} WriteKind */

/**
 * A write: an id that no other write has, in `rows` rows that belong together.
 * @typedef {object} Entry
 * @property {Fate} fate
 * @property {number} at when it was handed in
 * @property {number} rows
 * @property {WriteKind} [kind]
 * @property {number} [end] when its caller was told
 * @property {string} [timeline] of the server that wrote it, where the caller has asked for it
 * @property {any} [error]
 */

/**
 * A declared read of the rows of one write.
 * @typedef {object} Read
 * @property {Fate} fate
 * @property {number} at
 * @property {number} [end]
 * @property {number} about the id
 * @property {number} [found] rows
 * @property {any} [error]
 */

/**
 * A stream of the rows 1 to `length`.
 * @typedef {object} Stream
 * @property {Fate} fate `acknowledged`: it ended by itself, or was left when `leave` rows had come
 * @property {number} at
 * @property {number} [end]
 * @property {number} length
 * @property {number | null} leave after so many rows the reader leaves
 * @property {number} got rows, as far as they came in order
 * @property {string | null} wrong what came instead of the next row
 * @property {boolean} declared as a read
 * @property {any} [error]
 */

/**
 * A NOTIFY; its payload is its number.
 * @typedef {object} Sent
 * @property {Fate} fate
 * @property {number} at
 * @property {number} [end]
 * @property {string} channel
 * @property {string} sender one sender sends one after the other
 * @property {any} [error]
 */

/**
 * One handler, from the time when listen() resolved.
 * @typedef {object} Subscription
 * @property {string} channel
 * @property {number} since
 * @property {number} [until] when unlisten() was called
 * @property {number} [ended] when unlisten() had resolved
 */
/** A listen() and its unlisten(). @typedef {{ fate: Fate, at: number, end?: number, error?: any }} Visit */
/** @typedef {{ subscription: number, channel: string, payload: string, at: number }} Received */
/** @typedef {{ channels: string[], since: number, until: number }} Gap */

class History {
  /** Writes by id. @type {Map<number, Entry>} */
  writes = new Map();
  /** @type {Read[]} */
  reads = [];
  /** @type {Stream[]} */
  streams = [];
  /** Notifications by number. @type {Map<number, Sent>} */
  sent = new Map();
  /** @type {Received[]} */
  received = [];
  /** Subscriptions by number. @type {Map<number, Subscription>} */
  subscriptions = new Map();
  /** @type {Visit[]} */
  visits = [];
  /** @type {Gap[]} */
  gaps = [];
  /** Channels on which a new notification did not arrive although the cluster was healthy. @type {string[]} */
  deaf = [];
  /** Times of the faults that may cost work in flight its answer. @type {number[]} */
  strikes = [];
  /** The pool's events for a new primary. @type {{ at: number, from: string | null, to: string }[]} */
  primaries = [];
  /** The most pieces of work of a kind that can be in flight at a time. @type {Record<string, number>} */
  inFlight = {};

  /** Forgets what has ended and was checked; work under way stays. */
  forget() {
    for (const [id, { fate }] of this.writes) if (fate !== 'pending') this.writes.delete(id);
    for (const [number, { fate }] of this.sent) if (fate !== 'pending') this.sent.delete(number);
    this.reads = this.reads.filter(({ fate }) => fate === 'pending');
    this.streams = this.streams.filter(({ fate }) => fate === 'pending');
    this.visits = this.visits.filter(({ fate }) => fate === 'pending');
    for (const [number, { ended }] of this.subscriptions) if (ended !== undefined) this.subscriptions.delete(number);
    this.received = [];
    this.gaps = [];
    this.deaf = [];
    this.strikes = [];
    this.primaries = [];
  }
}

/**
 * Runs the work and records its outcome. Never rejects.
 * @template T
 * @param {{ fate: Fate, end?: number, error?: any }} entry
 * @param {() => Promise<T>} work
 * @param {() => number} [clock]
 * @returns {Promise<T | undefined>}
 */
async function told(entry, work, clock = () => performance.now()) {
  try {
    const value = await work();
    entry.fate = 'acknowledged';
    return value;
  } catch (error) {
    tellFailure(entry, error);
    return undefined;
  } finally {
    entry.end = clock();
  }
}

/** @param {{ fate: Fate, error?: any }} entry @param {any} error */
function tellFailure(entry, error) {
  entry.error = error;
  entry.fate = error?.outcome === 'not-applied' ? 'not-applied' : 'unknown';
}

exports.History = History;
exports.tellFailure = tellFailure;
exports.told = told;
