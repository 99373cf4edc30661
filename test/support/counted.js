'use strict';

// What a pool really sends, according to the log of the server.

const { loginOf, ownCluster, poolFor, until } = require('./helpers');

/**
 * A cluster whose log has every statement, and a pool on it; `sent` returns the statements since its last call.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 */
async function counted(t, options) {
  const own = await ownCluster(t, { nodes: 1, settings: { log_min_duration_statement: 0 } });
  const applicationName = `counted-${process.pid}-${Math.floor(Math.random() * 1e9)}`;
  const pool = poolFor(t, { ...loginOf(own.cluster), applicationName, ...options });
  const node = /** @type {import('../../exports/testing/cluster/node.js').LocalNode} */ (own.cluster.primary());
  let from = 0;
  const sent = async () => {
    const mark = `mark_${Math.random()}`;
    await node.sql(`SELECT '${mark}'`);
    const log = await until('the log is written', () => (node.log().includes(mark) ? node.log() : null));
    const lines = log
      .slice(from)
      .split('\n')
      .filter((line) => line.includes(` ${applicationName} `) && line.includes('duration:'));
    from = log.length;
    const statements = lines.map((line) => line.replace(/^.*? {1,2}duration: [\d.]+ ms {1,2}/, '')).filter(Boolean);
    // The monitor asks on a connection of its own: once which cluster it is, and every second for the role of the node.
    return statements.filter((line) => !/pg_is_in_recovery\(\)|pg_control_system\(\)/.test(line));
  };
  return { own, pool, sent };
}

module.exports = { counted };
