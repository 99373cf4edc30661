'use strict';

// The load of an application: writers that insert, now and then in a transaction, and readers that look up what was written, by
// pool.read(). Some writers run in a session and read back each write. No failed statement is repeated here, so only the pool can
// make one survive a failover.

const { setTimeout: sleep } = require('node:timers/promises');
const { Ledger } = require('./check.js');
const { Episodes, Meter } = require('./figures.js');
const { ReadLedger } = require('./reads.js');

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

/** So many of the writers have a session, and are readers, too. */
const SESSIONS = 2;
const WRITERS = 8;
/** The readers that are no writers: half of them read plainly, and the others with a token. */
const READERS = 4;
/** One INSERT of this many brings a token. */
const TOKEN_EVERY = 2;
/** One write of this many is a transaction of PARTS rows. */
const TRANSACTION_EVERY = 20;
const PARTS = 3;
/** A reader with a token looks up one of so many writes, the last ones. */
const RECENT = 10;
/** The pause of a reader between two statements: most of the load is to be writes. */
const READER_REST_MS = 2;
/** The pause of a writer after a failure. */
const FAILURE_REST_MS = 20;

class Load {
  ledger = new Ledger();
  lookups = new ReadLedger();
  writes = new Meter();
  reads = new Meter();
  episodes = new Episodes();
  /** Why statements failed, and how often. @type {Map<string, number>} */
  reasons = new Map();
  #pool;
  #stopped = false;
  /** The last acknowledged write. @type {import('./check.js').Write | undefined} */
  #newest;
  /** Acknowledged writes with their tokens. @type {{ write: import('./check.js').Write, token: string }[]} */
  #withTokens = [];
  /** @type {Promise<unknown>} */
  #done = Promise.resolve();

  /** @param {Pool} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  start() {
    const loops = [];
    for (let number = 1; number <= WRITERS; number++) {
      loops.push(number <= SESSIONS ? this.#writeAndReadBack(number) : this.#write(number));
    }
    for (let number = 1; number <= READERS; number++) {
      loops.push(number % 2 === 0 ? this.#readPlainly() : this.#readWithTokens());
    }
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
    for (let seq = 1; !this.#stopped; seq++) await this.#writeOnce(writer, seq);
  }

  /** @param {number} writer */
  async #writeAndReadBack(writer) {
    for (let seq = 1; !this.#stopped; seq++) {
      await this.#pool.session(async () => {
        const write = await this.#writeOnce(writer, seq);
        if (write !== undefined) await this.#lookUp('session', write);
      });
    }
  }

  /**
   * @param {number} writer
   * @param {number} seq
   * @returns the write, if it was acknowledged
   */
  async #writeOnce(writer, seq) {
    const inTransaction = seq % TRANSACTION_EVERY === writer;
    const write = this.ledger.enter(writer, seq, inTransaction ? PARTS : 1);
    const started = performance.now();
    try {
      const node = inTransaction ? await this.#transaction(write) : await this.#insert(write);
      this.ledger.acknowledge(write);
      this.episodes.acknowledged(node);
      this.writes.add(performance.now() - started);
      this.#newest = write;
      return write;
    } catch (error) {
      this.ledger.fail(write, error);
      this.episodes.failed();
      this.#note('write', error);
      await sleep(FAILURE_REST_MS);
    }
  }

  /** @param {import('./check.js').Write} write */
  async #insert(write) {
    const { writer, seq } = write;
    if (seq % TOKEN_EVERY !== 0) {
      const [row] = await this.#pool.query(INSERT, [writer, seq, 0]);
      return /** @type {string} */ (row.node);
    }
    const rows = await this.#pool.query(INSERT, [writer, seq, 0], { token: true });
    this.#withTokens.push({ write, token: rows.token });
    return /** @type {string} */ (rows[0].node);
  }

  /** @param {import('./check.js').Write} write */
  #transaction({ writer, seq, parts }) {
    return this.#pool.transaction(async (tx) => {
      let node = '';
      for (let part = 0; part < parts; part++) [{ node }] = await tx.query(INSERT, [writer, seq, part]);
      return node;
    });
  }

  async #readPlainly() {
    while (!this.#stopped) {
      await sleep(READER_REST_MS);
      if (this.#newest !== undefined) await this.#lookUp('plain', this.#newest);
    }
  }

  /** As another process would that has got the token of a write. */
  async #readWithTokens() {
    while (!this.#stopped) {
      await sleep(READER_REST_MS);
      // One of the last: those are the ones that a standby may not have yet.
      const { write, token } = this.#withTokens.at(-1 - Math.floor(Math.random() * RECENT)) ?? {};
      if (write !== undefined) await this.#lookUp('token', write, { after: token });
    }
  }

  /**
   * @param {import('./reads.js').Kind} kind
   * @param {import('./check.js').Write} write acknowledged
   * @param {{ after?: string }} [options]
   */
  async #lookUp(kind, { writer, seq, parts }, options) {
    const started = performance.now();
    try {
      const rows = await this.#pool.read(SELECT, [writer, seq], options);
      this.reads.add(performance.now() - started);
      if (!this.lookups.answer(kind, rows, parts)) this.#note('read', `${rows.length} rows instead of ${parts}`);
    } catch (error) {
      this.lookups.fail();
      this.#note('read', error);
      await sleep(FAILURE_REST_MS);
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

module.exports = { BY_NODE, COUNTED, Load, PARTS, READERS, SCHEMA, SESSIONS, WRITERS };
