'use strict';

// A load that remembers what it was told, and the check of that memory against what the database has in the end.
//
// Every writer writes ids nobody else writes, one after another, in three ways: single statements, transaction(cb) and
// begin()/commit(), the latter two with two rows that belong together. What became of each id is one of
//   acknowledged   the promise resolved: the row must be there, once
//   not-applied    the error said so: the row must not be there
//   unknown        the error said so: both is right
//   pending        nothing was said: both is right, but at the end of a load there must be none
// The check is a pure function of that history and of the rows, so that a doctored history can show that it sees a loss.

const assert = require('node:assert/strict');
const { range } = require('../helpers');

/** @typedef {'acknowledged' | 'not-applied' | 'unknown' | 'pending'} Fate */
/** @typedef {{ fate: Fate, at: number, rows: number, error?: any }} Entry */

/**
 * @param {Map<number, Entry>} history by id
 * @param {number[]} present the ids of all rows
 */
function check(history, present) {
  /** @type {Map<number, number>} */
  const found = new Map();
  for (const id of present) found.set(id, (found.get(id) ?? 0) + 1);
  const ids = [...history];
  const countOf = (/** @type {number} */ id) => found.get(id) ?? 0;
  const of = (/** @type {Fate} */ fate) => ids.filter(([, entry]) => entry.fate === fate);
  return {
    acknowledged: of('acknowledged').length,
    unknown: of('unknown').length,
    pending: of('pending').length,
    failed: of('not-applied').length,
    /** Acknowledged, and not (wholly) there. */
    lost: of('acknowledged')
      .filter(([id, { rows }]) => countOf(id) < rows)
      .map(([id]) => id),
    /** There more often than written. */
    doubled: ids.filter(([id, { rows }]) => countOf(id) > rows).map(([id]) => id),
    /** Said not to be applied, and there. */
    denied: of('not-applied')
      .filter(([id]) => countOf(id) > 0)
      .map(([id]) => id),
    /** Only a part of what belongs together is there. */
    torn: ids.filter(([id, { rows }]) => countOf(id) > 0 && countOf(id) < rows).map(([id]) => id),
    /** There, and nobody's. */
    strange: [...found.keys()].filter((id) => !history.has(id)),
  };
}

const TABLE = 'CREATE TABLE written (id int4 NOT NULL, part int4 NOT NULL)';
const INSERT = 'INSERT INTO written VALUES ($1, $2)';

/** @type {((pool: any, id: number) => Promise<number>)[]} each resolves to the number of its rows */
const WAYS = [
  async (pool, id) => {
    await pool.query(INSERT, [id, 1]);
    return 1;
  },
  async (pool, id) => {
    await pool.transaction(
      async (/** @type {any} */ tx) => {
        await tx.query(INSERT, [id, 1]);
        await tx.query(INSERT, [id, 2]);
      },
      { retries: 100 },
    );
    return 2;
  },
  async (pool, id) => {
    const tx = await pool.begin();
    try {
      await Promise.all([tx.query(INSERT, [id, 1]), tx.query(INSERT, [id, 2])]);
    } catch (error) {
      await tx.rollback();
      throw error;
    }
    await tx.commit();
    return 2;
  },
];
const ROWS = [1, 2, 2];

class Load {
  /** @type {Map<number, Entry>} */
  history = new Map();
  /** Reads that failed, and answers that were wrong. @type {any[]} */
  readErrors = [];
  reads = 0;
  /** When each write was acknowledged. @type {number[]} */
  times = [];
  #over = false;
  #next = 0;
  /** @type {Promise<unknown>[]} */
  #clients;

  /**
   * @param {any} pool
   * @param {{ writers?: number, readers?: number }} [size]
   */
  constructor(pool, { writers = 18, readers = 4 } = {}) {
    this.writers = writers;
    this.#clients = [
      ...range(writers).map((index) => this.#write(pool, index % WAYS.length)),
      ...range(readers).map(() => this.#read(pool)),
    ];
  }

  /** @param {any} pool @param {number} way */
  async #write(pool, way) {
    while (!this.#over) {
      const id = this.#next++;
      /** @type {Entry} */
      const entry = { fate: 'pending', at: performance.now(), rows: ROWS[way] };
      this.history.set(id, entry);
      try {
        await WAYS[way](pool, id);
        entry.fate = 'acknowledged';
        this.times.push(performance.now());
      } catch (error) {
        entry.error = error;
        entry.fate = /** @type {any} */ (error)?.outcome === 'not-applied' ? 'not-applied' : 'unknown';
      }
    }
  }

  /** @param {any} pool */
  async #read(pool) {
    for (let i = 0; !this.#over; i++) {
      try {
        const [{ v }] = await pool.query('SELECT $1::int4 AS v', [i], { readOnly: true });
        assert.equal(v, i);
        this.reads++;
      } catch (error) {
        this.readErrors.push(error);
      }
    }
  }

  get acknowledged() {
    return this.times.length;
  }

  /** Takes no more work and waits for what runs. */
  async stop() {
    this.#over = true;
    await Promise.all(this.#clients);
  }

  /** The errors, by code. */
  errors() {
    /** @type {Record<string, number>} */
    const counts = {};
    for (const { error, fate } of this.history.values()) {
      if (error === undefined) continue;
      const key = `${error.code ?? error.message} ${fate}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  }

  /** The longest time without an acknowledged write. */
  longestPauseMs() {
    return this.times.reduce((longest, time, i) => Math.max(longest, i === 0 ? 0 : time - this.times[i - 1]), 0);
  }

  /** When the first write after `since` was acknowledged. @param {number} since */
  firstAfter(since) {
    return this.times.find((time) => time > since) ?? Infinity;
  }
}

exports.Load = Load;
exports.TABLE = TABLE;
exports.check = check;
