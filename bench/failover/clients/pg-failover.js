'use strict';

// What a careful application does with node-postgres and several hosts: one pg.Pool, to the node that accepts writes. When
// an error says that the node does not accept writes any more, each host is asked in turn, and the pool of the new one is used.
//
//   - What was certainly not applied is run again: no connection was had, or the server refused it with 25006.
//   - A write that may have been applied is never run again: its error goes to the caller. A declared read is.
//   - A node that is silent (frozen, cut off) is only noticed by a limit on every statement (query_timeout).

const { Client, Pool } = require('pg');
const { setTimeout: sleep } = require('node:timers/promises');

/** @typedef {{ host: string, port: number }} Host */
/** @typedef {{ host: Host, pool: any }} Node */

const CONNECT_TIMEOUT_MS = 1_000;
/** The pause between two rounds over all hosts. */
const PAUSE_MS = 100;

const WRITABLE = `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable`;

/** The server says that this node is not, or not any more, the one to write to, or goes away (PostgreSQL docs, Appendix A). */
const NODE_STATES = new Set(['25006', '57P01', '57P02', '57P03', '53300']);

/** Errors without a severity are not the server's: of the socket, of a limit. @param {any} error */
const isOfNode = (error) => error.severity === undefined || NODE_STATES.has(error.code) || /^08/.test(error.code);

/** @param {any} client */
async function assertWritable(client) {
  const { rows } = await client.query(WRITABLE);
  if (!rows[0].writable) throw new Error(`${client.host}:${client.port} does not accept writes`);
}

class FailoverPool {
  #hosts;
  #options;
  #waitMs;
  /** The host at which the search begins. */
  #first = 0;
  /** @type {Node | null} */
  #current = null;
  /** The search that all callers wait for. @type {Promise<Node> | null} */
  #search = null;

  /**
   * @param {object} options
   * @param {string[]} options.hosts `host:port`
   * @param {{ user: string, password: string, database: string }} options.login
   * @param {number} options.max connections
   * @param {number} options.waitMs how long a statement may wait for a node that accepts writes
   * @param {number} [options.queryTimeoutMs] limit of every statement; without it a silent node is never noticed
   */
  constructor({ hosts, login, max, waitMs, queryTimeoutMs }) {
    this.#hosts = hosts.map((each) => {
      const [host, port] = each.split(':');
      return { host, port: Number(port) };
    });
    this.#waitMs = waitMs;
    this.#options = {
      ...login,
      max,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: queryTimeoutMs,
      idleTimeoutMillis: 0,
      // The node may have become a standby since it was found.
      onConnect: assertWritable,
    };
  }

  /**
   * @param {string} text
   * @param {readonly unknown[]} values
   * @param {{ readOnly?: boolean }} [options] `readOnly`: it changes nothing and may be run again
   */
  async query(text, values, { readOnly = false } = {}) {
    const deadline = performance.now() + this.#waitMs;
    for (;;) {
      const node = await this.#node(deadline);
      let sent = false;
      try {
        const client = await node.pool.connect();
        sent = true;
        let failed;
        try {
          return await client.query(text, values);
        } catch (error) {
          failed = /** @type {any} */ (error);
          throw error;
        } finally {
          client.release(failed !== undefined && isOfNode(failed));
        }
      } catch (cause) {
        const error = /** @type {any} */ (cause);
        if (!isOfNode(error)) throw error;
        this.#leave(node);
        const again = !sent || readOnly || error.code === '25006';
        if (!again || performance.now() >= deadline) throw error;
      }
    }
  }

  /** @param {number} deadline @returns {Promise<Node>} */
  async #node(deadline) {
    if (this.#current !== null) return this.#current;
    this.#search ??= this.#find();
    const late = sleep(Math.max(0, deadline - performance.now()), undefined, { ref: false }).then(() => {
      throw new Error(`no node accepted writes within ${this.#waitMs} ms`);
    });
    return Promise.race([this.#search, late]);
  }

  /** Searches until a node accepts writes. @returns {Promise<Node>} */
  async #find() {
    for (;;) {
      for (let i = 0; i < this.#hosts.length; i++) {
        const index = (this.#first + i) % this.#hosts.length;
        const host = this.#hosts[index];
        if (!(await this.#accepts(host))) continue;
        this.#first = index;
        this.#search = null;
        this.#current = { host, pool: this.#open(host) };
        return this.#current;
      }
      await sleep(PAUSE_MS);
    }
  }

  /** @param {Host} host */
  async #accepts(host) {
    const client = new Client({ ...this.#options, ...host, query_timeout: CONNECT_TIMEOUT_MS });
    client.on('error', () => {}); // told by what is awaited
    try {
      await client.connect();
      await assertWritable(client);
      return true;
    } catch {
      return false;
    } finally {
      client.end().catch(() => {}); // a silent node does not answer the goodbye
    }
  }

  /** @param {Host} host */
  #open(host) {
    const pool = new Pool({ ...this.#options, ...host });
    // Without a listener an error of a connection would end the process; its statement is rejected in any case.
    pool.on('error', () => {});
    pool.on('connect', (client) => client.on('error', () => {}));
    return pool;
  }

  /** Looks elsewhere, the next host first. What runs there already may finish. @param {Node} node */
  #leave(node) {
    if (this.#current !== node) return; // somebody else was faster
    this.#current = null;
    this.#first = (this.#first + 1) % this.#hosts.length;
    node.pool.end().catch(() => {});
  }
}

module.exports = { FailoverPool };
