'use strict';

// What the tests of pool.read have in common: reads in numbers, and which nodes answered them.

const { until } = require('./helpers');

/** A standby's part of the reads may differ from what is promised by so much. */
const TOLERANCE = 0.05;

/**
 * Runs reads side by side, and counts which node answered how many.
 * @param {any} pool
 * @param {number} count
 * @param {{ clients?: number, sql?: string, options?: object, until?: () => boolean, onAnswer?: () => void }} [settings]
 *   `until`: when to stop before `count` is reached
 * @returns {Promise<{ total: number, of: (address: string) => number, failures: any[] }>}
 */
async function readMany(pool, count, { clients = 16, sql = 'SELECT 1 AS v', options, until: isOver, onAnswer } = {}) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  /** @type {unknown[]} */
  const failures = [];
  let begun = 0;
  let total = 0;
  const client = async () => {
    while (begun < count && !isOver?.()) {
      begun++;
      try {
        const { node } = await pool.read(sql, [], options);
        counts.set(node, (counts.get(node) ?? 0) + 1);
        total++;
        onAnswer?.();
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { total, of: (address) => counts.get(address) ?? 0, failures };
}

/** What the pool knows of a node. @param {any} pool @param {{ port: number }} node */
const nodeIn = (pool, { port }) => pool.nodes().find((/** @type {any} */ seen) => seen.port === port);

/**
 * Waits until the pool takes exactly these nodes for fit.
 * @param {any} pool
 * @param {{ address: string }[]} nodes
 */
async function untilFit(pool, nodes) {
  const wanted = nodes.map(({ address }) => address).sort();
  // A pool begins to look at its nodes when it is made; a read is not needed.
  await until(`fit are ${wanted.join(', ') || 'none'}`, () => {
    const fit = pool.nodes().filter((/** @type {any} */ node) => node.fit);
    const found = fit.map((/** @type {any} */ { host, port }) => `${host}:${port}`).sort();
    return String(found) === String(wanted);
  });
}

/**
 * The sessions of an application on a node, without the monitor's.
 * @param {{ sql: (text: string, params?: unknown[]) => Promise<any[]> }} node
 * @param {string} applicationName
 */
async function sessionsOn(node, applicationName) {
  const sql = 'SELECT pid, state, query FROM pg_stat_activity WHERE application_name = $1';
  return node.sql(sql, [applicationName]);
}

module.exports = { TOLERANCE, nodeIn, readMany, sessionsOn, untilFit };
