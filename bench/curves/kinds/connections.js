'use strict';

// Connections of a pool: what an idle one takes of our memory, and what a point select costs over many of them.

const { setTimeout: sleep } = require('node:timers/promises');
const { open } = require('../clients.js');
const { PEAK, STATEMENT_CPU, STATEMENT_TIME } = require('../figures.js');
const { cpuUs, each, memory, restMb, steady } = require('../measure.js');
const { pointSelect, rawPoint } = require('../point.js');

/** So many at least, so that few connections are not measured with few in flight. */
const LEAST_IN_FLIGHT = 64;

/** @param {number} connections */
const inFlightOf = (connections) => Math.max(LEAST_IN_FLIGHT, connections);

const OPEN = "SELECT count(*)::int4 AS open FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'";
/** RSS moves by pages and arenas: the memory of fewer connections cannot be told from that. */
const FEW = 10;
/** How long it may take until all are open. */
const OPENING_MS = 90_000;
const IDLE_MS = 1_000;

/** @type {import('../types').Curve} */
module.exports = {
  name: 'connections',
  title: `Connections of a pool: point selects, one in flight for each, ${LEAST_IN_FLIGHT} at least`,
  axis: 'connections',
  steps: [1, 3, 10, 30, 100, 300, 1_000],
  quick: [1, 10, 100],
  onceFrom: 1_000,
  series: [
    { name: 'hyperion', label: 'hyperiondb-client', peer: 'hyperion' },
    { name: 'pg', label: 'pg', peer: 'pg' },
    { name: 'raw', label: 'tokio-postgres', peer: 'tokio-postgres', isLimit: true },
  ],
  figures: [
    STATEMENT_TIME,
    ...STATEMENT_CPU,
    { key: 'idleKb', head: 'idle KB', label: 'KB an idle connection' },
    { key: 'openMs', head: 'open ms', label: 'ms to open one', chart: false },
    {
      key: 'idleCpuMs',
      head: 'idle CPU ms/s',
      label: 'ms of CPU a second while all are idle',
      chart: false,
      knee: false,
    },
    PEAK,
  ],
  raw: (connections) => rawPoint(connections, inFlightOf(connections)),
  async measure(job) {
    const { step: connections, seconds, warmupSeconds, place } = job;
    const few = await open(job, 1);
    await pointSelect(few)(0);
    const before = restMb();
    const started = performance.now();
    const db = await open(job, connections, { minPoolSize: connections, pipeline: { depth: 8 } });
    try {
      const opensItself = job.series.peer === 'hyperion';
      await untilOpen(db, connections + 1, opensItself);
      // The others wait for statements that make them open connections.
      const openMs = opensItself ? (performance.now() - started) / connections : undefined;
      const idleKb = connections < FEW ? undefined : ((restMb() - before) * 1024) / connections;
      const cpu = cpuUs();
      await sleep(IDLE_MS);
      const idleCpuMs = (cpuUs() - cpu) / IDLE_MS;
      const inFlight = inFlightOf(connections);
      const { dataDirs } = place;
      const select = pointSelect(db);
      // Each connection prepares the statement before anything counts.
      await each(select, { count: 3 * connections, inFlight: connections, dataDirs: [] });
      const figures = await steady(select, { inFlight, seconds, warmupSeconds, dataDirs });
      return { ...figures, idleKb, openMs, idleCpuMs, ...memory(before) };
    } finally {
      await db.close();
      await few.close();
    }
  },
};

/**
 * Ours opens its connections by itself; a pool of pg when so many statements run at the same time.
 * @param {import('../../types').Db} db
 * @param {number} connections
 * @param {boolean} opensItself
 */
async function untilOpen(db, connections, opensItself) {
  const count = db.statement('curve_open', OPEN);
  const wait = db.statement('curve_wait', 'SELECT pg_catalog.pg_sleep($1)');
  for (const until = performance.now() + OPENING_MS; ; ) {
    if (!opensItself) await Promise.all(Array.from({ length: connections - 1 }, () => wait([0.3])));
    const [{ open: there }] = await count([]);
    if (Number(there) >= connections) return;
    if (performance.now() > until) throw new Error(`only ${there} of ${connections} connections are open`);
    await sleep(20);
  }
}
