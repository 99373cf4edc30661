'use strict';

// The checks of program.js: each does one kind of work on a pool and returns what it saw. A value that JSON cannot hold is
// returned with its type: 'bigint 1', 'buffer 00ff'.

const { AsyncLocalStorage } = require('node:async_hooks');
const path = require('node:path');
const { Readable, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { setTimeout: sleep } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');
const client = require('hyperiondb-client');
const { checkClusters } = require('./check-clusters.js');

const { createPool, sql } = client;

/** Prints a line of the program's report. @param {object} line */
const print = (line) => console.log(JSON.stringify(line));

/** @param {any} value @returns {any} */
function shown(value) {
  if (typeof value === 'bigint') return `bigint ${value}`;
  if (Buffer.isBuffer(value)) return `buffer ${value.toString('hex')}`;
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (value instanceof Date) return `date ${value.toISOString()}`;
  if (Array.isArray(value)) return Array.from(value, shown);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shown(member)]));
}

/** @param {Promise<unknown>} promise @returns {Promise<any>} the error with which it rejects */
async function failureOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it resolved');
}

/** @param {AsyncIterable<any>} source */
async function all(source) {
  const found = [];
  for await (const each of source) found.push(each);
  return found;
}

/** @param {string} fact @param {() => unknown} probe */
async function until(fact, probe) {
  for (let i = 0; i < 1000; i++) {
    if (await probe()) return;
    await sleep(20);
  }
  throw new Error(`waited in vain: ${fact}`);
}

function collectGarbage() {
  const { gc, Bun } = /** @type {any} */ (globalThis);
  if (Bun !== undefined) Bun.gc(true);
  else gc();
}

/** Statements that this program's pools run on the server at this moment. @param {any} pool @param {string} like */
const running = (pool, like) =>
  pool.value("SELECT count(*)::int4 FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1", [like]);

/** @param {any} login @param {number} i */
function startWorker(login, i) {
  return new Worker(path.join(__dirname, 'program.js'), { workerData: { login, i } });
}

/** @param {import('node:worker_threads').Worker} worker @returns {Promise<any>} */
const firstMessage = (worker) =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });

/** @type {Record<string, (pool: any, login: any, settings: any) => Promise<unknown>>} */
const CHECKS = {
  async load() {
    const module = /** @type {any} */ (await import('hyperiondb-client'));
    const names = Object.keys(client);
    return {
      names: names.length,
      different: names.filter((name) => module[name] !== /** @type {any} */ (client)[name]),
    };
  },

  async types(pool) {
    const [row] = await pool.query(
      `SELECT $1::int8 AS big, $2::int4 AS int, $3::float8 AS float, $4::bool AS bool, $5::text AS text, $6::bytea AS buffer,
         $7::bytea AS bytes, $8::timestamptz AS at, $9::jsonb AS json, $10::int4[] AS ints, $11::text[] AS grid,
         $12::text AS nothing, $13::numeric AS price, $14::uuid AS uuid`,
      [
        2n ** 62n,
        -7,
        1.5,
        true,
        'snow \u2603, pile \u{1f4a9}, quote \'"',
        Buffer.from([0, 255, 10]),
        new Uint8Array([1, 2, 254]),
        new Date('2024-02-29T12:34:56.789Z'),
        { list: [1, 'two', null, { deep: 2.5 }], text: '\u2603' },
        [1, null, 3],
        [
          ['a', 'b"c'],
          [null, '{}'],
        ],
        null,
        '12345678901234567890.0123456789',
        '123e4567-e89b-12d3-a456-426614174000',
      ],
    );
    return shown(row);
  },

  async dates(pool) {
    const types = { date: 'date', int8: 'string', json: 'string', numeric: 'number' };
    return shown(
      await pool.one(
        `SELECT timestamptz '2024-02-29 12:00Z' AS at, 1::int8 AS big, '{"a": 1}'::json AS json, 1.5 AS price`,
        [],
        {
          types,
        },
      ),
    );
  },

  async result(pool) {
    const rows = await pool.sql`select ${5}::int4 as v where ${sql`true`}`;
    const [first] = rows;
    return {
      rows: [first],
      isArray: Array.isArray(rows),
      rowCount: rows.rowCount,
      command: rows.command,
      fields: rows.fields.length,
    };
  },

  // More than the 256 KiB of the buffer in which results usually come, and text that is not ASCII.
  async large(pool) {
    const rows = await pool.query(
      "SELECT i, repeat('é', 100) AS t, repeat('x', 600000) AS x FROM generate_series(1, 20) i",
    );
    return {
      rows: rows.length,
      sum: rows.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.i, 0),
      right: rows.every((/** @type {any} */ { t, x }) => t === 'é'.repeat(100) && x === 'x'.repeat(600_000)),
    };
  },

  async concurrent(pool) {
    const numbers = Array.from({ length: 500 }, (_, i) => i);
    const answers = await Promise.all(numbers.map((i) => pool.value('SELECT $1::int4', [i])));
    return { answers: answers.length, right: answers.every((answer, i) => answer === i) };
  },

  async commit(pool) {
    await pool.query('DROP TABLE IF EXISTS accounts');
    await pool.query('CREATE TABLE accounts (id int4 PRIMARY KEY, balance int8)');
    const inside = await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('INSERT INTO accounts VALUES (1, 10), (2, 20)');
      return tx.value('SELECT sum(balance)::int8 FROM accounts');
    });
    return shown({ inside, after: await pool.value('SELECT count(*) FROM accounts') });
  },

  async rollback(pool) {
    const mine = new Error('mine');
    const error = await failureOf(
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query('DELETE FROM accounts');
        throw mine;
      }),
    );
    const tx = await pool.begin();
    await tx.query('DELETE FROM accounts');
    await tx.rollback();
    return shown({ same: error === mine, after: await pool.value('SELECT count(*) FROM accounts') });
  },

  async batch(pool) {
    const results = await pool.batch([['SELECT $1::int4 AS v', [1]], 'SELECT 1 / 0', 'SELECT 3 AS v']);
    const error = await failureOf(pool.batch(['DELETE FROM accounts', 'SELECT 1 / 0'], { transaction: true }));
    return {
      results: results.map((/** @type {any} */ end) => end.value?.[0].v ?? end.reason.code),
      transaction: [error.code, error.statementIndex],
      after: Number(await pool.value('SELECT count(*) FROM accounts')),
    };
  },

  async stream(pool) {
    let sum = 0;
    for await (const { v } of pool.stream('SELECT v FROM generate_series(1, 10000) v', [], { batchSize: 100 }))
      sum += v;
    let left = 0;
    for await (const { v } of pool.stream('SELECT generate_series(1, 100000000) AS v /* left */')) {
      left = v;
      if (v === 5) break;
    }
    await until('the stream is cancelled on the server', async () => (await running(pool, '%/* left */')) === 0);
    return { sum, left };
  },

  async copyFrom(pool) {
    await pool.query('DROP TABLE IF EXISTS items');
    await pool.query('CREATE TABLE items (id int4 PRIMARY KEY, name text, data bytea)');
    async function* rows() {
      for (let i = 0; i < 5000; i++) {
        if (i % 1000 === 0) await sleep(1);
        yield i % 2 === 0 ? [i, `item ${i}`, Buffer.from([i & 255])] : { id: i, name: null, data: new Uint8Array([7]) };
      }
    }
    const { rowCount } = await pool.copyFrom('items (id, name, data)', rows());
    const text = await pool.copyFrom(
      'COPY items FROM STDIN (FORMAT csv)',
      Readable.from(['5000,"a, b",\n', '5001,c,\n']),
    );
    const [sums] = await pool.query(
      'SELECT sum(id)::int4 AS ids, count(name)::int4 AS names, sum(length(data))::int4 AS bytes FROM items',
    );
    const error = await failureOf(
      pool.copyFrom('items', [
        [6000, 'ok', null],
        [0, 'twice', null],
      ]),
    );
    return { rowCount, csv: text.rowCount, sums, error: error.code };
  },

  async copyTo(pool) {
    const pieces = await all(pool.copyTo('COPY (SELECT v FROM generate_series(1, 20000) v) TO STDOUT'));
    let bytes = 0;
    const sink = new Writable({
      write(chunk, _, done) {
        bytes += chunk.length;
        setImmediate(done);
      },
    });
    await pipeline(pool.copyTo("COPY (SELECT repeat('x', 999) FROM generate_series(1, 2000)) TO STDOUT"), sink);
    return { lines: Buffer.concat(pieces).toString().split('\n').length - 1, piped: bytes };
  },

  async listen(pool) {
    /** @type {unknown[]} */
    const heard = [];
    const subscription = await pool.listen(
      'runtimes',
      (/** @type {string} */ payload, /** @type {any} */ { channel }) => heard.push([channel, payload]),
    );
    await pool.notify('runtimes', 'one');
    await pool.notify('runtimes', 'zwei \u2603');
    await until('both notifications are heard', () => heard.length === 2);
    await subscription.unlisten();
    return heard;
  },

  async timeout(pool) {
    const error = await failureOf(pool.query('SELECT pg_sleep(60) /* late */', [], { timeoutMs: 50 }));
    await until('the statement is cancelled on the server', async () => (await running(pool, '%/* late */')) === 0);
    return {
      name: error.name,
      outcome: error.outcome,
      isClass: error instanceof client.QueryTimeoutError,
    };
  },

  async signal(pool) {
    const controller = new AbortController();
    const running1 = pool.query('SELECT pg_sleep(60) /* stopped */', [], { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 50);
    const error = await failureOf(running1);
    const late = await failureOf(
      pool.query('SELECT pg_sleep(60) /* stopped */', [], { signal: AbortSignal.timeout(50) }),
    );
    const early = await failureOf(pool.query('SELECT 1', [], { signal: AbortSignal.abort() }));
    await until(
      'the statements are cancelled on the server',
      async () => (await running(pool, '%/* stopped */')) === 0,
    );
    return {
      names: [error, late, early].map(({ name }) => name),
      causes: [error.cause.message, late.cause.name, early.cause.name],
      outcome: error.outcome,
    };
  },

  async error(pool) {
    const error = await failureOf(pool.query('INSERT INTO accounts VALUES (1, 5)'));
    const { name, code, message, severity, detail, schema, table, constraint, outcome, retryable, attempts } = error;
    const syntax = await failureOf(pool.query('SELECT 1 + FROM accounts'));
    const parameter = await failureOf(pool.query('SELECT $1::int4', [3.5]));
    return {
      ...{ name, code, message, severity, detail, schema, table, constraint, outcome, retryable, attempts },
      isClass: error instanceof client.DatabaseError && error instanceof client.HyperionError && error instanceof Error,
      syntax: [syntax.code, syntax.position],
      parameter: [parameter.name, parameter.code],
    };
  },

  async stack(pool) {
    async function theCaller() {
      await pool.query('SELECT nothing');
    }
    const { stack } = await failureOf(theCaller());
    return { namesTheCaller: stack.includes('theCaller'), namesThisFile: stack.includes('program.js') };
  },

  async context(pool) {
    const storage = new AsyncLocalStorage();
    const of = (/** @type {number} */ i) =>
      storage.run(i, async () => {
        await pool.query('SELECT pg_sleep($1::float8)', [(5 - i) / 100]);
        const afterQuery = storage.getStore();
        await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1'));
        return [afterQuery, storage.getStore()];
      });
    return Promise.all([1, 2, 3].map(of));
  },

  async events(pool) {
    /** @type {string[]} */
    const notices = [];
    const listener = (/** @type {any} */ { message }) => notices.push(message);
    pool.on('notice', listener);
    await pool.exec("DO $$ BEGIN RAISE NOTICE 'from the server'; END $$; SELECT 1");
    pool.off('notice', listener);
    return notices;
  },

  async password(_, login) {
    let asked = 0;
    const pool = createPool({
      ...login,
      poolSize: 1,
      password: async () => {
        asked++;
        await sleep(1);
        return login.password;
      },
    });
    const answer = await pool.value('SELECT 1');
    await pool.end();
    return { answer, asked: asked > 0 };
  },

  async worker(pool, login) {
    const worker = startWorker(login, 7);
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    const answer = await firstMessage(worker);
    return { answer, exitCode: await ended, main: await pool.value('SELECT 1') };
  },

  // Each is terminated while the server works for it.
  async terminated(pool, login) {
    const answers = [];
    for (let i = 100; i < 110; i++) {
      const worker = startWorker(login, i);
      answers.push(await firstMessage(worker));
      await worker.terminate();
    }
    return { answers: answers.length, main: await pool.value('SELECT 1') };
  },

  async collected(pool, login) {
    const applicationName = `forgotten-${process.pid}`;
    const count = () =>
      pool.value('SELECT count(*)::int4 FROM pg_stat_activity WHERE application_name = $1', [applicationName]);
    const forget = async () => {
      await createPool({ ...login, applicationName, poolSize: 1 }).query('SELECT 1');
    };
    for (let i = 0; i < 10; i++) await forget();
    await until('pools that nobody holds are closed', async () => {
      collectGarbage();
      // An engine that looks for references on the stack may find the last pool there for long.
      return (await count()) < 2;
    });
    return 'closed';
  },

  clusters: (pool, login) => checkClusters(pool, login, shown),

  async nodes(pool) {
    return pool
      .nodes()
      .map(({ role }) => role)
      .sort();
  },

  // The test makes a switchover as soon as it reads `ready`.
  async failover(pool, _, { canFailover }) {
    if (!canFailover) return 'skipped';
    await pool.query('DROP TABLE IF EXISTS written');
    await pool.query('CREATE TABLE written (n int4)');
    const insert = () =>
      pool.query('INSERT INTO written VALUES ($1) RETURNING inet_server_port() AS port', [acknowledged.length]);
    /** @type {number[]} */
    const acknowledged = [];
    const [{ port }] = await insert();
    acknowledged.push(port);
    print({ ready: 'failover' });
    /** @type {string[]} */
    const errors = [];
    const there = () => acknowledged.filter((other) => other !== port).length;
    while (there() < 20 && errors.length <= 100) {
      try {
        acknowledged.push((await insert())[0].port);
      } catch (error) {
        errors.push(/** @type {any} */ (error).code);
        await sleep(20);
      }
    }
    const stored = (await pool.query('SELECT n FROM written ORDER BY n')).map((/** @type {any} */ { n }) => n);
    return {
      errors,
      moved: there(),
      whole:
        stored.length === acknowledged.length &&
        stored.every((/** @type {number} */ n, /** @type {number} */ i) => n === i),
    };
  },

  async end(_, login) {
    const pool = createPool({ ...login, poolSize: 2 });
    let isDone = false;
    const work = pool.query('SELECT pg_sleep(0.2)').then(() => {
      isDone = true;
    });
    await pool.value('SELECT 1');
    await pool.end();
    await work;
    return { isDone, after: (await failureOf(pool.query('SELECT 1'))).code, size: pool.status().size };
  },
};

module.exports = { CHECKS, print };
