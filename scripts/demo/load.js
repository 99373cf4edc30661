'use strict';

// The load of an application: writers that insert, now and then in a transaction, and readers that look up what was written.
// No failed statement is repeated here, so only the pool can make one survive a failover.

const { setTimeout: sleep } = require('node:timers/promises');
const { Ledger } = require('./check.js');
const { Episodes, Meter } = require('./figures.js');

/** @typedef {import('../../client.js').Pool} Pool */

// No unique constraint: a write that is applied twice must be seen, not refused.
const SCHEMA = `
  CREATE TABLE demo_write (
    writer int NOT NULL,
    seq int NOT NULL,
    part int NOT NULL,
    node text NOT NULL DEFAULT current_setting('cluster_name')
  );
  CREATE INDEX ON demo_write (writer, seq);
  CREATE TABLE demo_probe (at timestamptz NOT NULL DEFAULT clock_timestamp())`;
const INSERT = 'INSERT INTO demo_write (writer, seq, part) VALUES ($1, $2, $3) RETURNING node';
const SELECT = 'SELECT node FROM demo_write WHERE writer = $1 AND seq = $2';
const COUNTED = 'SELECT writer, seq, part, count(*)::int AS copies FROM demo_write GROUP BY writer, seq, part';
const BY_NODE = 'SELECT node, count(*)::int AS rows FROM demo_write GROUP BY node ORDER BY node';

const WRITERS = 8;
const READERS = 4;
/** One write of this many is a transaction of PARTS rows. */
const TRANSACTION_EVERY = 20;
const PARTS = 3;
/** The pause of a reader between two statements: most of the load is to be writes. */
const READER_REST_MS = 2;
/** The pause of a writer after a failure. */
const FAILURE_REST_MS = 20;

class Load {
  ledger = new Ledger();
  writes = new Meter();
  reads = new Meter();
  episodes = new Episodes();
  failedReads = 0;
  /** Reads that did not find an acknowledged row. */
  staleReads = 0;
  /** Why statements failed, and how often. @type {Map<string, number>} */
  reasons = new Map();
  #pool;
  #stopped = false;
  /** Acknowledged writes for the readers to look up. @type {import('./check.js').Write[]} */
  #known = [];
  /** @type {Promise<unknown>} */
  #done = Promise.resolve();

  /** @param {Pool} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  start() {
    const loops = [];
    for (let number = 1; number <= WRITERS; number++) loops.push(this.#write(number));
    for (let number = 1; number <= READERS; number++) loops.push(this.#read());
    this.#done = Promise.all(loops);
  }

  /**
   * Resolves when the last statement has come back.
   * @param {number} timeoutMs
   * @returns {Promise<boolean>} false when some have not; the ledger has their writes as unknown
   */
  async stop(timeoutMs) {
    this.#stopped = true;
    const late = sleep(timeoutMs, false, { ref: false });
    return Promise.race([this.#done.then(() => true), late]);
  }

  /** @param {number} writer */
  async #write(writer) {
    for (let seq = 1; !this.#stopped; seq++) {
      const inTransaction = seq % TRANSACTION_EVERY === writer;
      const write = this.ledger.enter(writer, seq, inTransaction ? PARTS : 1);
      const started = performance.now();
      try {
        const node = inTransaction ? await this.#transaction(write) : await this.#insert(write);
        this.ledger.acknowledge(write);
        this.episodes.acknowledged(node);
        this.writes.add(performance.now() - started);
        this.#known.push(write);
      } catch (error) {
        this.ledger.fail(write, error);
        this.episodes.failed();
        this.#note('write', error);
        await sleep(FAILURE_REST_MS);
      }
    }
  }

  /** @param {import('./check.js').Write} write */
  async #insert({ writer, seq }) {
    const [{ node }] = await this.#pool.query(INSERT, [writer, seq, 0]);
    return /** @type {string} */ (node);
  }

  /** @param {import('./check.js').Write} write */
  #transaction({ writer, seq, parts }) {
    return this.#pool.transaction(async (tx) => {
      let node = '';
      for (let part = 0; part < parts; part++) [{ node }] = await tx.query(INSERT, [writer, seq, part]);
      return node;
    });
  }

  async #read() {
    while (!this.#stopped) {
      await sleep(READER_REST_MS);
      const write = this.#known[Math.floor(Math.random() * this.#known.length)];
      if (write === undefined) continue;
      const started = performance.now();
      try {
        const rows = await this.#pool.query(SELECT, [write.writer, write.seq], { readOnly: true });
        this.reads.add(performance.now() - started);
        if (rows.length !== write.parts) {
          this.staleReads += 1;
          this.#note('read', `${rows.length} rows instead of ${write.parts}`);
        }
      } catch (error) {
        this.failedReads += 1;
        this.#note('read', error);
        await sleep(FAILURE_REST_MS);
      }
    }
  }

  /** @param {string} what @param {any} error */
  #note(what, error) {
    const why =
      typeof error === 'string' ? error : `${error?.code ?? error}, outcome ${error?.outcome ?? 'not stated'}`;
    const reason = `${what}: ${why}`;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }
}

module.exports = { BY_NODE, COUNTED, Load, PARTS, READERS, SCHEMA, WRITERS };
