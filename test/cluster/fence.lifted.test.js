'use strict';

// A fence that is lifted soon, again and again under load: nobody learns of it, in whatever order answers and reports come.

const assert = require('node:assert/strict');
const { range, sleep, test, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

/** With a report of the server that was overlooked, one fence in twenty-five was felt. */
const FENCES = 80;
const WRITERS = 16;

test(`${FENCES} fences that are lifted soon: no write of ${WRITERS} writers fails, and each acknowledged row is there once`, async (t) => {
  const pool = db.pool(t, { poolSize: 8, acquireTimeoutMs: 20_000 });
  await db.sql('CREATE TABLE lifted (id int8)');
  const insert = 'INSERT INTO lifted VALUES ($1)';
  /** @type {((id: number) => Promise<unknown>)[]} */
  const ways = [
    (id) => pool.query(insert, [id]),
    (id) => pool.transaction((/** @type {any} */ tx) => tx.query(insert, [id])),
    (id) =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        await tx.query(insert, [id]);
      }),
    (id) => pool.transaction((/** @type {any} */ tx) => Promise.all([tx.query('SELECT 1'), tx.query(insert, [id])])),
  ];
  /** @type {number[]} */
  const acknowledged = [];
  /** @type {unknown[]} */
  const failures = [];
  let over = false;
  let next = 0;
  const writers = range(WRITERS).map(async (writer) => {
    while (!over) {
      const id = next++;
      try {
        await ways[writer % ways.length](id);
        acknowledged.push(id);
      } catch (error) {
        failures.push(error);
      }
    }
  });
  const primary = db.cluster.primary();
  for (const _ of range(FENCES)) {
    await primary.fence();
    await sleep(50);
    await primary.unfence();
    await sleep(50);
  }
  over = true;
  await Promise.all(writers);
  assert.deepEqual(failures, []);
  const found = (await db.sql('SELECT id FROM lifted ORDER BY id')).map(({ id }) => Number(id));
  assert.deepEqual(
    found,
    acknowledged.sort((a, b) => a - b),
  );
});
