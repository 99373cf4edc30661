// A program of ES modules, whose libraries are of both kinds.

import { createRequire } from 'node:module';
import face from 'hyperiondb-client/pg';

// import declarations are found before the first statement runs: only what is imported later gets what this puts in its place.
if (process.argv[2] === 'require') createRequire(import.meta.url)('hyperiondb-client/register');
const { default: pg, Pool } = await import('pg');
const queue = await import('queue');
const library = await import('library');

const pool = new Pool();
const { rows } = await pool.query({ text: 'SELECT $1::text AS a', values: ['x'], rowMode: 'array' });
await pool.end();
console.log(
  JSON.stringify({
    isFace: [pg, queue.pg, library.default.pg, Object.assign(pg, { Pool })].every((one) => one === face),
    rows,
    heard: await queue.throughNotifications(['one', 'zwei ☃']),
    failed: await queue.failsAsItShould(),
    read: await queue.throughCursor(7),
  }),
);
