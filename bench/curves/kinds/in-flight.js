'use strict';

// Statements in flight: point selects over ten connections, 1 to 10,000 of them begun and not yet answered.

const { open } = require('../clients.js');
const { GROWTH, PEAK, STATEMENT_CPU, STATEMENT_TIME } = require('../figures.js');
const { memory, restMb, steady } = require('../measure.js');
const { pointSelect, rawPoint } = require('../point.js');

const CONNECTIONS = 10;

/** @type {import('../types').Curve} */
module.exports = {
  name: 'in-flight',
  title: `Statements in flight: point selects over ${CONNECTIONS} connections`,
  axis: 'statements in flight',
  steps: [1, 10, 100, 1e3, 1e4],
  quick: [1, 100, 1e4],
  series: [
    { name: 'hyperion', label: 'hyperiondb-client', peer: 'hyperion' },
    { name: 'pg', label: 'pg, pipeline: true', peer: 'pg-pipeline' },
    { name: 'raw', label: 'tokio-postgres', peer: 'tokio-postgres', isLimit: true },
  ],
  figures: [STATEMENT_TIME, ...STATEMENT_CPU, PEAK, GROWTH],
  raw: (inFlight) => rawPoint(CONNECTIONS, inFlight),
  async measure(job) {
    const { step: inFlight, seconds, warmupSeconds, place } = job;
    const db = await open(job, CONNECTIONS);
    try {
      const select = pointSelect(db);
      await select(0);
      const rest = restMb();
      const { dataDirs } = place;
      const figures = await steady(select, { inFlight, seconds, warmupSeconds, dataDirs });
      return { ...figures, ...memory(rest) };
    } finally {
      await db.close();
    }
  },
};
