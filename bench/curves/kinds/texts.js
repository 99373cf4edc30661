'use strict';

// Distinct texts: the same point select with 1 to 100,000 texts, one after the other and again from the first, over one
// connection. A cache of prepared statements that is smaller than their number never has the one that is asked for.

const fs = require('node:fs');
const { open } = require('../clients.js');
const { GROWTH, STATEMENT_CPU, STATEMENT_TIME } = require('../figures.js');
const { each, memory, restMb, steady } = require('../measure.js');

const IN_FLIGHT = 8;
const ITEMS = 100_000;
const MOST = 1e5;

/** @param {number} n */
const textOf = (n) => `SELECT id, name, score FROM hyperion_bench_item WHERE id = $1 AND score <> -${n + 1}`;

/** Private memory of a process on this machine, in MB. @param {number} pid @param {boolean} isHere */
function privateMb(pid, isHere) {
  if (!isHere || process.platform !== 'linux') return undefined;
  const found = /^RssAnon:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  return found === null ? undefined : Number(found[1]) / 1024;
}

/** @type {import('../types').Curve} */
module.exports = {
  name: 'texts',
  title: `Distinct texts: point selects over one connection, ${IN_FLIGHT} in flight, each text in its turn`,
  axis: 'distinct texts',
  steps: [1, 10, 100, 1e3, 1e4, 1e5],
  quick: [1, 100, 1e4],
  onceFrom: 1e5,
  series: [
    { name: 'default', label: 'hyperiondb-client (cache of 256)', peer: 'hyperion' },
    {
      name: 'all',
      label: 'hyperiondb-client, statementCacheSize: 100000',
      peer: 'hyperion',
      way: { statementCacheSize: MOST },
    },
    { name: 'pg', label: 'pg, named statements', peer: 'pg' },
  ],
  figures: [
    STATEMENT_TIME,
    { key: 'firstUs', head: 'first us', label: 'us the first time', chart: false },
    ...STATEMENT_CPU,
    { key: 'peakRssMb', head: 'peak MB', label: "client's peak RSS, MB" },
    GROWTH,
    { key: 'serverMb', head: 'server MB', label: "server's memory of the session, MB" },
  ],
  async measure(job) {
    const { step: texts, seconds, warmupSeconds, place, series } = job;
    const db = await open(job, 1, series.way);
    try {
      const [{ pid }] = await db.statement('curve_pid', 'SELECT pg_catalog.pg_backend_pid() AS pid')([]);
      const rest = restMb();
      const { dataDirs } = place;
      const select = async (/** @type {number} */ n) => {
        const text = n % texts;
        // A name and a text for each run, as a program would make them: nothing is kept here.
        const { length } = await db.statement(`curve_text_${text}`, textOf(text))([1 + (n % ITEMS)]);
        if (length !== 1) throw new Error(`${length} rows instead of 1`);
      };
      const { usPerOp: firstUs } = await each(select, { count: texts, inFlight: IN_FLIGHT, dataDirs });
      const figures = await steady(select, { inFlight: IN_FLIGHT, seconds, warmupSeconds, dataDirs });
      const serverMb = privateMb(Number(pid), dataDirs.length > 0);
      return { ...figures, firstUs, serverMb, ...memory(rest) };
    } finally {
      await db.close();
    }
  },
};
