'use strict';

// The workers that read: declared reads of what was written, and streams.

const { setTimeout: sleep } = require('node:timers/promises');
const { told } = require('./history');

/** @typedef {import('./load').Load} Load */
/** @typedef {import('./random').Random} Random */

const READ = 'SELECT id, part FROM written WHERE id = $1';
const STREAM = "SELECT i, repeat('x', 40) AS pad FROM generate_series(1, $1::int4) AS i";

/** Lengths of streams: many batches, so that a failover may come in the middle, or a single batch. */
const LENGTHS = [1, 10, 300, 2_000, 5_000];
/** A slow reader pauses after as many rows. */
const ROWS_BETWEEN_RESTS = 300;

/** @param {Load} load @param {Random} random */
async function read(load, random) {
  const about = load.someWrite(random);
  if (about === undefined) {
    await sleep(1);
    return;
  }
  /** @type {import('./history').Read} */
  const entry = { fate: 'pending', at: performance.now(), about };
  load.record.reads.push(entry);
  await told(entry, async () => {
    const rows = await load.pool.query(READ, [about], { readOnly: true });
    entry.found = rows.every((/** @type {any} */ row) => row.id === about) ? rows.length : Number.NaN;
  });
  if (entry.fate === 'acknowledged') load.reads++;
  else load.readErrors.push(entry.error);
  load.count('read', entry);
}

/** @param {Load} load @param {Random} random */
async function stream(load, random) {
  const length = random.pick(LENGTHS) + random.int(0, 9);
  const leave = random.once(4) ? random.int(1, length) : null;
  const declared = random.once(2);
  const isSlow = random.once(3);
  /** @type {import('./history').Stream} */
  const entry = { fate: 'pending', at: performance.now(), length, leave, declared, got: 0, wrong: null };
  load.record.streams.push(entry);
  await told(entry, async () => {
    for await (const row of load.pool.stream(STREAM, [length], { readOnly: declared, batchSize: 100 })) {
      if (row.i !== entry.got + 1 || row.pad.length !== 40) {
        entry.wrong = JSON.stringify(row);
        break;
      }
      entry.got++;
      if (entry.got === leave) break;
      if (isSlow && entry.got % ROWS_BETWEEN_RESTS === 0) await sleep(1);
    }
  });
  load.count('stream', entry);
}

exports.READERS = {
  read: { inFlight: 1, deed: read },
  stream: { inFlight: 1, deed: stream },
};
