'use strict';

// Migrations when something is in the way: several processes at once, a process that is killed, a COMMIT without an answer, statements
// that cannot run in a transaction.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { migrate } = require('../../exports/clusters/migrations/index.js');
const { LossyRelay } = require('../exactly-once/lossy-relay.js');
const { failureOf, inChild, poolFor, range, test, until } = require('../support/helpers.js');
const { fakeUnit, useClusters } = require('./support.js');

/** @typedef {import('node:test').TestContext} TestContext */

const ROUNDS = process.env.HYPERION_FULL ? 20 : 1;

const clusters = useClusters({ a: { nodes: 1 } });

let count = 0;
/** A unit with a database of its own. @param {TestContext} t @param {Record<string, unknown>} [options] */
async function unitOf(t, options) {
  const database = `races_${++count}`;
  await clusters.a.sql(`CREATE DATABASE ${database}`);
  return { database, ...fakeUnit('orders', clusters.a.pool(t, { database, poolSize: 3, ...options })) };
}

/** @param {Record<string, string>} files */
const asMigrations = (files) => Object.entries(files).map(([name, sql]) => ({ name, sql }));
/** @param {any} unit @param {Record<string, string>} files @param {object} [options] */
const run = (unit, files, options) => migrate({ units: [unit], migrations: asMigrations(files), ...options });
/** @param {any} unit */
const states = async (unit) =>
  (await unit.pool.query('SELECT name, state FROM hyperiondb_migrations ORDER BY number')).map(
    (/** @type {any} */ { name, state }) => `${name} ${state}`,
  );

/** What a process runs that migrates. @param {Record<string, string>} files */
const program = (files) => `
  const { migrate } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'exports', 'clusters', 'migrations', 'index.js'))});
  const pool = createPool(options);
  const onEvent = ({ type, name }) => print(type + ' ' + name);
  const { applied, skipped } = await migrate({ units: [{ name: 'orders', pool }], migrations: ${JSON.stringify(asMigrations(files))}, onEvent });
  print('done ' + applied.length + ' ' + skipped);
  await pool.end();`;

test(`migrate: processes at once apply each migration once (${ROUNDS} rounds)`, async (t) => {
  const files = Object.fromEntries(
    range(8).map((i) => [
      `${i + 1}_step`,
      i === 0
        ? 'CREATE TABLE steps (at int, xid xid8 DEFAULT pg_current_xact_id()); INSERT INTO steps VALUES (1)'
        : i === 4
          ? '-- no transaction\nINSERT INTO steps VALUES (5)'
          : `INSERT INTO steps VALUES (${i + 1}); SELECT pg_sleep(0.02)`,
    ]),
  );
  for (let round = 0; round < ROUNDS; round++) {
    const { database, pool } = await unitOf(t);
    const ends = await Promise.all(
      range(3).map(() => inChild(clusters.a, program(files), { options: { database, poolSize: 2 } })),
    );
    for (const { code, stderr } of ends) assert.deepEqual([code, stderr], [0, '']);
    const done = ends.map(
      ({ lines }) =>
        /^done (\d+) (\d+)$/
          .exec(lines.at(-1) ?? '')
          ?.slice(1)
          .map(Number) ?? [],
    );
    assert.equal(
      done.reduce((sum, [applied]) => sum + applied, 0),
      8,
    );
    assert.ok(done.every(([applied, skipped]) => applied + skipped === 8));
    assert.deepEqual(
      (await pool.query('SELECT at FROM steps ORDER BY xid')).map((/** @type {any} */ { at }) => at),
      range(8).map((i) => i + 1),
    );
  }
});

test('migrate: a process that finds other files than one that was faster is refused, and its older migration stays out', async (t) => {
  const unit = await unitOf(t);
  const slow = run(unit, { '1_a': 'SELECT 1', '3_c': 'SELECT pg_sleep(0.5) AS slow' });
  await runs(unit, 'AS slow');
  const [other] = await Promise.all([failureOf(run(unit, { '1_a': 'SELECT 1', '2_b': 'SELECT 2' })), slow]);
  assert.equal(other.code, 'ERR_MIGRATION_ORDER');
  assert.deepEqual(await states(unit), ['1_a applied', '3_c applied']);
});

/** @param {TestContext} t @param {string} database @param {Record<string, string>} files */
function process_(t, database, files) {
  const script = `
    const { createPool } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'client.js'))});
    const options = ${JSON.stringify(clusters.a.options({ database }))};
    const print = console.log;
    (async () => {${program(files)}})();`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const printed = { out: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed.out += text;
  });
  return { child, printed, ended: new Promise((resolve) => child.on('close', resolve)) };
}

/** @param {any} unit @param {string} query */
const runs = (unit, query) =>
  until(`the server runs ${query}`, async () => {
    const [found] = await unit.pool.query(
      'SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE $1 AND state = $2',
      [`%${query}%`, 'active'],
    );
    return found;
  });

test('migrate: SIGKILL in the middle of a migration undoes it, and the next process applies it', async (t) => {
  const unit = await unitOf(t);
  const files = { '1_a': 'CREATE TABLE a ()', '2_b': 'CREATE TABLE b (); SELECT pg_sleep(1.5) AS killed' };
  const { child, ended } = process_(t, unit.database, files);
  await runs(unit, 'AS killed');
  child.kill('SIGKILL');
  await ended;
  /** @type {string[]} */
  const events = [];
  const { applied, skipped } = await run(unit, files, {
    onEvent: (/** @type {any} */ { type, name }) => events.push(`${type} ${name}`),
  });
  assert.deepEqual([applied.map(({ name }) => name), skipped], [['2_b'], 1]);
  // The server goes on with the statement of the dead process: its lock is waited for.
  assert.deepEqual(events, ['waiting null', 'begun 2_b', 'applied 2_b']);
  assert.deepEqual(await states(unit), ['1_a applied', '2_b applied']);
});

// --- outside of a transaction

test('migrate: "-- no transaction" runs what cannot run in a transaction, and its row has its time', async (t) => {
  const unit = await unitOf(t);
  await run(unit, {
    '1_t': 'CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)',
    '2_index': '-- no transaction\n-- The table is large.\nCREATE INDEX CONCURRENTLY t_a ON t (a);\n',
    '3_vacuum': '--NO TRANSACTION  \nVACUUM t',
  });
  assert.equal(await unit.pool.value(`SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass`), true);
  assert.deepEqual(await states(unit), ['1_t applied', '2_index applied', '3_vacuum applied']);
  assert.equal(await unit.pool.value('SELECT count(*) FROM hyperiondb_migrations WHERE duration_ms > 0'), 3n);
  const without = await failureOf(run(await unitOf(t), { '1_v': 'VACUUM' }));
  assert.match(
    without.message,
    /^orders: 1_v: VACUUM cannot .*: it needs a file of its own that begins with "-- no transaction" \(25001\)$/,
  );
});

test('migrate: CREATE INDEX CONCURRENTLY in one process does not wait for another that waits for it', async (t) => {
  const unit = await unitOf(t);
  const files = {
    '1_t': 'CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)',
    '2_index': '-- no transaction\nCREATE INDEX CONCURRENTLY t_a ON t (slowly(a))',
  };
  await unit.pool.exec(`CREATE FUNCTION slowly(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN IF n % 100 = 0 THEN PERFORM pg_sleep(0.05); END IF; RETURN n; END $$`);
  const both = await Promise.all(range(3).map(() => run(unit, files)));
  assert.equal(
    both.reduce((sum, { applied }) => sum + applied.length, 0),
    2,
  );
});

test('migrate: SIGKILL outside of a transaction is told, by name, and nothing is repeated', async (t) => {
  const unit = await unitOf(t);
  const files = {
    '1_a': 'CREATE TABLE a (n int)',
    '2_b': '-- no transaction\nINSERT INTO a SELECT 1 FROM pg_sleep(1) AS killed',
  };
  const { child, ended } = process_(t, unit.database, files);
  await runs(unit, 'AS killed');
  child.kill('SIGKILL');
  await ended;
  const more = { ...files, '3_c': 'CREATE TABLE c ()' };
  const error = await failureOf(run(unit, more));
  assert.deepEqual([error.code, error.unit, error.migration], ['ERR_MIGRATION_BEGUN', 'orders', '2_b']);
  assert.match(
    error.message,
    /^orders: 2_b was begun outside of a transaction, and it is not known what of it was done: .*delete the row; nothing was applied$/,
  );
  await until(
    'the server has ended the statement',
    async () => (await unit.pool.value('SELECT count(*) FROM a')) === 1n,
  );
  assert.deepEqual(await states(unit), ['1_a applied', '2_b begun']);
  await unit.pool.query(`UPDATE hyperiondb_migrations SET state = 'applied' WHERE number = 2`);
  assert.deepEqual(
    (await run(unit, more)).applied.map(({ name }) => name),
    ['3_c'],
  );
});

test('migrate: what has failed outside of a transaction before it began may run again, anything else is told', async (t) => {
  const unit = await unitOf(t);
  const table = { '1_t': 'CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)' };
  const typo = await failureOf(run(unit, { ...table, '2_i': '-- no transaction\nCREATE INDEX CONCURRENTLY ON t (b)' }));
  assert.equal(typo.message, 'orders: 2_i: column "b" does not exist (42703)');
  assert.equal(typo.outcome, 'not-applied');
  const two = await failureOf(run(unit, { ...table, '2_i': '-- no transaction\nVACUUM t; VACUUM t' }));
  assert.match(
    two.message,
    /^orders: 2_i: VACUUM cannot .*: a migration without a transaction is one statement \(25001\)$/,
  );
  assert.deepEqual(await states(unit), ['1_t applied']);
  const unique = { ...table, '2_i': '-- no transaction\nCREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)' };
  const error = await failureOf(run(unit, unique));
  assert.deepEqual([error.code, error.cause.code, error.outcome], ['ERR_MIGRATION_FAILED', '23505', 'unknown']);
  assert.equal(await unit.pool.value(`SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass`), false);
  assert.equal((await failureOf(run(unit, unique))).code, 'ERR_MIGRATION_BEGUN');
});

test('migrate: with a single connection a migration outside of a transaction is refused by name', async (t) => {
  const unit = await unitOf(t, { poolSize: 1 });
  const error = await failureOf(run(unit, { '1_v': '-- no transaction\nVACUUM' }));
  assert.equal(error.message, 'orders: 1_v needs a second connection: poolSize is 1');
  assert.equal((await run(unit, { '1_v': 'SELECT 1' })).applied.length, 1);
});

// --- a COMMIT without an answer

for (const fault of /** @type {const} */ (['cut before', 'cut after', 'deaf before', 'deaf after', 'late'])) {
  test(`migrate: the answer to COMMIT is lost (${fault}): the row says what became of it, and it is applied once`, async (t) => {
    const { database, pool } = await unitOf(t);
    const relay = await LossyRelay.open(pool.nodes()[0]);
    t.after(() => relay.close());
    let left = 0;
    const lossy = poolFor(t, { ...clusters.a.options({ database }), hosts: relay.address, poolSize: 3 });
    const unit = { name: 'orders', pool: lossy };
    await run(unit, { '1_t': 'CREATE TABLE t (n int)' });
    relay.fault = () => (left-- > 0 ? fault : undefined);
    let begun = 0;
    const onEvent = (/** @type {any} */ { type }) => {
      if (type !== 'begun') return;
      begun++;
      if (begun === 1) left = 1;
    };
    const files = { '1_t': 'CREATE TABLE t (n int)', '2_row': 'INSERT INTO t VALUES (1)' };
    const { applied } = await run(unit, files, { onEvent });
    assert.deepEqual(
      applied.map(({ name }) => name),
      ['2_row'],
    );
    assert.equal(await pool.value('SELECT count(*) FROM t'), 1n);
    assert.deepEqual(relay.made, { [fault]: 1 });
    t.diagnostic(`begun ${begun} times`);
    if (fault.endsWith('after')) assert.equal(begun, 1, 'what was committed is not run again');
    if (fault.endsWith('before')) assert.equal(begun, 2);
  });
}
