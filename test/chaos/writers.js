'use strict';

// The ways to write. Each writer writes ids that no other writer has, one after the other, and records the outcome.

const { setTimeout: sleep } = require('node:timers/promises');
const { tellFailure, told } = require('./history');

/** @typedef {import('./history').Entry} Entry */
/** @typedef {import('./history').WriteKind} WriteKind */
/** @typedef {import('./load').Load} Load */
/** @typedef {import('./random').Random} Random */

// One statement, so that any client can run it. The id is not a unique key: a write that was applied twice is to be seen, not
// refused. The timeline is that of the server that writes the row.
const TABLE = `CREATE TABLE written (
  id int4 NOT NULL,
  part int4 NOT NULL,
  timeline text NOT NULL DEFAULT left(pg_walfile_name(pg_current_wal_lsn()), 8),
  seq int8 GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (id, part, seq))`;
const INSERT = 'INSERT INTO written (id, part) VALUES ($1, $2)';
const RETURNING = `${INSERT} RETURNING timeline`;

/** Transactions run again as long as it is safe: only an unknown COMMIT may fail. */
const RETRIES = 100;
/** The most statements of a batch. */
const BATCH = 5;
/** One transaction in as many waits in its middle, for at most this time, so that some are open when a fault comes. */
const SLOW = { onceIn: 8, mostMs: 30 };

/** @param {any[]} rows */
const timelineOf = (rows) => rows[0]?.timeline;

/** @param {Load} load @param {Random} random */
const maybeWait = async (load, random) => {
  if (load.thinks && random.once(SLOW.onceIn)) await sleep(random.int(1, SLOW.mostMs));
};

/** @type {Record<WriteKind, { inFlight: number, deed: (load: Load, random: Random) => Promise<unknown> }>} */
const WRITERS = {
  autocommit: {
    inFlight: 1,
    async deed(load, random) {
      const [id, entry] = load.enter('autocommit', 1);
      const sql = random.once(2) ? RETURNING : INSERT;
      await told(entry, async () => {
        entry.timeline = timelineOf(await load.pool.query(sql, [id, 1]));
      });
      load.settle(entry);
    },
  },

  transaction: {
    inFlight: 1,
    async deed(load, random) {
      const [id, entry] = load.enter('transaction', 2);
      await told(entry, () =>
        load.pool.transaction(
          async (/** @type {any} */ tx) => {
            entry.timeline = timelineOf(await tx.query(RETURNING, [id, 1]));
            await maybeWait(load, random);
            await tx.query(INSERT, [id, 2]);
          },
          { retries: RETRIES },
        ),
      );
      load.settle(entry);
    },
  },

  begin: {
    inFlight: 1,
    async deed(load, random) {
      const [id, entry] = load.enter('begin', 2);
      await told(entry, async () => {
        const tx = await load.pool.begin();
        try {
          await maybeWait(load, random);
          const both = await Promise.all([tx.query(RETURNING, [id, 1]), tx.query(INSERT, [id, 2])]);
          entry.timeline = timelineOf(both[0]);
        } catch (error) {
          await tx.rollback();
          throw error;
        }
        await tx.commit();
      });
      load.settle(entry);
    },
  },

  batch: {
    inFlight: BATCH,
    async deed(load, random) {
      const entries = Array.from({ length: random.int(1, BATCH) }, () => load.enter('batch', 1));
      try {
        const ends = await load.pool.batch(entries.map(([id]) => [RETURNING, [id, 1]]));
        for (const [index, [, entry]] of entries.entries()) {
          const { status, value, reason } = ends[index];
          if (status === 'rejected') tellFailure(entry, reason);
          else Object.assign(entry, { fate: 'acknowledged', timeline: timelineOf(value) });
        }
      } catch (error) {
        for (const [, entry] of entries) tellFailure(entry, error);
      }
      for (const [, entry] of entries) {
        entry.end = performance.now();
        load.settle(entry);
      }
    },
  },

  'batch in a transaction': {
    inFlight: 1,
    async deed(load, random) {
      const parts = random.int(2, BATCH);
      const [id, entry] = load.enter('batch in a transaction', parts);
      await told(entry, async () => {
        const statements = Array.from({ length: parts }, (_, part) => [RETURNING, [id, part + 1]]);
        entry.timeline = timelineOf((await load.pool.batch(statements, { transaction: true }))[0]);
      });
      load.settle(entry);
    },
  },
};

exports.BATCH = BATCH;
exports.TABLE = TABLE;
exports.WRITERS = WRITERS;
