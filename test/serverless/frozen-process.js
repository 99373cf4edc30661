'use strict';

// A process that is frozen with its session open, as a serverless runtime does it: it loads its client, waits for a line on its input,
// connects, runs a statement, writes what became of it as a line of JSON, works on for as long as it is told, and stops itself
// (SIGSTOP). The job is its argument; processes.js starts it.

const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');

/** @typedef {import('./processes.js').Job} Job */

const STATEMENT = 'SELECT 1 AS one';
/** So long a program waits that tries again by itself, as long as the pool of this package (docs/configuration.md). */
const [SHORTEST_MS, LONGEST_MS] = [50, 500];

/** Each resolves when the first row is there. @type {Record<Job['client'], (job: Job) => () => Promise<unknown>>} */
const CLIENTS = {
  hyperion({ login: { host, port, ...login }, options, patienceMs }) {
    const { ServerlessClient } = require('../../exports/serverless');
    return () => {
      const onReap = (/** @type {object} */ pass) => write({ pass });
      const client = new ServerlessClient({
        hosts: [`${host}:${port}`],
        ...login,
        acquireTimeoutMs: patienceMs,
        retries: 0,
        hooks: { onReap },
        ...options,
      });
      return client.query(STATEMENT);
    };
  },
  pg({ login, options, patienceMs }) {
    const { Client } = require('pg');
    return async () => {
      const began = performance.now();
      for (;;) {
        const client = new Client({ ...login, ...options });
        client.on('error', () => {});
        try {
          await client.connect();
          return await client.query(STATEMENT);
        } catch (error) {
          if (performance.now() - began > patienceMs) throw error;
          await sleep(SHORTEST_MS + Math.random() * (LONGEST_MS - SHORTEST_MS));
        }
      }
    };
  },
};

/** At once: a frozen process writes nothing. @param {object} event */
const write = (event) => fs.writeSync(1, `${JSON.stringify(event)}\n`);

/** @param {any} error SQLSTATEs among the reasons of an error of this package count, too */
const codesOf = (error) => [error.code, ...(JSON.stringify(error.nodes ?? '').match(/\b[0-9A-Z]{5}\b/g) ?? [])];

async function main() {
  /** @type {Job} */
  const job = JSON.parse(process.argv[2]);
  const firstRow = CLIENTS[job.client](job);
  write({ loaded: true });
  process.stdin.once('data', async () => {
    const began = performance.now();
    try {
      await firstRow();
      write({ served: performance.now() - began, rss: process.memoryUsage.rss() });
      if (job.work > 0) await sleep(job.work);
      process.kill(process.pid, 'SIGSTOP');
    } catch (error) {
      write({ failed: performance.now() - began, codes: codesOf(error), message: String(error) });
      process.exit();
    }
  });
}

main();
