'use strict';

// Migrations over several units: order, checksums, what is refused before anything is applied, and what a failure says.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { migrate, migrationStatus } = require('../../exports/clusters/migrations/index.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { failureOf, poolFor, range, test } = require('../support/helpers.js');
const { fakeUnit, useClusters } = require('./support.js');

/** @typedef {import('node:test').TestContext} TestContext */

const clusters = useClusters({ a: { nodes: 1 } });

let count = 0;
/**
 * Units, each with a database of its own.
 * @param {TestContext} t
 * @param {number} [wanted]
 * @param {Record<string, unknown>} [options]
 */
async function units(t, wanted = 1, options = {}) {
  const names = range(wanted).map(() => `migrations_${++count}`);
  for (const name of names) await clusters.a.sql(`CREATE DATABASE ${name}`);
  return names.map((database, at) =>
    fakeUnit(wanted === 1 ? 'orders' : `users/${at}`, clusters.a.pool(t, { database, poolSize: 3, ...options })),
  );
}

/** @param {Record<string, string>} files */
const asMigrations = (files) => Object.entries(files).map(([name, sql]) => ({ name, sql }));
/** @param {any[]} some @param {Record<string, string>} files @param {object} [options] */
const run = (some, files, options) => migrate({ units: some, migrations: asMigrations(files), ...options });
/** @param {any} unit */
const rows = async (unit) => [
  ...(await unit.pool.query('SELECT number::int4, name, state FROM hyperiondb_migrations ORDER BY number', [], {
    rowMode: 'array',
  })),
];
/** @param {any} unit @param {string} table */
const has = (unit, table) => unit.pool.value('SELECT to_regclass($1) IS NOT NULL', [table]);
/** @param {any} error */
const said = ({ code, unit, migration, outcome, retryable }) => ({ code, unit, migration, outcome, retryable });

// --- files

/** @param {TestContext} t @param {Record<string, string | Buffer>} files */
function folder(t, files) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-migrations-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(directory, name), text);
  return directory;
}

test('migrate: files of a folder are applied in the order of their numbers, padded or not, and once', async (t) => {
  const some = await units(t, 2);
  const directory = folder(t, {
    '10_third.sql': 'INSERT INTO steps VALUES (10)',
    '2-second.sql': 'INSERT INTO steps VALUES (2)',
    '001_first.sql': '\ufeffCREATE TABLE steps (at int, n serial);\r\nINSERT INTO steps VALUES (1);\r\n',
    'README.md': 'This is no migration.',
  });
  const { applied, skipped, pending } = await migrate({ units: some, directory });
  assert.deepEqual(
    applied.map(({ unit, name }) => [unit, name]),
    ['001_first', '2-second', '10_third'].flatMap((name) => [
      ['users/0', name],
      ['users/1', name],
    ]),
  );
  assert.ok(applied.every(({ durationMs }) => durationMs > 0));
  assert.deepEqual([skipped, pending], [0, []]);
  for (const unit of some) {
    assert.deepEqual(
      [...(await unit.pool.query('SELECT at FROM steps ORDER BY n'))],
      [{ at: 1 }, { at: 2 }, { at: 10 }],
    );
    assert.deepEqual(await rows(unit), [
      [1, '001_first', 'applied'],
      [2, '2-second', 'applied'],
      [10, '10_third', 'applied'],
    ]);
  }
  // Another folder for the same files: other line ends, other zeros.
  const other = folder(t, {
    '1_first.sql': 'CREATE TABLE steps (at int, n serial);\nINSERT INTO steps VALUES (1);\n',
    '02-second.sql': 'INSERT INTO steps VALUES (2)',
    '010_third.sql': 'INSERT INTO steps VALUES (10)',
    '11_fourth.sql': 'INSERT INTO steps VALUES (11)',
  });
  const again = await migrate({ units: some, directory: other });
  assert.deepEqual([again.applied.map(({ name }) => name), again.skipped], [['11_fourth', '11_fourth'], 6]);
  assert.deepEqual(await migrate({ units: some, directory: other }), { applied: [], skipped: 8, pending: [] });
});

for (const [what, files, message] of /** @type {[string, Record<string, string | Buffer>, RegExp][]} */ ([
  ['two with one number', { '1_a.sql': '', '001_b.sql': '' }, /^(1_a and 001_b|001_b and 1_a) have one number/],
  ['a name without a number', { 'accounts.sql': '' }, /^accounts\.sql: a migration is called by its number and a name/],
  ['a number without a name', { '1.sql': '' }, /^1\.sql: a migration is called/],
  ['no file at all', { 'README.md': '' }, /^the directory has no migration/],
  ['text that is not UTF-8', { '1_a.sql': Buffer.from([0x53, 0xff]) }, /^1_a\.sql is not UTF-8$/],
  ['NUL', { '1_a.sql': 'SELECT \0' }, /^1_a\.sql contains what PostgreSQL cannot have/],
])) {
  test(`migrate: a folder with ${what} is refused`, async (t) => {
    const error = await failureOf(migrate({ units: [{}], directory: folder(t, files) }));
    assert.equal(error.code, 'ERR_MIGRATION_FILES');
    assert.match(error.message, message);
  });
}

for (const [options, message] of /** @type {[any, RegExp][]} */ ([
  [{}, /^directory or migrations must be given, and not both$/],
  [{ directory: 'x', migrations: [] }, /^directory or migrations must be given, and not both$/],
  [{ directory: '/nowhere/at/all' }, /^directory cannot be read: ENOENT$/],
  [{ directory: 5 }, /^directory must be a path$/],
  [{ migrations: [] }, /^migrations must have at least one$/],
  [{ migrations: {} }, /^migrations must be an array of \{ name, sql \}$/],
  [{ migrations: [{ name: '1_a' }] }, /^migrations\[0\]\.sql must be a string$/],
  [{ migrations: [{ name: '1_a', sql: '', down: '' }] }, /^migrations\[0\] has an unknown member down$/],
  [{ migrations: [{ name: '1_a', sql: '' }], units: [] }, /^units must name at least one$/],
  [{ migrations: [{ name: '1_a', sql: '' }], table: 'a.b.c' }, /^table must be 'table' or 'schema\.table'/],
  [{ migrations: [{ name: '1_a', sql: '' }], lock: true }, /^unknown option 'lock'/],
  [{ migrations: [{ name: '1_a', sql: '' }], timeoutMs: 0 }, /^timeoutMs must be an integer from 1/],
  [{ migrations: [{ name: '1_a', sql: '' }], signal: {} }, /^signal must be an AbortSignal$/],
  [{ migrations: [{ name: '1_a', sql: '' }], dryRun: 1 }, /^dryRun must be a boolean$/],
  [{ migrations: [{ name: '1_a', sql: '' }], onEvent: 1 }, /^onEvent must be a function$/],
])) {
  test(`migrate: options are refused: ${message.source}`, async () => {
    const error = await failureOf(migrate({ units: [{}], ...options }));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
    assert.match(error.message, message);
  });
}

// --- what is refused before anything is applied

const FIRST = { '1_first': 'CREATE TABLE first ()', '2_second': 'CREATE TABLE second ()' };

for (const [code, files, message] of /** @type {[string, Record<string, string>, RegExp][]} */ ([
  [
    'ERR_MIGRATION_CHANGED',
    { ...FIRST, '2_second': 'CREATE TABLE other ()' },
    /2_second has changed since it was applied/,
  ],
  [
    'ERR_MIGRATION_CHANGED',
    { '1_first': FIRST['1_first'], '2_zweite': FIRST['2_second'] },
    /2_second was applied, but is called 2_zweite here/,
  ],
  [
    'ERR_MIGRATION_MISSING',
    { '2_second': FIRST['2_second'] },
    /1_first was applied, but there is no such migration here/,
  ],
  [
    'ERR_MIGRATION_ORDER',
    { '0_zeroth': 'SELECT 1', ...FIRST },
    /0_zeroth was not applied, but 2_second, which comes after it, was/,
  ],
])) {
  test(`migrate: ${code} on one unit of three, and nothing is applied on any: ${message.source}`, async (t) => {
    const some = await units(t, 3);
    await run([some[1]], FIRST);
    const error = await failureOf(run(some, { ...files, '3_third': 'CREATE TABLE third ()' }));
    const { migration: _, ...facts } = said(error);
    assert.deepEqual(facts, { code, unit: 'users/1', outcome: 'not-applied', retryable: false });
    assert.match(error.message, new RegExp(`^users/1: ${message.source}.*; nothing was applied$`));
    for (const unit of some) assert.equal(await has(unit, 'third'), false);
    for (const unit of [some[0], some[2]]) assert.equal(await has(unit, 'hyperiondb_migrations'), false);
  });
}

test('migrate: all problems are told, and an older release beside a newer one has nothing to do', async (t) => {
  const some = await units(t, 2);
  await run(some, FIRST);
  const error = await failureOf(run(some, { '1_first': 'SELECT 1', '2_second': 'SELECT 2' }));
  assert.match(error.message, /^users\/0: 1_first has changed .* \(and 3 more, see problems\)$/);
  assert.deepEqual(
    error.problems.map((/** @type {any} */ { unit, name }) => [unit, name]),
    ['users/0', 'users/1'].flatMap((unit) => [
      [unit, '1_first'],
      [unit, '2_second'],
    ]),
  );
  assert.deepEqual(await run(some, { '1_first': FIRST['1_first'] }), { applied: [], skipped: 2, pending: [] });
});

test('migrate: of three units one is down: nothing is applied anywhere, and the error names it', async (t) => {
  const some = await units(t, 2);
  const { user, password, database } = clusters.a.options();
  const dead = poolFor(t, { hosts: `127.0.0.1:${await freePort()}`, user, password, database, acquireTimeoutMs: 300 });
  const down = { name: 'users/2', pool: dead };
  const error = await failureOf(run([...some, down], FIRST));
  assert.deepEqual(said(error), {
    ...{ code: 'ERR_MIGRATION_UNREACHABLE', unit: 'users/2', migration: null },
    ...{ outcome: 'not-applied', retryable: true },
  });
  assert.match(
    error.message,
    /^users\/2: it cannot be told what is applied: .*Connection refused.*; nothing was applied$/s,
  );
  assert.equal(error.cause.code, 'ERR_NO_PRIMARY');
  for (const unit of some) assert.equal(await has(unit, 'hyperiondb_migrations'), false);
  const status = await migrationStatus({ units: [...some, down], migrations: asMigrations(FIRST) });
  assert.deepEqual(
    status.map(({ unit, error: why }) => [unit, why === null]),
    [
      ['users/0', true],
      ['users/1', true],
      ['users/2', false],
    ],
  );
});

test('migrate: dryRun says what would be applied, and changes nothing', async (t) => {
  const some = await units(t, 2);
  await run([some[0]], { '1_first': FIRST['1_first'] });
  assert.deepEqual(await run(some, FIRST, { dryRun: true }), {
    applied: [],
    skipped: 1,
    pending: [
      { unit: 'users/1', name: '1_first' },
      { unit: 'users/0', name: '2_second' },
      { unit: 'users/1', name: '2_second' },
    ],
  });
  assert.equal(await has(some[1], 'hyperiondb_migrations'), false);
});

test('migrationStatus: each migration of each unit with its state', async (t) => {
  const [unit] = await units(t);
  await run([unit], { '2_b': 'SELECT 2', '3_c': 'SELECT 3', '4_d': 'SELECT 4', '9_z': 'SELECT 9' });
  await unit.pool.query(`UPDATE hyperiondb_migrations SET state = 'begun' WHERE number = 4`);
  const migrations = asMigrations({ '1_a': 'SELECT 1', '3_c': 'SELECT 33', '4_d': 'SELECT 4', '5_e': 'SELECT 5' });
  const [{ migrations: found }] = await migrationStatus({ units: [unit], migrations });
  assert.deepEqual(
    found.map(({ name, state }) => [name, state]),
    [
      ['1_a', 'out of order'],
      ['2_b', 'missing'],
      ['3_c', 'changed'],
      ['4_d', 'begun'],
      ['5_e', 'out of order'],
      ['9_z', 'ahead'],
    ],
  );
  assert.match(String(found[1].appliedAt), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.ok(Number(found[1].durationMs) > 0);
  assert.equal(found[0].appliedAt, null);
});

// --- a failure

test('migrate: a failure names unit, migration, line and the error of the server, undoes that one, and stops', async (t) => {
  const some = await units(t, 2);
  const error = await failureOf(
    run(some, {
      ...FIRST,
      '3_third': `CREATE TABLE third ();\n-- ä 😀\nCREATE TABLE fourth ();\n  SELECT 'ä😀', missing FROM first;`,
      '4_fourth': 'SELECT 1',
    }),
  );
  assert.deepEqual(said(error), {
    ...{
      code: 'ERR_MIGRATION_FAILED',
      unit: 'users/0',
      migration: '3_third',
      outcome: 'not-applied',
      retryable: false,
    },
  });
  assert.equal(error.message, 'users/0: 3_third, line 4: column "missing" does not exist (42703)');
  assert.deepEqual([error.line, error.column, error.cause.code], [4, 16, '42703']);
  assert.deepEqual(
    error.applied.map((/** @type {any} */ { unit, name }) => `${unit} ${name}`),
    ['users/0 1_first', 'users/1 1_first', 'users/0 2_second', 'users/1 2_second'],
  );
  for (const unit of some) {
    assert.equal(await has(unit, 'third'), false);
    assert.deepEqual((await rows(unit)).length, 2);
  }
  const { applied } = await run(some, { ...FIRST, '3_third': 'CREATE TABLE third ()' });
  assert.equal(applied.length, 2);
});

test('migrate: the first migration of a database that fails leaves nothing, not even the table', async (t) => {
  const [unit] = await units(t);
  const error = await failureOf(run([unit], { '1_bad': 'SELEC 1' }));
  assert.equal(error.message, 'orders: 1_bad, line 1: syntax error at or near "SELEC" (42601)');
  assert.equal(await has(unit, 'hyperiondb_migrations'), false);
});

test('migrate: a failure at COMMIT is one of the migration, and it is undone', async (t) => {
  const [unit] = await units(t);
  const sql = `CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE children (parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO children VALUES (1);`;
  const error = await failureOf(run([unit], { '1_children': sql }));
  assert.match(error.message, /^orders: 1_children: .* violates foreign key constraint .* \(23503\)$/);
  assert.equal(await has(unit, 'children'), false);
});

test('migrate: of units side by side, those behind the first go on when one of them fails, and the error says what was applied', async (t) => {
  const some = await units(t, 3);
  await some[1].pool.query('CREATE TABLE first ()');
  const error = await failureOf(run(some, FIRST));
  assert.deepEqual([error.unit, error.migration, error.cause.code], ['users/1', '1_first', '42P07']);
  assert.deepEqual(
    error.applied.map((/** @type {any} */ { unit, name }) => `${unit} ${name}`),
    ['users/0 1_first', 'users/2 1_first'],
  );
});

for (const word of ['COMMIT', 'ROLLBACK', 'BEGIN']) {
  test(`migrate: ${word} in a migration is refused, because its row belongs to the same transaction`, async (t) => {
    const [unit] = await units(t);
    const error = await failureOf(run([unit], { '1_a': `CREATE TABLE first (); ${word}; CREATE TABLE second ();` }));
    assert.match(error.message, new RegExp(`^orders: 1_a: script: ${word} cannot be sent in a transaction`));
    assert.equal(await has(unit, 'first'), false);
  });
}

test('migrate: what a migration does to its session does not reach its row, and no other session', async (t) => {
  const [unit] = await units(t);
  await clusters.a.sql('CREATE ROLE owner_of_migrations');
  t.after(() => clusters.a.sql('DROP ROLE owner_of_migrations'));
  await run([unit], {
    '1_a': `SET search_path TO ''; CREATE TABLE public.one (); SET default_transaction_isolation = 'serializable'`,
    '2_b': 'SET ROLE owner_of_migrations; SET default_transaction_read_only = on',
    '3_c': 'CREATE TABLE three ()',
  });
  assert.deepEqual(
    (await rows(unit)).map(([number, , state]) => [number, state]),
    range(3).map((i) => [i + 1, 'applied']),
  );
  assert.equal(await has(unit, 'public.three'), true);
});

test('migrate: the table may be in a schema, which must exist', async (t) => {
  const [unit] = await units(t);
  const error = await failureOf(run([unit], FIRST, { table: 'Ops.the log' }));
  assert.equal(error.cause.code, '3F000');
  await unit.pool.query('CREATE SCHEMA "Ops"');
  await run([unit], FIRST, { table: 'Ops.the log' });
  assert.equal(await unit.pool.value('SELECT count(*) FROM "Ops"."the log"'), 2n);
  assert.equal((await run([unit], FIRST, { table: 'Ops.the log' })).skipped, 2);
});

test('migrate: a pool with other types, serializable sessions and ambient transactions is no difference', async (t) => {
  const [unit] = await units(t, 1, {
    ambient: true,
    types: { int8: 'string', numeric: 'number', date: 'date' },
    options: { default_transaction_isolation: 'serializable' },
  });
  const undone = unit.pool.transaction(async () => {
    assert.equal(
      (await run([unit], { ...FIRST, '3_c': '-- no transaction\nCREATE TABLE third ()' })).applied.length,
      3,
    );
    throw new Error('rolled back');
  });
  await assert.rejects(undone, /^Error: rolled back$/);
  assert.equal((await run([unit], FIRST)).skipped, 2);
  assert.equal(await has(unit, 'third'), true);
});

test('migrate: events say what happens; what a listener throws is swallowed', async (t) => {
  const [unit] = await units(t);
  /** @type {any[]} */
  const events = [];
  await run([unit], FIRST, {
    onEvent: (/** @type {any} */ event) => {
      events.push([event.type, event.unit, event.name]);
      throw new Error('of the listener');
    },
  });
  assert.deepEqual(
    events,
    ['1_first', '2_second'].flatMap((name) => ['begun', 'applied'].map((type) => [type, 'orders', name])),
  );
});

test('migrate: signal and timeoutMs end it: what runs is undone, and the error says what was applied', async (t) => {
  const [unit] = await units(t);
  const files = { '1_first': FIRST['1_first'], '2_slow': 'CREATE TABLE slow (); SELECT pg_sleep(60)' };
  const control = new AbortController();
  const onEvent = (/** @type {any} */ { type, name }) =>
    type === 'begun' && name === '2_slow' && setTimeout(() => control.abort('enough'), 100);
  const aborted = await failureOf(run([unit], files, { signal: control.signal, onEvent }));
  assert.deepEqual(
    [aborted.code, aborted.cause, aborted.unit, aborted.migration],
    ['ABORT_ERR', 'enough', 'orders', '2_slow'],
  );
  assert.deepEqual(
    aborted.applied.map((/** @type {any} */ { name }) => name),
    ['1_first'],
  );
  assert.equal((await failureOf(run([unit], files, { signal: control.signal }))).code, 'ABORT_ERR');
  const late = await failureOf(run([unit], files, { timeoutMs: 500 }));
  assert.deepEqual([late.code, late.migration, late.outcome], ['57014', '2_slow', 'not-applied']);
  assert.equal(await has(unit, 'slow'), false);
});
