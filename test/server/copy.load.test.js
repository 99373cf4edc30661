'use strict';

// pool.copyFrom(): where its rows come from, how many they may be, ready data, and a load within a transaction.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { Readable } = require('node:stream');
const { describe } = require('node:test');
const { test, failureOf, range, sleep, until, useCluster } = require('../support/helpers');
const { countOf, textOf, withTable } = require('../support/copies');

const db = useCluster({ nodes: 1, synchronous: false });

describe('copyFrom: rows', () => {
  test('copyFrom: 100,000 rows from a generator arrive, while the event loop goes on', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4, name text, at timestamptz, doc jsonb');
    /** @type {{ rows: number, bytes: number }[]} */
    const progress = [];
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const made = function* () {
      for (let i = 0; i < 100_000; i++) yield [i, `name ${i}`, new Date(i), { i }];
    };
    const result = await pool.copyFrom(table, made(), { onProgress: (/** @type {any} */ p) => progress.push(p) });
    clearInterval(timer);
    assert.equal(result.rowCount, 100_000);
    assert.ok(turns > 10, `${turns} turns`);
    assert.ok(progress.length > 10);
    for (const [i, { rows, bytes }] of progress.entries()) {
      assert.ok(i === 0 || (rows > progress[i - 1].rows && bytes > progress[i - 1].bytes), 'it grows');
    }
    assert.equal(progress.at(-1)?.rows, 100_000);
    assert.ok(result.bytes >= /** @type {any} */ (progress.at(-1)).bytes);
    const [sums] = await pool.query(
      `SELECT count(DISTINCT id) AS ids, sum((doc->>'i')::int8) AS i, max(name) AS name, max(extract(epoch FROM at))::text AS at FROM ${table}`,
    );
    assert.deepStrictEqual(sums, { ids: 100_000n, i: '4999950000', name: 'name 99999', at: '99.999000' });
  });

  test('copyFrom takes rows as arrays, objects and class instances, from arrays, sets, generators of both kinds and Readables', async (t) => {
    const { pool, table } = await withTable(
      db,
      t,
      `a int4, "B b" text, c int4 GENERATED ALWAYS AS (a * 2) STORED, d int4 DEFAULT 7`,
    );
    class Row {
      a = 3;
      get 'B b'() {
        return 'getter';
      }
      d = null;
    }
    const sources = [
      [[1, 'x', null]],
      new Set([{ a: 1, 'B b': 'x', d: undefined }]),
      [new Row()],
      (function* () {
        yield { d: 1, 'B b': 'generator', a: 2 };
      })(),
      (async function* () {
        await sleep(1);
        yield [1, 'async', 2];
        yield { a: 1, 'B b': 'both', d: null };
      })(),
      Readable.from([[5, 'readable', 6]]),
      [],
    ];
    for (const source of sources) await pool.copyFrom(table, source);
    await pool.copyFrom(` ${table.toUpperCase()} ( A , "B b" )`, [{ a: 9, 'B b': null, more: 1 }]);
    await pool.copyFrom(`public."${table}"("B b")`, [['one']]);
    assert.deepStrictEqual(await pool.query(`SELECT * FROM ${table}`, [], { rowMode: 'array' }), [
      [1, 'x', 2, null],
      [1, 'x', 2, null],
      [3, 'getter', 6, null],
      [2, 'generator', 4, 1],
      [1, 'async', 2, 2],
      [1, 'both', 2, null],
      [5, 'readable', 10, 6],
      [9, null, 18, 7],
      [null, 'one', null, 7],
    ]);
  });

  test('copyFrom: a value that is not a row is refused by its number', async (t) => {
    const { pool, table } = await withTable(db, t, 'a int4, b text');
    /** @type {[unknown, RegExp][]} */
    const bad = [
      [[1], /^row 2 has 1 values for 2 columns$/],
      [[1, 'x', 2], /^row 2 has 3 values for 2 columns$/],
      [{ a: 1 }, /^row 2 has no property "b"/],
      [{ a: 1, b: 2, c: 3 }, /^row 2 has "c", which is no column$/],
      [null, /^row 2 is null/],
      ['row', /^row 2 is a string/],
      [Buffer.from('x'), /^row 2 is a Buffer/],
      [Promise.resolve([1, 'x']), /^row 2 has no property "a"/],
    ];
    for (const [row, message] of bad) {
      const error = await failureOf(pool.copyFrom(table, [[1, 'x'], row]));
      assert.match(error.message, message);
      assert.deepEqual([error.code, error.row, error.outcome], ['ERR_INVALID_PARAM', 2, 'not-applied']);
    }
    await pool.query('CREATE TABLE odd ("__proto__" jsonb, "toString" int4)');
    await failureOf(pool.copyFrom('odd', [{}]));
    await pool.copyFrom('odd', [{ ['__proto__']: { x: 1 }, toString: 2 }]);
    assert.deepStrictEqual(await pool.query('SELECT * FROM odd', [], { rowMode: 'array' }), [[{ x: 1 }, 2]]);
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyFrom: an error of the server names the row, also after the load has changed to the text format', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4 PRIMARY KEY, at timestamptz NOT NULL');
    const rows = (/** @type {unknown[][]} */ ...last) => [...range(500).map((i) => [i, new Date(i)]), ...last];
    const now = [1000, 'now'];
    /** @type {[unknown[][], string, number, string | undefined][]} */
    const table_ = [
      [rows([7, new Date()]), '23505', 501, undefined],
      [rows(now, [7, new Date()]), '23505', 502, undefined],
      [rows([501, null]), '23502', 501, 'at'],
      [rows(now, [501, null]), '23502', 502, 'at'],
      [rows(now, [501, 'later']), '22007', 502, 'at'],
    ];
    for (const [source, code, row, column] of table_) {
      const error = await failureOf(pool.copyFrom(table, source));
      assert.deepEqual(
        [error.name, error.code, error.row, error.column],
        ['DatabaseError', code, row, column],
        error.where,
      );
      assert.equal(await countOf(pool, table), 0);
    }
    assert.equal((await pool.copyFrom(table, rows(now, [2000, new Date()]))).rowCount, 502);
    assert.equal(await countOf(pool, table), 502);
  });

  test('copyFrom: a row that the server refuses ends the load at once, and the source is closed', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4 PRIMARY KEY');
    for (const target of [table, `COPY ${table} FROM STDIN`]) {
      let left = false;
      const endless = (async function* () {
        try {
          for (let n = 0; ; n++) {
            // More than one piece: a smaller one may wait for others.
            for (const i of range(10_000)) yield target === table ? [n * 10_000 + i] : `${n * 10_000 + i}\n`;
            yield target === table ? [7] : '7\n';
            await sleep(5);
          }
        } finally {
          left = true;
        }
      })();
      const error = await failureOf(pool.copyFrom(target, endless));
      assert.deepEqual([error.code, error.row], ['23505', 10_001], error.where);
      await until('the source is left', () => left);
    }
    const rare = (async function* () {
      for (const row of [[1], ['x']]) yield row;
      await new Promise(() => {});
    })();
    assert.equal((await failureOf(pool.copyFrom(table, rare))).row, 2, 'nor do few rows wait for more');
    const tx = await pool.begin();
    const slow = (async function* () {
      for (;;) {
        for (const i of range(10_000)) yield [i % 100];
        await sleep(5);
      }
    })();
    assert.equal((await failureOf(tx.copyFrom(table, slow))).row, 101);
    await tx.rollback();
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyFrom: values of 50 MB arrive', async (t) => {
    const { pool, table } = await withTable(db, t, 'a text, b bytea');
    const text = 'é'.repeat(25_000_000);
    const bytes = Buffer.alloc(50_000_000, 9);
    await pool.copyFrom(table, [
      ['small', null],
      [text, bytes],
      ['after', Buffer.from('x')],
    ]);
    const got = await pool.query(
      `SELECT length(a) AS a, length(b) AS b, md5(b) AS m FROM ${table} ORDER BY length(a) DESC`,
    );
    assert.deepStrictEqual(
      got.map((/** @type {any} */ row) => [row.a, row.b]),
      [
        [25_000_000, 50_000_000],
        [5, null],
        [5, 1],
      ],
    );
    assert.equal(got[0].m, require('node:crypto').createHash('md5').update(bytes).digest('hex'));
  });

  test('copyFrom: a deferred constraint fails the load, and a trigger may drop rows of it', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4, parent int4');
    await pool.query(`ALTER TABLE ${table} ADD PRIMARY KEY (id)`);
    await pool.query(`ALTER TABLE ${table} ADD FOREIGN KEY (parent) REFERENCES ${table} DEFERRABLE INITIALLY DEFERRED`);
    assert.equal((await failureOf(pool.copyFrom(table, [[1, 2]]))).code, '23503');
    assert.equal(await countOf(pool, table), 0);
    await pool.copyFrom(table, [
      [1, 2],
      [2, null],
    ]);
    await pool.query(`CREATE FUNCTION odd_only() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$`);
    await pool.query(`CREATE TRIGGER odd BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION odd_only()`);
    assert.equal(
      (
        await pool.copyFrom(
          table,
          range(10).map((i) => [i + 10, null]),
        )
      ).rowCount,
      5,
    );
  });

  test('copyFrom: two loads and other statements at once do not mix', async (t) => {
    const { pool, table } = await withTable(db, t, 'who int4, n int4', { poolSize: 3 });
    const load = (/** @type {number} */ who) =>
      pool.copyFrom(
        table,
        (async function* () {
          for (let n = 0; n < 20_000; n++) {
            if (n % 5000 === 0) await sleep(5);
            yield [who, n];
          }
        })(),
      );
    const answers = Promise.all(range(200).map((i) => pool.query('SELECT $1::int4 AS i', [i])));
    await Promise.all([load(1), load(2), load(3)]);
    assert.deepStrictEqual(
      (await answers).map(([row]) => row.i),
      range(200),
    );
    const counted = await pool.query(
      `SELECT who, count(DISTINCT n)::int4 AS n FROM ${table} GROUP BY who ORDER BY who`,
    );
    assert.deepStrictEqual(
      counted,
      [1, 2, 3].map((who) => ({ who, n: 20_000 })),
    );
  });
});

describe('copyFrom: ready data', () => {
  const csv = 'id,name\n1,"a, ""b"""\n2,\n';

  test('copyFrom takes ready data from a string, a Buffer, a Readable, a file and an iterable of chunks', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4, name text');
    const sql = `COPY ${table} (id, name) FROM STDIN (FORMAT csv, HEADER)`;
    const file = `${__filename}.${process.pid}.csv`;
    fs.writeFileSync(file, csv);
    t.after(() => fs.unlinkSync(file));
    const sources = [
      csv,
      Buffer.from(csv),
      new Uint8Array(Buffer.from(csv)),
      Readable.from([csv.slice(0, 5), csv.slice(5)]),
      fs.createReadStream(file, { highWaterMark: 3 }),
      [...csv],
      (async function* () {
        yield Buffer.from(csv);
      })(),
    ];
    for (const source of sources) {
      assert.deepEqual(await pool.copyFrom(sql, source), { rowCount: 2, bytes: csv.length });
      assert.deepStrictEqual(await pool.query(`DELETE FROM ${table} RETURNING *`), [
        { id: 1, name: 'a, "b"' },
        { id: 2, name: null },
      ]);
    }
    assert.equal((await pool.copyFrom(`copy ${table} from stdin`, '')).rowCount, 0);
  });

  test('copyFrom takes ready data of any size, with progress', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4, name text');
    const line = (/** @type {number} */ i) => `${i}\t${'x'.repeat(1000)}\n`;
    const all = Buffer.from(range(20_000).map(line).join(''));
    let bytes = 0;
    const onProgress = (/** @type {any} */ p) => {
      bytes = p.bytes;
    };
    assert.deepEqual(await pool.copyFrom(`COPY ${table} FROM STDIN`, all, { onProgress }), {
      rowCount: 20_000,
      bytes: all.length,
    });
    assert.equal(bytes, all.length);
    assert.ok((await textOf(pool.copyTo(table))) === all.toString());
  });

  test('copyFrom of ready data: errors name the row, and a wrong chunk or a stream that fails ends the load', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4');
    const sql = `COPY ${table} FROM STDIN`;
    const error = await failureOf(pool.copyFrom(sql, '1\n2\nx\n'));
    assert.deepEqual([error.code, error.row, error.column], ['22P02', 3, 'id']);
    assert.match((await failureOf(pool.copyFrom(sql, ['1\n', 5]))).message, /^source: chunk 2 /);
    const missing = await failureOf(pool.copyFrom(sql, fs.createReadStream('/nowhere/at/all')));
    assert.equal(missing.code, 'ENOENT');
    const broken = new Readable({ read() {} });
    broken.push('1\n');
    setTimeout(() => broken.destroy(new Error('disk on fire')), 20);
    assert.equal((await failureOf(pool.copyFrom(sql, broken))).message, 'disk on fire');
    assert.equal(await countOf(pool, table), 0);
  });
});

describe('copyFrom and copyTo in a transaction', () => {
  test('copyFrom in a transaction is a part of it', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4');
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (0)`);
      assert.equal(
        (
          await tx.copyFrom(
            table,
            range(1000).map((i) => [i + 1]),
          )
        ).rowCount,
        1000,
      );
      assert.equal(Number((await tx.query(`SELECT count(*) AS n FROM ${table}`))[0].n), 1001);
      assert.equal((await textOf(tx.copyTo(table))).split('\n').length, 1002);
    });
    assert.equal(await countOf(pool, table), 1001);
    const tx = await pool.begin();
    await tx.copyFrom(table, [[5000], ['6000'], [' 7000 ']]);
    await tx.rollback();
    assert.equal(await countOf(pool, table), 1001);
    assert.equal((await failureOf(tx.copyFrom(table, [[1]]))).code, 'ERR_TRANSACTION_ENDED');
  });

  test('copyFrom that fails in a transaction aborts it, until ROLLBACK TO a savepoint', async (t) => {
    const { pool, table } = await withTable(db, t, 'id int4 PRIMARY KEY');
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    const throwing = function* () {
      yield [2];
      throw new Error('source');
    };
    /** @type {[() => Promise<unknown>, string][]} */
    const failures = [
      [() => tx.copyFrom(table, throwing()), 'source'],
      [() => tx.copyFrom(table, [[2], [2.5]]), 'row 2, column "id": number does not fit int4'],
      [() => tx.copyFrom(table, [[2], [1]]), `duplicate key value violates unique constraint "${table}_pkey"`],
      [
        () =>
          tx.copyFrom(
            table,
            (async function* () {
              await new Promise(() => {});
              yield [1];
            })(),
            { timeoutMs: 50 },
          ),
        'statement timed out after 50 ms and was cancelled',
      ],
      [() => textOf(tx.copyTo('nowhere')), 'relation "nowhere" does not exist'],
    ];
    for (const [run, message] of failures) {
      await tx.query('SAVEPOINT s');
      assert.equal((await failureOf(run())).message, message);
      assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
      await tx.query('ROLLBACK TO s');
    }
    await tx.copyFrom(table, [[3]]);
    await tx.commit();
    assert.deepStrictEqual(await pool.query(`SELECT id FROM ${table}`, [], { rowMode: 'array' }), [[1], [3]]);
    const spoilt = await pool.begin();
    await failureOf(spoilt.copyFrom(table, throwing()));
    assert.equal((await failureOf(spoilt.commit())).code, '25P02');
  });
});
