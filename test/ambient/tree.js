'use strict';

// A transaction that does things at random: writes by every method, nested transactions and savepoints, alone and side by side, over
// timers, events and streams; it fails at random, and leaves promises behind. It knows which of its rows must be there afterwards.

const { AsyncResource } = require('node:async_hooks');
const { EventEmitter } = require('node:events');
const { Readable, Transform } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { failureOf, range } = require('../support/helpers');

/** @typedef {import('../chaos/random').Random} Random */
/** What is undone as a whole: a transaction or a savepoint. @typedef {{ parent: Unit | undefined, isUndone: boolean, pid?: number, xid?: string }} Unit */
/** A row. @typedef {{ unit: Unit | undefined, isWritten: boolean, isLate?: boolean, not?: Unit }} Entry */

/**
 * What all trees share.
 * @typedef {object} World
 * @property {any} pool
 * @property {string} table
 * @property {boolean} ambient
 * @property {number} deepest how deep transactions nest
 * @property {number} longest how many steps a callback has at most
 * @property {Entry[]} entries by the number of the row
 * @property {Promise<unknown>[]} late
 * @property {(error: unknown) => void} unexpected
 * @property {number} outside calls of pool.outside() that run
 * @property {Record<string, number>} counts
 * @property {Record<string, number>} running
 */

/** More at a time could wait for each other's connections. */
const MOST_OUTSIDE = 8;

/** The failures that are meant. */
class Meant extends Error {}

/** Listeners and a worker that were there before all transactions. */
const emitter = new EventEmitter().on('call', (call) => call());
/** @type {(() => void)[]} */
const jobs = [];

/** Starts the worker; what is returned stops it. */
function startWorker() {
  const worker = setInterval(() => {
    for (const job of jobs.splice(0)) job();
  }, 1);
  return () => clearInterval(worker);
}

/** Ways from one function to the next. @type {((work: () => Promise<any>) => Promise<any>)[]} */
const WAYS = [
  (work) => work(),
  async (work) => {
    await null;
    return work();
  },
  (work) => Promise.resolve().then(work),
  (work) => new Promise((resolve, reject) => setTimeout(() => work().then(resolve, reject), 1)),
  (work) => new Promise((resolve, reject) => setImmediate(() => work().then(resolve, reject))),
  (work) => new Promise((resolve, reject) => process.nextTick(() => work().then(resolve, reject))),
  (work) => new Promise((resolve, reject) => emitter.emit('call', () => work().then(resolve, reject))),
  (work) => new Promise((resolve, reject) => jobs.push(AsyncResource.bind(() => void work().then(resolve, reject)))),
  async (work) => {
    /** @type {any} */
    let result;
    const through = new Transform({
      objectMode: true,
      transform: (_chunk, _encoding, done) =>
        void work().then((value) => {
          result = value;
          done();
        }, done),
    });
    await pipeline(Readable.from([1]), through);
    return result;
  },
  async (work) => {
    async function* once() {
      yield await work();
    }
    for await (const value of once()) return value;
  },
];

/** How a row is written. @type {Record<string, (on: any, table: string, id: number) => Promise<unknown>>} */
const WRITES = {
  query: (on, table, id) => on.query(`INSERT INTO ${table} (id) VALUES ($1)`, [id]),
  sql: (on, table, id) => on.sql`insert into ${on.sql.id(table)} (id) values (${id})`,
  value: (on, table, id) => on.value(`INSERT INTO ${table} (id) VALUES ($1) RETURNING id`, [id]),
  batch: (on, table, id) => on.batch([[`INSERT INTO ${table} (id) VALUES ($1)`, [id]], 'SELECT 1']),
  exec: (on, table, id) => on.exec(`SELECT 1; INSERT INTO ${table} (id) VALUES (${id})`),
  copyFrom: (on, table, id) => on.copyFrom(`${table} (id)`, [[id]]),
  stream: async (on, table, id) => {
    for await (const _ of on.stream(`INSERT INTO ${table} (id) VALUES ($1) RETURNING id`, [id]));
  },
  copyTo: async (on, table, id) => {
    for await (const _ of on.copyTo(`COPY (INSERT INTO ${table} (id) VALUES (${id}) RETURNING id) TO STDOUT`));
  },
  'within a stream': async (on, table, id) => {
    // More than is on its way without being read.
    for await (const { i } of on.stream(`SELECT i, repeat('x', 1000) AS wide FROM generate_series(1, 150) AS i`)) {
      if (i === 2) await on.query(`INSERT INTO ${table} (id) VALUES ($1)`, [id]);
    }
  },
};

class Tree {
  #world;
  #random;
  /** Of the attempt that runs. @type {Unit | undefined} */
  #top;
  #attempts = 0;

  /** @param {World} world @param {Random} random */
  constructor(world, random) {
    this.#world = world;
    this.#random = random;
  }

  /** Resolves when the transaction has ended, however. */
  async run() {
    const { pool, unexpected } = this.#world;
    /** @type {(value?: unknown) => void} */
    let tell = () => {};
    const ended = new Promise((resolve) => {
      tell = resolve;
    });
    try {
      await pool.transaction((/** @type {any} */ tx) => this.#attempt(tx, ended), { retries: 1 });
    } catch (error) {
      this.#undo(this.#top);
      if (!(error instanceof Meant)) unexpected(error);
    }
    tell();
  }

  /** @param {Unit | undefined} unit */
  #undo(unit) {
    if (unit !== undefined) unit.isUndone = true;
  }

  /** @param {any} tx @param {Promise<unknown>} ended */
  async #attempt(tx, ended) {
    this.#undo(this.#top);
    const { pool } = this.#world;
    this.#count('attempts');
    this.#attempts++;
    /** @type {Unit} */
    const unit = { parent: undefined, isUndone: false };
    this.#top = unit;
    const [{ pid, xid }] = await tx.query('SELECT pg_backend_pid() AS pid, txid_current()::text AS xid');
    Object.assign(unit, { pid, xid });
    if (this.#random.once(3)) this.#leaveBehind(ended);
    await this.#body([tx], unit, 0);
    if (this.#attempts === 1 && this.#random.once(12)) {
      const error = await failureOf(pool.query(`DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`));
      throw error;
    }
  }

  /** @param {string} what */
  #count(what) {
    this.#world.counts[what] = (this.#world.counts[what] ?? 0) + 1;
  }

  /** @param {Entry} entry @returns {number} the number of its row */
  #enter(entry) {
    return this.#world.entries.push(entry) - 1;
  }

  /**
   * @param {any[]} handles of the transaction and the parts around the caller
   * @param {Unit} unit
   * @param {number} depth
   * @returns {Promise<void>}
   */
  async #body(handles, unit, depth) {
    for (const _ of range(this.#random.int(1, this.#world.longest))) {
      await this.#random.pick(WAYS)(() => this.#step(handles, unit, depth));
    }
    if (this.#random.once(8)) {
      this.#count('failures');
      throw new Meant();
    }
  }

  /** @param {any[]} handles @param {Unit} unit @param {number} depth @returns {Promise<unknown>} */
  async #step(handles, unit, depth) {
    const choice = this.#random.int(1, 10);
    if (choice <= 4 || depth >= this.#world.deepest) return this.#write(handles, unit);
    if (choice <= 6) return this.#savepoint(handles, unit, depth);
    if (choice === 7) return this.#joined(handles, unit, depth);
    if (choice === 8) return this.#outside(handles, unit);
    return this.#sideBySide(handles, unit, depth);
  }

  /** @param {any[]} handles @param {Unit} unit */
  async #write(handles, unit) {
    const { pool, table } = this.#world;
    const way = this.#random.pick(Object.keys(WRITES));
    const on = this.#random.pick([pool, pool, ...handles]);
    /** @type {Entry} */
    const entry = { unit, isWritten: false };
    const id = this.#enter(entry);
    this.#count('writes');
    await this.#running(way, () => WRITES[way](on, table, id));
    entry.isWritten = true;
  }

  /** @template T @param {string} what @param {() => Promise<T>} work */
  async #running(what, work) {
    const { running } = this.#world;
    running[what] = (running[what] ?? 0) + 1;
    try {
      return await work();
    } finally {
      running[what]--;
    }
  }

  /** A savepoint by one of the ways to make one. @param {any[]} handles @param {Unit} unit @param {number} depth */
  async #savepoint(handles, unit, depth) {
    const { pool, ambient } = this.#world;
    /** @type {Unit} */
    const own = { parent: unit, isUndone: false };
    this.#count('savepoints');
    const callback = async (/** @type {any} */ inner) => {
      await this.#body([...handles, inner], own, depth + 1);
      if (this.#random.once(8)) {
        this.#count('failed statements');
        const { code } = await failureOf(pool.query('SELECT 1 / 0'));
        if (code !== '22012') throw new Error(`22012 was expected, not ${code}`);
        throw new Meant();
      }
    };
    try {
      if (ambient && this.#random.once(2)) await pool.transaction(callback, { nested: 'savepoint' });
      else await this.#random.pick(handles).transaction(callback);
    } catch (error) {
      this.#undo(own);
      if (!(error instanceof Meant) || this.#random.once(6)) throw error;
    }
  }

  /** @param {any[]} handles @param {Unit} unit @param {number} depth */
  async #joined(handles, unit, depth) {
    this.#count('joined');
    const { pool, ambient } = this.#world;
    // Without `ambient` it is another transaction. Savepoints of two transactions side by side could wait for each other.
    const outer = ambient ? handles : [];
    try {
      await pool.transaction((/** @type {any} */ inner) => this.#body([...outer, inner], unit, depth + 1));
    } catch (error) {
      if (!(error instanceof Meant) || this.#random.once(3)) throw error;
    }
  }

  /** A row, or a transaction, that does not belong to this one. @param {any[]} handles @param {Unit} unit */
  async #outside(handles, unit) {
    const world = this.#world;
    if (world.outside >= MOST_OUTSIDE) return this.#write(handles, unit);
    world.outside++;
    this.#count('outside');
    try {
      await world.pool.outside(async () => {
        /** @type {Entry} */
        const entry = { unit: undefined, isWritten: false, not: this.#top };
        const id = this.#enter(entry);
        const write = () => WRITES.query(world.pool, world.table, id);
        await (this.#random.once(2) ? write() : world.pool.transaction(write));
        entry.isWritten = true;
      });
    } finally {
      world.outside--;
    }
  }

  /** @param {any[]} handles @param {Unit} unit @param {number} depth */
  async #sideBySide(handles, unit, depth) {
    this.#count('side by side');
    const works = range(this.#random.int(2, 4)).map(() =>
      this.#random.pick(WAYS)(() =>
        this.#random.once(2) ? this.#write(handles, unit) : this.#savepoint(handles, unit, depth),
      ),
    );
    const ends = await Promise.allSettled(works);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  /** A write that comes when the transaction has ended. @param {Promise<unknown>} ended */
  #leaveBehind(ended) {
    const { pool, table, late } = this.#world;
    this.#count('left behind');
    const write = async () => {
      await ended;
      const way = this.#random.pick(Object.keys(WRITES));
      const id = this.#enter({ unit: undefined, isWritten: false, isLate: true });
      const { code } = await failureOf((async () => WRITES[way](pool, table, id))());
      if (code !== 'ERR_TRANSACTION_ENDED') throw new Error(`ERR_TRANSACTION_ENDED was expected, not ${code}`);
    };
    late.push(write().catch(this.#world.unexpected));
  }
}

/** Whether all that a row belongs to was kept. @param {Unit | undefined} unit */
function isKept(unit) {
  for (let at = unit; at !== undefined; at = at.parent) if (at.isUndone) return false;
  return true;
}

/** The transaction of a row. @param {Unit} unit */
function topOf(unit) {
  let at = unit;
  while (at.parent !== undefined) at = at.parent;
  return at;
}

module.exports = { Tree, isKept, startWorker, topOf };
