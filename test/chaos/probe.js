'use strict';

// Records when a cluster accepts writes, without the pool: a session of its own on every node tries one all the time.

const { setTimeout: sleep } = require('node:timers/promises');
const { withConnection } = require('../../exports/testing/cluster/sql.js');

/** @typedef {import('../support/cluster').Cluster} Cluster */
/** @typedef {{ from: number, to: number }} Span of performance.now() */

const TABLE = 'CREATE TABLE probe (at timestamptz NOT NULL DEFAULT clock_timestamp())';
const INSERT = 'INSERT INTO probe DEFAULT VALUES';
/** Time between two tries on a node. */
const REST_MS = 2;

class Probe {
  #over = false;
  /** The times of accepted writes. @type {number[]} */
  #accepted = [];
  /** @type {Promise<unknown>} */
  #done;

  /** @param {Cluster} cluster */
  constructor(cluster) {
    this.#done = Promise.all(cluster.nodes.map((node) => this.#ask(node)));
  }

  /** @param {Cluster} cluster */
  static async start(cluster) {
    await cluster.primary().sql('DROP TABLE IF EXISTS probe');
    await cluster.primary().sql(TABLE);
    return new Probe(cluster);
  }

  /** @param {import('../support/cluster').Node} node */
  async #ask(node) {
    while (!this.#over) {
      await withConnection(node.login, async (query) => {
        while (!this.#over) {
          try {
            await query(INSERT);
            this.#accepted.push(performance.now());
          } catch (error) {
            // Read-only: a standby, or a fenced node. After any other error the connection is not used again.
            if (/** @type {any} */ (error).code !== '25006') throw error;
          }
          await sleep(REST_MS);
        }
      }).catch(() => sleep(REST_MS));
    }
  }

  /** Stops, and returns the longest time in which no node accepted a write. @returns {Promise<Span>} */
  async stop() {
    this.#over = true;
    await this.#done;
    const times = this.#accepted.sort((a, b) => a - b);
    const spans = times.slice(1).map((to, index) => ({ from: times[index], to }));
    return spans.reduce((longest, span) => (span.to - span.from > longest.to - longest.from ? span : longest));
  }
}

exports.Probe = Probe;
