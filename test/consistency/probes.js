'use strict';

// Clients that write and at once read back what they have written, on whatever node the read goes to. A probe is one write that was
// committed for sure, and its read; it is stale if the read does not see the write. Each client has a row of its own, whose counter
// only grows: a write of unknown outcome is no probe, and cannot make a later probe look stale.

/** @typedef {{ writer: any, reader: any }} Pools two pools over the same cluster, as two processes have them */
/** @typedef {{ n: number, standby: boolean }} Seen */
/** @typedef {(pools: Pools, id: number, n: number, read: Read) => Promise<Seen>} Way a write and its read */
/** @typedef {(pool: any, id: number, after?: string) => Promise<Seen>} Read */

const TABLE = 'CREATE TABLE probes (id int PRIMARY KEY, n int NOT NULL) WITH (fillfactor = 20)';
const WRITE = 'UPDATE probes SET n = $2 WHERE id = $1';
const READ = 'SELECT n, pg_is_in_recovery() AS standby FROM probes WHERE id = $1';

/** Stale probes and errors that are described. */
const SHOWN = 10;

/** A write that was not committed for sure: no probe. */
class NotWritten extends Error {}

/**
 * @template T
 * @param {Promise<T>} write
 */
async function written(write) {
  try {
    return await write;
  } catch (cause) {
    throw new NotWritten('not written', { cause });
  }
}

/** Each way to follow a write. @type {Record<string, Way>} */
const FOLLOWING = {
  'query({ token })': async ({ writer, reader }, id, n, read) => {
    const { token } = await written(writer.query(WRITE, [id, n], { token: true }));
    return read(reader, id, token);
  },
  'transaction(), token()': async ({ writer, reader }, id, n, read) => {
    await written(writer.transaction((/** @type {any} */ tx) => tx.query(WRITE, [id, n])));
    return read(reader, id, await written(writer.token()));
  },
  'session(): query()': ({ writer }, id, n, read) =>
    writer.session(async () => {
      await written(writer.query(WRITE, [id, n]));
      return read(writer, id);
    }),
  'session(): transaction()': ({ writer }, id, n, read) =>
    writer.session(async () => {
      await written(writer.transaction((/** @type {any} */ tx) => tx.query(WRITE, [id, n])));
      return read(writer, id);
    }),
  'session(): batch()': ({ writer }, id, n, read) =>
    writer.session(async () => {
      const [result] = await written(writer.batch([[WRITE, [id, n]]]));
      if (result.status === 'rejected') throw new NotWritten('not written', { cause: result.reason });
      return read(writer, id);
    }),
};

/** The same without tokens and sessions, to show that probes can be stale. @type {Record<string, Way>} */
const NOT_FOLLOWING = {
  'without after': async ({ writer, reader }, id, n, read) => {
    await written(writer.query(WRITE, [id, n]));
    return read(reader, id);
  },
};

/** @param {readonly number[]} sorted @param {number} share from 0 to 1 */
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

class Probes {
  /** Probes that have ended. */
  done = 0;
  stale = 0;
  /** Reads that rejected. */
  failed = 0;
  /** Writes that were not committed for sure. */
  notWritten = 0;
  /** Reads that the primary has answered. */
  onPrimary = 0;
  /** Reads by node. @type {Record<string, number>} */
  byNode = {};
  /** Descriptions of stale probes and of errors. @type {string[]} */
  details = [];
  /** How long each read took. @type {number[]} */
  #milliseconds = [];
  #stopped = false;
  #running;

  /**
   * Begins to probe.
   * @param {Pools} pools
   * @param {{ clients: number, follows: boolean }} options
   */
  constructor(pools, { clients, follows }) {
    const ways = Object.entries(follows ? FOLLOWING : NOT_FOLLOWING);
    const client = (/** @type {unknown} */ _, /** @type {number} */ id) =>
      this.#probe(pools, id, ...ways[id % ways.length]);
    this.#running = Promise.all(Array.from({ length: clients }, client));
  }

  /** Makes the table. @param {any} pool @param {number} clients */
  static async prepare(pool, clients) {
    await pool.exec(`DROP TABLE IF EXISTS probes; ${TABLE}`);
    await pool.query('INSERT INTO probes SELECT id, 0 FROM generate_series(0, $1::int - 1) AS id', [clients]);
  }

  /** Lets no client begin another probe, and waits for the present ones. */
  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  /**
   * Writes and reads back, one after the other.
   * @param {Pools} pools @param {number} id @param {string} name @param {Way} way
   */
  async #probe(pools, id, name, way) {
    for (let n = 1; !this.#stopped; n++) {
      let began = 0;
      let node = '';
      /** @type {Read} */
      const read = async (pool, row, after) => {
        began = performance.now();
        const rows = await pool.read(READ, [row], after === undefined ? undefined : { after });
        node = rows.node;
        return rows[0];
      };
      try {
        const seen = await way(pools, id, n, read);
        this.#note(performance.now() - began, node, seen);
        if (seen.n < n) this.#noteStale(`${name}: ${node} has ${seen.n}, and ${n} was written`);
      } catch (error) {
        if (error instanceof NotWritten) this.notWritten++;
        else this.#noteFailure(`${name}: ${/** @type {Error} */ (error).message}`);
      }
    }
  }

  /** @param {number} ms @param {string} node @param {Seen} seen */
  #note(ms, node, { standby }) {
    this.done++;
    this.#milliseconds.push(ms);
    this.byNode[node] = (this.byNode[node] ?? 0) + 1;
    if (!standby) this.onPrimary++;
  }

  /** @param {string} text */
  #noteStale(text) {
    this.stale++;
    if (this.details.length < SHOWN) this.details.push(`stale: ${text}`);
  }

  /** @param {string} text */
  #noteFailure(text) {
    this.failed++;
    if (this.details.length < SHOWN) this.details.push(`failed: ${text}`);
  }

  /** What happened so far, for a person. @param {(node: string) => string} nameOf */
  report(nameOf) {
    const sorted = [...this.#milliseconds].sort((a, b) => a - b);
    const percent = (/** @type {number} */ part) => `${((100 * part) / Math.max(1, this.done)).toFixed(1)} %`;
    const nodes = Object.entries(this.byNode).map(([node, count]) => `${nameOf(node)} ${count} (${percent(count)})`);
    return [
      `${this.done} probes, ${this.stale} stale, ${this.failed} failed, ${this.notWritten} writes not known to be committed`,
      `reads took ${quantile(sorted, 0.5).toFixed(1)} ms (p50), ${quantile(sorted, 0.99).toFixed(1)} ms (p99), ${quantile(sorted, 1).toFixed(0)} ms (longest)`,
      `the primary answered ${percent(this.onPrimary)}; by node: ${nodes.sort().join(', ')}`,
      ...this.details,
    ].join('\n');
  }
}

module.exports = { Probes };
