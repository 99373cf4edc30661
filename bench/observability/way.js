'use strict';

// One way to run the load, in a process of its own: opens its client, and then measures each time it is asked.

const { LOADS } = require('../loads.js');
const { steady } = require('../measure.js');

/** @typedef {import('../types').Measurement} Measurement */
/** @typedef {{ way: string, load: string, login: any, primary: { host: string, port: number }, before?: string }} Job */
/** @typedef {{ query(params: readonly unknown[]): PromiseLike<import('../types').Result>, sdk?: { exported(): Promise<object> }, end(): Promise<unknown> }} Opened */

const START_SECONDS = 0.05;

/** @param {Job} job @param {string} folder of the package @param {any} [options] of the pool @returns {any} */
const poolOf = ({ login }, folder, options) =>
  require(`${folder}/client.js`).createPool({ ...login, poolSize: 10, ...options });

/** @param {any} pool @param {string} sql @returns {Opened} */
const ours = (pool, sql) => ({ query: (params) => pool.query(sql, params), end: () => pool.end() });

/** @param {Job} job @param {string} text @returns {Opened} */
function ofPg({ login, primary }, text) {
  const { Pool } = require('pg');
  const pool = new Pool({ ...primary, ...login, hosts: undefined, max: 10 });
  return {
    query: async (values) => (await pool.query({ name: 'bench_point', text, values })).rows,
    end: () => pool.end(),
  };
}

/** @type {Record<string, (job: Job, sql: string) => Opened>} */
const WAYS = {
  ours: (job, sql) => ours(poolOf(job, '../..'), sql),
  'without the check': (job, sql) => {
    const { StatementRunner } = require('../../lib/core/statement-runner.js');
    // What query() does when nobody watches, without asking whether anybody does.
    StatementRunner.prototype.query = function query(text, params, options, transaction) {
      return this.send(text, params, options, transaction, undefined);
    };
    return ours(poolOf(job, '../..'), sql);
  },
  before: (job, sql) => ours(poolOf(job, /** @type {string} */ (job.before)), sql),
  'ours, instrumented': (job, sql) => {
    const sdk = require('./sdk.js').startSdk();
    require('../../exports/otel').instrument();
    return { ...ours(poolOf(job, '../..'), sql), sdk };
  },
  'ours, sqlcommenter': (job, sql) => {
    const sdk = require('./sdk.js').startSdk();
    require('../../exports/otel').instrument({ sqlcommenter: true });
    return { ...ours(poolOf(job, '../..'), sql), sdk };
  },
  pg: ofPg,
  'pg, instrumented': (job, sql) => {
    const sdk = require('./sdk.js').startSdk();
    const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
    // Enabled by its constructor, before pg is loaded.
    new PgInstrumentation();
    return { ...ofPg(job, sql), sdk };
  },
};

/** @param {Job} job */
function open(job) {
  const load = LOADS.find(({ id }) => id === job.load);
  if (load?.way.kind !== 'steady') throw new Error(`no load ${job.load} that goes on`);
  const opened = WAYS[job.way](job, load.statements[0]);
  const operation = load.open(/** @type {any} */ ({ statement: () => opened.query }));
  const { inFlight } = load.way;
  return {
    opened,
    /** @param {number} seconds @param {number} [warmupSeconds] */
    measure: (seconds, warmupSeconds = START_SECONDS) => steady(operation, load, { inFlight, seconds, warmupSeconds }),
  };
}

/** @type {ReturnType<typeof open> | undefined} */
let way;

/** @param {{ open?: Job, seconds: number, warmupSeconds?: number, end?: true }} asked */
async function answer({ open: job, seconds, warmupSeconds, end }) {
  if (job !== undefined) way = open(job);
  const { opened, measure } = /** @type {ReturnType<typeof open>} */ (way);
  if (!end) return { measured: await measure(seconds, warmupSeconds) };
  const exported = await opened.sdk?.exported();
  await opened.end();
  return { exported };
}

process.on('message', async (asked) => {
  const said = await answer(/** @type {any} */ (asked)).catch((error) => ({ error: String(error.stack) }));
  process.send?.(said);
});
process.on('disconnect', () => process.exit());
