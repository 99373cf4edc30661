'use strict';

// Nodes: what a list of 1 to 50 hosts costs. The primary is real and the last of the list; the first two standbys are real, those
// beyond are listeners (fakes.js).

const { setTimeout: sleep } = require('node:timers/promises');
const { ours } = require('../clients.js');
const { GROWTH } = require('../figures.js');
const { cpuUs, each, memory, restMb, steady } = require('../measure.js');
const { load, pointSelect } = require('../point.js');

const CONNECTIONS = 10;
const IN_FLIGHT = 64;
/** Pools opened one after the other until their first row; the median counts. */
const STARTS = 5;
const CALLS = 500;
const TURNS = 8;
const IDLE_MS = 2_000;
const SETTLING_MS = 300;
/** Statements before the node of a read is looked at. */
const LOOKED_AT = 200;

const [POINT] = load.statements;

/** @type {import('../types').Curve} */
module.exports = {
  name: 'nodes',
  title: `Nodes: queries of the primary, reads of standbys, ${IN_FLIGHT} in flight, all nodes watched`,
  axis: 'nodes in the list of hosts',
  steps: [1, 2, 3, 5, 10, 20, 50],
  quick: [1, 3, 50],
  series: [{ name: 'hyperion', label: 'hyperiondb-client', peer: 'hyperion' }],
  figures: [
    { key: 'usPerOp', head: 'us', label: 'us a query' },
    { key: 'cpuUsPerOp', head: 'CPU us', label: "us of the client's CPU a query" },
    { key: 'readCpuUs', head: 'read CPU us', label: "us of the client's CPU a read" },
    { key: 'statusUs', head: 'status() us', label: 'us a call of status()' },
    { key: 'nodesUs', head: 'nodes() us/node', label: 'us a node of a call of nodes()' },
    { key: 'watchUs', head: 'watch us/s/node', label: 'us of CPU a second and node for the watch', knee: false },
    { key: 'firstMs', head: 'first row ms', label: 'ms to the first row, the primary listed last' },
    GROWTH,
  ],
  async measure(job) {
    const { step, seconds, warmupSeconds, place } = job;
    const hosts = hostsOf(job);
    const at = { ...job, place: { ...place, hosts } };
    const firstMs = await median(STARTS, () => start(at));
    const rest = restMb();
    const pool = ours(at, CONNECTIONS);
    try {
      /** @param {'query' | 'read'} method */
      const by = (method) =>
        pointSelect(
          /** @type {any} */ ({
            statement: (/** @type {string} */ _name, /** @type {string} */ sql) => (/** @type {any[]} */ params) =>
              /** @type {any} */ (pool)[method](sql, params),
          }),
        );
      await by('query')(0);
      await sleep(SETTLING_MS); // the monitors log in
      await expectAll(pool, step);
      const cpu = cpuUs();
      await sleep(IDLE_MS);
      const watchUs = ((cpuUs() - cpu) * 1000) / IDLE_MS / step;
      const how = { inFlight: IN_FLIGHT, seconds, warmupSeconds, dataDirs: [] };
      const { usPerOp, cpuUsPerOp } = await steady(by('query'), how);
      // Each connection to a standby prepares the statement before anything counts.
      await each(by('read'), { count: 3 * CONNECTIONS * step, inFlight: CONNECTIONS * step, dataDirs: [] });
      const { cpuUsPerOp: readCpuUs } = await steady(by('read'), how);
      return {
        usPerOp,
        cpuUsPerOp,
        readCpuUs,
        statusUs: usOf(() => pool.status()),
        nodesUs: usOf(() => pool.nodes()) / step,
        watchUs,
        firstMs,
        ...memory(rest),
      };
    } finally {
      await pool.end();
    }
  },
};

/** @param {import('../types').Job} job */
function hostsOf({ step, place }) {
  const { host, port } = place.primary;
  return [...place.standbys, ...(place.fakes ?? [])].slice(0, step - 1).concat(`${host}:${port}`);
}

/** Ms from createPool to the first row. @param {import('../types').Job} job */
async function start(job) {
  const started = performance.now();
  const pool = ours(job, CONNECTIONS);
  await pool.query(POINT, [1]);
  const ms = performance.now() - started;
  await pool.end();
  return ms;
}

/** @param {number} times @param {() => Promise<number>} figure */
async function median(times, figure) {
  const values = [];
  for (let n = 0; n < times; n++) values.push(await figure());
  return values.sort((a, b) => a - b)[Math.floor(times / 2)];
}

/** The quickest of several turns: a call takes microseconds, and any other process of the machine disturbs it. @param {() => unknown} call */
function usOf(call) {
  const turns = Array.from({ length: TURNS }, () => {
    const started = performance.now();
    for (let n = 0; n < CALLS; n++) call();
    return ((performance.now() - started) * 1000) / CALLS;
  });
  return Math.min(...turns);
}

/**
 * All nodes are up, and every standby gets reads, or else something else is measured.
 * @param {import('../../../client.js').Pool} pool
 * @param {number} count
 */
async function expectAll(pool, count) {
  const nodes = pool.nodes();
  const standbys = nodes.filter(({ role }) => role === 'standby').length;
  if (nodes.length !== count || standbys !== count - 1) {
    throw new Error(`${standbys} standbys of ${nodes.length} nodes instead of ${count - 1} of ${count}`);
  }
  const answered = new Set();
  await Promise.all(Array.from({ length: LOOKED_AT }, async () => answered.add((await pool.read(POINT, [1])).node)));
  if (answered.size !== Math.max(1, count - 1)) throw new Error(`reads went to ${answered.size} of ${count} nodes`);
}
