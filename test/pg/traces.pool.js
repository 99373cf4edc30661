'use strict';

// Programs at random for a Pool, and a record of what they can see of it: events, counts, and which client is lent.

const { until } = require('../support/helpers.js');
const { generator } = require('./traces.js');

const EVENTS = ['connect', 'acquire', 'release', 'error'];
/** What a step may be; some of them can only be done when a client is lent. */
const STEPS = ['take', 'take', 'take', 'call', 'give', 'give', 'drop', 'break', 'query', 'fail', 'ask', 'askWrong'];

/** @typedef {{ what: string, which: number }} PoolStep */

/** @param {number} seed @returns {{ options: Record<string, unknown>, steps: PoolStep[] }} */
function poolProgramOf(seed) {
  const random = generator(seed);
  const options = {
    max: 1 + Math.floor(random() * 3),
    ...(random() < 0.3 && { maxUses: 2 }),
    ...(random() < 0.3 && { min: 1 }),
  };
  const steps = Array.from({ length: 6 + Math.floor(random() * 14) }, () => ({
    what: STEPS[Math.floor(random() * STEPS.length)],
    which: Math.floor(random() * 100),
  }));
  return { options, steps };
}

class PoolRecorder {
  /** @type {string[]} */
  lines = [];
  /** @type {any[]} */
  #lent = [];
  #names = new Map();
  #waiting = 0;
  #asked = 0;
  #connected = 0;
  #removed = 0;
  /** @type {string[]} */
  #gone = [];

  /** @param {any} pool */
  constructor(pool) {
    this.pool = pool;
    pool.on('connect', () => {
      this.#connected += 1;
    });
    // In the order in which sockets close.
    pool.on('remove', (/** @type {any} */ client) => {
      this.#removed += 1;
      this.#gone.push(this.#nameOf(client));
    });
    for (const name of EVENTS) {
      pool.on(name, (/** @type {any[]} */ ...args) => {
        const [error, client] = name === 'error' || name === 'release' ? args : [undefined, args[0]];
        this.lines.push(`${name} ${this.#nameOf(client)} ${error?.message ?? ''}`);
      });
    }
  }

  /** @param {any} client */
  #nameOf(client) {
    if (!this.#names.has(client)) this.#names.set(client, `client ${this.#names.size}`);
    return this.#names.get(client);
  }

  /** @param {any} client */
  #take(client) {
    this.#waiting -= 1;
    this.#lent.push(client);
    this.lines.push(`lent ${this.#nameOf(client)}`);
  }

  /** @param {string} answer */
  #answered(answer) {
    this.#asked -= 1;
    this.lines.push(`asked ${answer}`);
  }

  /** Waits until nothing is under way: every client is idle or lent, and who waits can only wait for a client. */
  #settle() {
    const { pool } = this;
    return until('the pool has come to rest', () => {
      const isQuiet = pool.totalCount === pool.idleCount + this.#lent.length;
      const isKnown = this.#connected - this.#removed === pool.totalCount;
      const mayWait = pool.waitingCount === 0 || this.#lent.length === pool.options.max;
      return isQuiet && isKnown && mayWait && this.#waiting + this.#asked === pool.waitingCount;
    });
  }

  /** @param {PoolStep} step */
  async run({ what, which }) {
    const { pool } = this;
    const mayTake = this.#lent.length + this.#waiting < pool.options.max + 2;
    if (what === 'take' && mayTake) {
      this.#waiting += 1;
      pool.connect().then((/** @type {any} */ client) => this.#take(client));
    } else if (what === 'call' && mayTake) {
      this.#waiting += 1;
      pool.connect((/** @type {any} */ error, /** @type {any} */ client, /** @type {any} */ done) => {
        this.lines.push(`called ${error} ${typeof done}`);
        this.#take(client);
      });
    } else if (what.startsWith('ask')) {
      const text = what === 'ask' ? 'SELECT 1 AS one' : 'SELEKT';
      this.#asked += 1;
      pool.query(text).then(
        (/** @type {any} */ { rows }) => this.#answered(JSON.stringify(rows)),
        (/** @type {any} */ error) => this.#answered(error.code),
      );
    } else if (this.#lent.length > 0) {
      await this.#use(what, which % this.#lent.length);
    }
    await this.#settle();
    const { totalCount, idleCount, waitingCount, expiredCount, ending, ended } = pool;
    this.lines.push(`counts ${[totalCount, idleCount, waitingCount, expiredCount, ending, ended]}`);
    this.lines.push(`removed ${this.#gone.splice(0).sort()}`);
  }

  /** @param {string} what @param {number} index */
  async #use(what, index) {
    const client = this.#lent[index];
    if (what === 'query' || what === 'fail') {
      const answer = await client
        .query(what === 'query' ? 'SELECT 1 AS one' : 'SELEKT')
        .catch((/** @type {any} */ e) => e);
      this.lines.push(`used ${this.#nameOf(client)} ${answer.code ?? answer.rows.length}`);
      return;
    }
    this.#lent.splice(index, 1);
    if (what === 'break') client.release(new Error('mine'));
    else client.release(what === 'drop');
  }

  async end() {
    // Who still waits when a pool ends is a matter of facts/pool.end.test.js.
    while (this.#lent.length > 0 || this.#waiting + this.#asked > 0) {
      this.#lent.pop()?.release();
      await this.#settle();
    }
    await this.pool.end();
    // pg resolves end() before the last client has been removed.
    await until('all clients have been removed', () => this.#removed === this.#connected);
    const { totalCount, idleCount, waitingCount, ending, ended: hasEnded } = this.pool;
    this.lines.push(`counts ${[totalCount, idleCount, waitingCount, ending, hasEnded]} ${this.#gone.sort()}`);
  }
}

/**
 * Runs a program on a new pool, and resolves to its record.
 * @param {any} pg
 * @param {any} config
 * @param {ReturnType<typeof poolProgramOf>} program
 */
async function poolRecordOf(pg, config, { options, steps }) {
  const recorder = new PoolRecorder(new pg.Pool({ ...config, ...options }));
  for (const step of steps) await recorder.run(step);
  await recorder.end();
  return recorder.lines;
}

module.exports = { poolProgramOf, poolRecordOf };
