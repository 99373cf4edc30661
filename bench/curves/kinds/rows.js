'use strict';

// Rows of a result: what a row costs, from 1 to 10 million of them in one result, one result after another.

const { open } = require('../clients.js');
const { GROWTH, PEAK } = require('../figures.js');
const { memory, repeated, restMb } = require('../measure.js');

/** Above it no client holds all rows: ours streams, pg has a cursor. */
const LARGEST_HELD = 1e5;

/** The server makes the rows while it sends them, and keeps none. @param {number} rows */
const sqlOf = (rows) =>
  `SELECT id, 'row number ' || id AS name FROM (SELECT generate_series(1, ${rows}) AS id) AS numbers`;

/** @type {import('../types').Curve} */
module.exports = {
  name: 'rows',
  title: 'Rows of a result: two columns, one result after another on one connection',
  axis: 'rows of a result',
  steps: [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7],
  quick: [1, 100, 1e4, 1e6],
  onceFrom: 1e7,
  series: [
    { name: 'query', label: 'hyperiondb-client, query', peer: 'hyperion', to: LARGEST_HELD },
    { name: 'stream', label: 'hyperiondb-client, stream', peer: 'hyperion', way: { streams: true } },
    { name: 'pg', label: 'pg, a cursor beyond 100,000', peer: 'pg' },
    { name: 'raw', label: 'tokio-postgres', peer: 'tokio-postgres', isLimit: true },
  ],
  figures: [
    { key: 'usPerOp', head: 'us', label: 'us a row' },
    { key: 'cpuUsPerOp', head: 'CPU us', label: "us of the client's CPU a row", chart: false },
    PEAK,
    GROWTH,
  ],
  raw: (rows) => ({
    rust: { task: 'all', size: rows },
    connections: 1,
    way: { kind: 'repeated' },
    statements: [sqlOf(rows)],
  }),
  async measure(job) {
    const { step, seconds, warmupSeconds, series, place } = job;
    const db = await open(job, 1);
    try {
      const fetch = (/** @type {number} */ rows) => fetcher(db, rows, series.way?.streams === true);
      await fetch(1)();
      const rest = restMb();
      const { dataDirs } = place;
      const warm = Math.min(step, LARGEST_HELD);
      await repeated(fetch(warm), { units: warm, seconds: warmupSeconds, dataDirs });
      const figures = await repeated(fetch(step), { units: step, seconds, dataDirs });
      return { ...figures, ...memory(rest) };
    } finally {
      await db.close();
    }
  },
};

/**
 * @param {import('../../types').Db} db
 * @param {number} rows
 * @param {boolean} always whether it streams small results, too
 */
function fetcher(db, rows, always) {
  const sql = sqlOf(rows);
  const streams = always || rows > LARGEST_HELD;
  const statement = db.statement(`curve_rows_${rows}`, sql);
  return async () => {
    let count = 0;
    if (streams) {
      await /** @type {NonNullable<typeof db.stream>} */ (db.stream)(sql, [], () => {
        count++;
      });
    } else count = (await statement([])).length;
    if (count !== rows) throw new Error(`${count} rows instead of ${rows}`);
  };
}
