'use strict';

// Statements of a transaction that their caller does not await: they leave together, in the order of the calls.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, failureOf, range, sleep, test, useCluster } = require('../support/helpers');
const { COMMIT, idsIn, piecesOf, tableFor, watched } = require('../support/transactions');

const db = useCluster({ nodes: 1, synchronous: false });

/**
 * How many statements that have a name are bound in a piece: those that the client adds have none.
 * @param {string} piece
 */
function executes(piece) {
  const bytes = Buffer.from(piece, 'latin1');
  let bound = 0;
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
    // The name of the portal, and that of the statement.
    if (piece[at] === 'B' && piece.slice(at + 5).split('\0', 2)[1] !== '') bound++;
  }
  return bound;
}

/**
 * Runs work until its pieces have so many statements each.
 * @param {number[]} expected
 * @param {() => string[]} sent
 * @param {() => Promise<unknown>} work
 */
const inFlights = (expected, sent, work) =>
  piecesOf(
    `the flights have ${expected} statements`,
    sent,
    work,
    (pieces) => String(pieces.map(executes)) === String(expected),
  );

describe('statements of a transaction that are not awaited', () => {
  test('statements of a transaction that are not awaited leave in one flight behind the first, and keep their order', async (t) => {
    db.needsVersion(14, 'on older servers BEGIN goes alone');
    const { pool, sent } = await watched(db, t);
    const ask = (/** @type {any} */ tx, /** @type {number} */ i) => tx.query('SELECT $1::int4 AS v', [i]);
    const pieces = await inFlights([1, 9, 0], sent, async () => {
      const rows = await pool.transaction((/** @type {any} */ tx) => Promise.all(range(10).map((i) => ask(tx, i))));
      assert.deepEqual(
        rows.map(([row]) => row.v),
        range(10),
      );
    });
    assert.equal(pieces[2], COMMIT);
    await inFlights([1, 1, 1, 0], sent, async () => {
      const tx = await pool.begin();
      for (let i = 0; i < 3; i++) assert.deepEqual([...(await ask(tx, i))], [{ v: i }]);
      await tx.commit();
    });
  });

  test('statements that are not awaited take the COMMIT of the last one with them', async (t) => {
    db.needsVersion(14, 'on older servers BEGIN goes alone');
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    let id = 0;
    const pieces = await inFlights([1, 2], sent, () =>
      pool.transaction((/** @type {any} */ tx) =>
        Promise.all(
          range(3).map((i) =>
            tx.query(`INSERT INTO ${table} VALUES ($1)`, [++id], i === 2 ? { commit: true } : undefined),
          ),
        ),
      ),
    );
    assert.ok(pieces[1].includes('COMMIT'));
    assert.equal((await idsIn(db, table)).length, id);
  });

  test('statements that are not awaited leave together also after a pause, when their plans are in doubt', async (t) => {
    db.needsVersion(14, 'on older servers BEGIN goes alone');
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    for (let run = 0; run < 5; run++) {
      await sleep(5);
      sent();
      const rows = await pool.transaction((/** @type {any} */ tx) =>
        Promise.all([
          tx.query('SELECT 1 AS v'),
          tx.query(`INSERT INTO ${table} VALUES ($1) RETURNING *`, [run]),
          tx.query(`SELECT count(*)::int AS n FROM ${table}`),
          tx.query(`SELECT * FROM ${table} WHERE id = $1`, [run], { commit: true }),
        ]),
      );
      assert.deepEqual(
        rows.map((one) => [...one]),
        [[{ v: 1 }], [{ id: run }], [{ n: run + 1 }], [{ id: run }]],
      );
      const pieces = sent();
      // The first statements of a pool are followed by a reset, until the pool knows the functions of the database.
      if (run > 1) assert.deepEqual(pieces.map(executes), [1, 3]);
      if (run > 1) assert.match(pieces[1], /COMMIT/);
    }
  });

  test('a plan of a flight that is out of date: what was not bound runs again, once, and COMMIT behind it', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    for (let run = 0; run < 6; run++) {
      for (const commit of [false, true]) {
        const id = run * 10 + (commit ? 5 : 0);
        const more = Object.fromEntries(Array.from({ length: run }, (_, i) => [`c${i}`, i]));
        const tx = await pool.begin();
        await tx.query('SELECT 1');
        const rows = await Promise.all([
          tx.query(`INSERT INTO ${table} (id) VALUES ($1) RETURNING id`, [id]),
          tx.query(`SELECT * FROM ${table} WHERE id = $1`, [id]),
          tx.query(`INSERT INTO ${table} (id) VALUES ($1 + 1) RETURNING *`, [id]),
          tx.query(`INSERT INTO ${table} (id) VALUES ($1 + 2) RETURNING *`, [id], { commit }),
        ]);
        if (!commit) await tx.commit();
        assert.deepEqual(
          rows.map((one) => [...one]),
          [[{ id }], [{ id, ...more }], [{ id: id + 1, ...more }], [{ id: id + 2, ...more }]],
        );
      }
      // In turns: a plan of the middle, or all of them.
      await db.sql(`ALTER TABLE ${table} ADD COLUMN c${run} int DEFAULT ${run}`);
    }
    assert.deepEqual(
      await idsIn(db, table),
      range(12).flatMap((i) => [0, 1, 2].map((at) => i * 5 + at)),
    );
  });

  test('a plan at the end of a flight that is out of date: only the last statement runs again', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const other = await tableFor(db, t);
    for (let run = 0; run < 4; run++) {
      const [, , rows] = await pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('SELECT 1');
        return Promise.all([
          tx.query(`INSERT INTO ${table} VALUES ($1)`, [run * 2]),
          tx.query(`INSERT INTO ${table} VALUES ($1 + 1)`, [run * 2]),
          tx.query(`INSERT INTO ${other} (id) VALUES ($1) RETURNING *`, [run], { commit: true }),
        ]);
      });
      assert.equal(rows[0].id, run);
      assert.equal(Object.keys(rows[0]).length, run + 1);
      await db.sql(`ALTER TABLE ${other} ADD COLUMN c${run} int`);
    }
    assert.deepEqual([await idsIn(db, table), await idsIn(db, other)], [range(8), range(4)]);
  });

  test('a flight has at most 64 statements, and a statement with a limit goes alone', async (t) => {
    const { pool, sent } = await watched(db, t);
    const many = (/** @type {any} */ tx, /** @type {(i: number) => object | undefined} */ optionsOf) =>
      Promise.all(range(131).map((i) => tx.query('SELECT $1::int4 AS v', [i], optionsOf(i))));
    await inFlights([1, 64, 64, 2, 0], sent, () =>
      pool.transaction((/** @type {any} */ tx) => many(tx, () => undefined)),
    );
    const limit = (/** @type {number} */ i) => (i === 30 ? { timeoutMs: 60_000 } : undefined);
    await inFlights([1, 29, 1, 64, 36, 0], sent, () => pool.transaction((/** @type {any} */ tx) => many(tx, limit)));
    const { signal } = new AbortController();
    const abortable = (/** @type {number} */ i) => (i === 129 ? { signal } : undefined);
    await inFlights([1, 64, 64, 1, 1, 0], sent, () => pool.transaction((/** @type {any} */ tx) => many(tx, abortable)));
  });

  test('a flight ends ahead of a statement that is not prepared, and behind one that may change what names mean', async (t) => {
    const { pool, sent } = await watched(db, t);
    const table = await tableFor(db, t);
    let run = 0;
    const pieces = await inFlights([1, 2, 0, 1, 1, 0], sent, () => {
      run++;
      return pool.transaction((/** @type {any} */ tx) =>
        Promise.all([
          ...range(3).map((i) => tx.query('SELECT $1::int4 AS v', [i])),
          tx.query(`SELECT ${run} AS v`),
          tx.query('SELECT $1::int4 AS v', [5]),
        ]),
      );
    });
    assert.match(pieces[2], /^P/, 'it is prepared when those before it were answered');
    // A column that is there only behind the DDL.
    for (let i = 0; i < 3; i++) {
      const results = await pool.transaction(async (/** @type {any} */ tx) => {
        const all = Promise.all([
          tx.query(`INSERT INTO ${table} VALUES (1)`),
          tx.query(`ALTER TABLE ${table} ADD COLUMN later int DEFAULT 7`),
          tx.query(`SELECT * FROM ${table}`),
          tx.query(`ALTER TABLE ${table} DROP COLUMN later`),
          tx.query(`SELECT * FROM ${table}`),
          tx.query(`DELETE FROM ${table}`),
        ]);
        return all;
      });
      assert.deepEqual([[...results[2]], [...results[4]]], [[{ id: 1, later: 7 }], [{ id: 1 }]]);
    }
  });

  test('a statement of a flight that fails: those behind it fail with 25P02, and nothing is applied', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    const insert = `INSERT INTO ${table} SELECT 1 / $1::int RETURNING id`;
    for (let run = 0; run < 6; run++) {
      await sleep(run % 2 === 0 ? 5 : 0);
      for (const commit of [false, true]) {
        /** @type {any[]} */
        let results = [];
        const error = await failureOf(
          pool.transaction(async (/** @type {any} */ tx) => {
            await tx.query(insert, [1]);
            results = await endings(
              [1, 1, 0, 1, 1].map((n, i) => tx.query(insert, [n], { commit: commit && i === 4 })),
            );
          }),
        );
        assert.deepEqual(
          results.map(({ value, error: failure }) => failure?.code ?? value[0].id),
          [1, 1, '22012', '25P02', '25P02'],
        );
        assert.deepEqual(
          results.map(({ error: failure }) => failure?.outcome).filter(Boolean),
          Array(3).fill('not-applied'),
        );
        assert.equal(error.code, '25P02');
      }
    }
    assert.deepEqual(await idsIn(db, table), []);
  });

  test('a parameter that cannot be sent fails alone, and the statements around it run', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (let run = 0; run < 5; run++) {
      const tx = await pool.begin();
      const results = await endings([1, 2, 'x', 4, 2 ** 40, 6].map((v) => tx.query('SELECT $1::int4 AS v', [v])));
      const told = results.map(({ value, error }) => (error === undefined ? value[0].v : 'failed'));
      // The server itself may read text; what it refuses has aborted the transaction.
      assert.deepEqual(told.slice(0, 3), [1, 2, 'failed']);
      if (results[2].error.code === 'ERR_INVALID_PARAM') assert.deepEqual(told, [1, 2, 'failed', 4, 'failed', 6]);
      await tx.rollback();
    }
    assert.equal(await pool.value('SELECT 1 AS v'), 1);
  });

  test('a cancelled statement hits no other statement of its transaction', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (let run = 0; run < 3; run++) {
      const tx = await pool.begin();
      const controller = new AbortController();
      const before = range(5).map((i) => tx.query('SELECT $1::int4 AS v', [i]));
      const slow = tx.query('SELECT pg_sleep(30)', [], { signal: controller.signal });
      const behind = range(3).map((i) => tx.query('SELECT $1::int4 AS v', [i]));
      const all = endings([...before, slow, ...behind]);
      await Promise.all(before);
      controller.abort('stop');
      const codes = (await all).map(({ error }) => error?.code);
      assert.deepEqual(codes, [...Array(5).fill(undefined), 'ABORT_ERR', '25P02', '25P02', '25P02']);
      await tx.rollback();
    }
  });

  test('a connection that is lost under a flight: all of it is not applied; with COMMIT in it, unknown', async (t) => {
    const { pool } = await watched(db, t);
    const end = 'SELECT pg_terminate_backend(pg_backend_pid())';
    const table = await tableFor(db, t);
    for (let run = 0; run < 3; run++) {
      const tx = await pool.begin();
      await tx.query(`INSERT INTO ${table} VALUES (1)`);
      const results = await endings([tx.query('SELECT 1'), tx.query(end), tx.query('SELECT 1'), tx.commit()]);
      assert.equal(results[0].error, undefined);
      for (const { error } of results.slice(1)) assert.equal(error.outcome, 'not-applied', error.stack);
    }
    assert.deepEqual(await idsIn(db, table), []);
  });

  test('savepoints and statements around them keep their order', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const table = await tableFor(db, t);
    for (let run = 0; run < 3; run++) {
      await pool.transaction(async (/** @type {any} */ tx) => {
        const insert = (/** @type {any} */ on, /** @type {number} */ id) =>
          on.query(`INSERT INTO ${table} VALUES ($1)`, [run * 100 + id]);
        const seen = (/** @type {any} */ on) => on.value(`SELECT count(*)::int FROM ${table} WHERE id / 100 = ${run}`);
        const [, , inPart, , behind] = await Promise.all([
          insert(tx, 1),
          insert(tx, 2),
          tx.transaction(async (/** @type {any} */ part) => {
            const [, , count] = await Promise.all([insert(part, 3), insert(part, 4), seen(part)]);
            return count;
          }),
          tx
            .transaction(async (/** @type {any} */ part) => {
              await Promise.all([insert(part, 5), insert(part, 6)]);
              throw new Error('undo');
            })
            .catch(() => {}),
          seen(tx),
          insert(tx, 7),
        ]);
        assert.deepEqual([inPart, behind], [4, 4]);
      });
    }
    assert.deepEqual(
      await idsIn(db, table),
      range(3).flatMap((run) => [1, 2, 3, 4, 7].map((id) => run * 100 + id)),
    );
  });

  test('random transactions, awaited or not, give what the same statements give one by one', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const table = await tableFor(db, t);
    let state = 42;
    const random = (/** @type {number} */ below) => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
    /** @type {[string, () => unknown[]][]} */
    const texts = [
      [`INSERT INTO ${table} VALUES ($1) RETURNING id`, () => [random(1e6)]],
      [`SELECT count(*)::int AS n FROM ${table}`, () => []],
      [`SELECT * FROM ${table} WHERE id = $1`, () => [random(1e6)]],
      [`UPDATE ${table} SET id = id + 1 WHERE id % 7 = $1 RETURNING *`, () => [random(7)]],
      [`DELETE FROM ${table} WHERE id % 11 = $1`, () => [random(11)]],
      ['SELECT 1 / $1::int AS v', () => [random(12)]],
      ['SAVEPOINT_IS_NO_STATEMENT', () => []],
    ];
    const told = (/** @type {any} */ { value, error }) => error?.code ?? [value.rowCount, ...value];
    for (let round = 0; round < 150; round++) {
      const length = 1 + random(12);
      const statements = range(length).map(() => {
        const [sql, params] = texts[random(random(10) === 0 ? 7 : 6)];
        return /** @type {[string, unknown[]]} */ ([sql, params()]);
      });
      const one = await pool.begin();
      const expected = [];
      for (const [sql, params] of statements) expected.push(told((await endings([one.query(sql, params)]))[0]));
      await one.rollback();
      if (random(3) === 0) await sleep(2);
      const other = await pool.begin();
      /** @type {Promise<any>[]} */
      const pending = [];
      for (const [sql, params] of statements) {
        const running = other.query(sql, params);
        running.catch(() => {});
        pending.push(running);
        if (random(4) === 0) await running.catch(() => {});
      }
      assert.deepEqual((await endings(pending)).map(told), expected, `round ${round}`);
      // With what both have done: for the next rounds.
      if (expected.every((result) => Array.isArray(result))) await other.commit();
      else await other.rollback();
    }
  });
});
