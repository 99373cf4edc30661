'use strict';

// `hyperiondb-client migrate`: arguments, a single cluster, a configuration of several with shards, output and exit codes.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { readArguments, UsageError } = require('../../lib/cli/arguments.js');
const { eventLine, failureLines, statusLines } = require('../../lib/cli/migrations-page.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { ESC, reaching, run } = require('../support/command.js');
const { test } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

/** @typedef {import('node:test').TestContext} TestContext */

// --- arguments

const MIGRATE = ['migrate', '--directory', 'm'];

for (const [args, expected] of /** @type {[string[], object][]} */ ([
  [MIGRATE, { directory: 'm', config: undefined, clusters: undefined, schemas: undefined, task: 'apply' }],
  [[...MIGRATE, '--dry-run'], { task: 'rehearse' }],
  [[...MIGRATE, '--status'], { task: 'look' }],
  [
    [...MIGRATE, '--config', 'c.json', '--clusters', 'a, b', '--schemas=s'],
    { config: 'c.json', clusters: ['a', 'b'], schemas: ['s'] },
  ],
])) {
  test(`cli migrate arguments: ${args.join(' ')}`, () => {
    const migrating = /** @type {any} */ (readArguments(args).migrating);
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(migrating[name], value, name);
  });
}

for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
  [['migrate'], /^migrate needs --directory, the folder with the files NNN_name\.sql$/],
  [[...MIGRATE, '--status', '--dry-run'], /^--status applies nothing: leave out --dry-run$/],
  [[...MIGRATE, '--config', 'c.json', '--hosts', 'a'], /^--config says where the clusters are: leave out --hosts$/],
  [
    [...MIGRATE, '--config', 'c.json', 'host=s3cret'],
    /^--config says where the clusters are: leave out the connection string$/,
  ],
  [[...MIGRATE, '--clusters', 'a'], /^--clusters chooses from the clusters of --config$/],
  [[...MIGRATE, '--schemas', 'a'], /^--schemas chooses from the clusters of --config$/],
  [
    [...MIGRATE, '--config', 'c.json', '--clusters', 'a,,b'],
    /^--clusters is a list of names with commas between them$/,
  ],
  [[...MIGRATE, '--reap'], /^--reap is an option of leases alone$/],
  [[...MIGRATE, '--password', 's3cret'], /^--password: /],
  [['status', '--directory', 'm'], /^--directory is an option of migrate alone$/],
  [['setup', 'exactly-once', '--dry-run'], /^--dry-run is an option of leases and migrate alone$/],
])) {
  test(`cli migrate arguments are refused: ${args.join(' ')}`, () => {
    assert.throws(
      () => readArguments(args),
      (/** @type {any} */ error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return !error.message.includes('s3cret');
      },
    );
  });
}

// --- text

test('cli migrate page: a text of a server cannot steer the terminal, and only what is wrong is coloured', () => {
  const states = /** @type {const} */ (['applied', 'changed', 'pending']);
  const migrations = states.map((state, i) => ({
    name: `${i}_a`,
    state,
    appliedAt: i === 0 ? 'then' : null,
    durationMs: null,
  }));
  const units = [
    { unit: 'orders', error: null, migrations },
    { unit: 'users/0', error: new Error(`no${ESC}[2J\nanswer`), migrations: [] },
  ];
  assert.deepEqual(statusLines(units, false), [
    'orders: 1 of 3 applied, the last one 0_a (then)',
    '  changed  1_a',
    '  pending  2_a',
    'users/0: no answer: no [2J answer',
  ]);
  assert.equal(statusLines(units, true).filter((line) => line.includes(ESC)).length, 3);
  assert.ok(failureLines({ message: `a${ESC}\nb` }).every((line) => !line.includes(ESC) && !line.includes('\n')));
  assert.match(eventLine({ type: 'waiting', unit: 'a', name: null }), /^a: another process applies migrations/);
});

// --- with clusters

const clusters = useClusters({ a: { nodes: 1 } });
let count = 0;

/** @param {TestContext} t @param {Record<string, string>} files */
function folder(t, files) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-migrate-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(directory, name), text);
  return directory;
}

/** @param {number} wanted */
async function databases(wanted) {
  const names = Array.from({ length: wanted }, () => `cli_${++count}`);
  for (const name of names) await clusters.a.sql(`CREATE DATABASE ${name}`);
  return names;
}

const FILES = { '001_a.sql': 'CREATE TABLE a ()', '2_b.sql': 'CREATE TABLE b ()' };

/** @param {string} database @param {string[]} args */
const migrateOne = (database, ...args) =>
  run(['migrate', '--hosts', clusters.a.cluster.hosts.join(), '--database', database, ...args], reaching(clusters.a));

test('cli migrate of one cluster: what is applied is told as it happens, then there is nothing to do', async (t) => {
  const [database] = await databases(1);
  const directory = folder(t, FILES);
  const [node] = clusters.a.cluster.hosts;
  const rehearsed = await migrateOne(database, '--directory', directory, '--dry-run');
  assert.deepEqual(
    [rehearsed.code, rehearsed.out],
    [
      0,
      `${node}: 001_a would be applied\n${node}: 2_b would be applied\n2 migrations would be applied, 0 are there already.\n`,
    ],
  );
  const behind = await migrateOne(database, '--directory', directory, '--status');
  assert.deepEqual([behind.code, behind.lines], [1, [`${node}: 0 of 2 applied`, '  pending  001_a', '  pending  2_b']]);
  const { code, err, out } = await migrateOne(database, '--directory', directory);
  assert.deepEqual([code, err], [0, '']);
  assert.equal(
    out.replaceAll(/in [\d.]+ ms/g, 'in T'),
    `${node}: 001_a ...\n${node}: 001_a applied in T\n${node}: 2_b ...\n${node}: 2_b applied in T\n2 migrations applied, 0 were there already.\n`,
  );
  const again = await migrateOne(database, '--directory', directory, '--json');
  assert.deepEqual([again.code, JSON.parse(again.out)], [0, { applied: [], skipped: 2, pending: [] }]);
  const upToDate = await migrateOne(database, '--directory', directory, '--status');
  assert.equal(upToDate.code, 0);
  assert.match(upToDate.out, new RegExp(`^${node}: all 2 applied, the last one 2_b \\(\\d{4}-.*Z\\)\n$`));
  const other = await migrateOne(database, '--directory', directory, '--status', '--table', 'other_table');
  assert.equal(other.code, 1);
});

test('cli migrate: a failure says unit, file, line and the error of the server, with exit code 1', async (t) => {
  const [database] = await databases(1);
  const directory = folder(t, { ...FILES, '3_c.sql': 'SELECT 1;\nSELEC 2;' });
  const [node] = clusters.a.cluster.hosts;
  const { code, err } = await migrateOne(database, '--directory', directory);
  assert.equal(code, 1);
  assert.equal(
    err,
    `hyperiondb-client: ${node}: 3_c, line 2: syntax error at or near "SELEC" (42601)\n  2 migrations had been applied before.\n`,
  );
  const { code: sameCode, out } = await migrateOne(database, '--directory', directory, '--json');
  assert.equal(sameCode, 1);
  const { error, applied } = JSON.parse(out);
  assert.deepEqual(
    [error.code, error.unit, error.migration, error.line, error.outcome, applied],
    ['ERR_MIGRATION_FAILED', node, '3_c', 2, 'not-applied', []],
  );
});

test('cli migrate: a folder that is not there is wrong usage', async () => {
  const { code, err } = await migrateOne('postgres', '--directory', '/nowhere/at/all');
  assert.equal(code, 2);
  assert.match(err, /^hyperiondb-client: directory cannot be read: ENOENT\n/);
});

/** A configuration with an unsharded cluster and one of two shards, each a database. @param {string[]} names */
function configurationOf([orders, first, second]) {
  const { user, password, hosts } = clusters.a.cluster;
  const [host, port] = hosts[0].split(':');
  return {
    orders: { schemas: ['orders'], hosts, user, password, database: orders },
    users: {
      schemas: ['users', 'profiles'],
      ...{ user, password },
      sharding: {
        ...{ strategy: 'hash', key: 'user_id' },
        shards: [first, second].map((database) => ({ primary: { host, port: Number(port), database } })),
      },
    },
  };
}

/** @param {string[]} args */
const migrateAll = (...args) => run(['migrate', ...args]);

test('cli migrate --config: every cluster and shard, or those that are chosen; the file may be JSON or a module', async (t) => {
  const names = await databases(3);
  const configuration = configurationOf(names);
  const text = JSON.stringify(configuration);
  const directory = folder(t, FILES);
  const configs = folder(t, {
    'c.json': text,
    'c.cjs': `module.exports = ${text}`,
    'c.mjs': `export default ${text}`,
    'named.mjs': `export const orders = ${JSON.stringify(configuration.orders)}`,
  });
  const config = (/** @type {string} */ name) => path.join(configs, name);
  const units = (/** @type {string} */ out) =>
    JSON.parse(out).applied.map((/** @type {any} */ { unit, name }) => `${unit} ${name}`);

  const chosen = await migrateAll(
    '--config',
    config('c.json'),
    '--directory',
    directory,
    '--clusters',
    'orders',
    '--json',
  );
  assert.deepEqual([chosen.code, chosen.err], [0, '']);
  assert.deepEqual(units(chosen.out), ['orders 001_a', 'orders 2_b']);
  const status = await migrateAll('--config', config('c.mjs'), '--directory', directory, '--status');
  assert.equal(status.code, 1);
  assert.deepEqual(status.lines.slice(1, 3), ['users/0: 0 of 2 applied', '  pending  001_a']);
  const schema = await migrateAll(
    '--config',
    config('c.cjs'),
    '--directory',
    directory,
    '--schemas',
    'profiles',
    '--json',
  );
  assert.deepEqual(units(schema.out).sort(), ['users/0 001_a', 'users/0 2_b', 'users/1 001_a', 'users/1 2_b']);
  const named = await migrateAll('--config', config('named.mjs'), '--directory', directory);
  assert.deepEqual(named.lines, ['0 migrations applied, 2 were there already.']);
  const all = await migrateAll('--config', config('c.json'), '--directory', directory, '--status', '--json');
  assert.equal(all.code, 0);
  assert.deepEqual(
    JSON.parse(all.out).units.map((/** @type {any} */ { unit }) => unit),
    ['orders', 'users/0', 'users/1'],
  );
});

test('cli migrate --config: what is wrong with the file is said without its passwords', async (t) => {
  const directory = folder(t, FILES);
  const configs = folder(t, {
    'broken.json': '{ "a": { "password": "s3cret" ',
    'broken.js': 'module.exports = { password: s3cret s3cret }',
    'list.json': '["s3cret"]',
    'option.json': JSON.stringify({ a: { schemas: ['s'], primary: 'h', password: 's3cret', frobnicate: 's3cret' } }),
    'throws.cjs': 'throw new Error("DB_PASSWORD is not set")',
  });
  for (const [name, message] of /** @type {[string, RegExp][]} */ ([
    ['broken.json', /^hyperiondb-client: --config cannot be read: its syntax is wrong\n/],
    ['broken.js', /^hyperiondb-client: --config cannot be read: its syntax is wrong\n/],
    ['list.json', /^hyperiondb-client: --config must have an object/],
    ['missing.json', /^hyperiondb-client: --config cannot be read: ENOENT\n/],
    ['missing.mjs', /^hyperiondb-client: --config cannot be read: ERR_MODULE_NOT_FOUND\n/],
    ['clusters.yaml', /^hyperiondb-client: --config must be a \.json, \.js, \.cjs or \.mjs file\n/],
    ['option.json', /^hyperiondb-client: .*frobnicate/],
    ['throws.cjs', /^hyperiondb-client: --config cannot be read: DB_PASSWORD is not set\n/],
  ])) {
    const { code, out, err } = await migrateAll('--config', path.join(configs, name), '--directory', directory);
    assert.deepEqual([name, code, out], [name, 2, '']);
    assert.match(err, message);
    assert.ok(!err.includes('s3cret'), err);
  }
});

test('cli migrate --config: with one shard down nothing is applied, with exit code 1 and no password', async (t) => {
  const names = await databases(3);
  const configuration = /** @type {any} */ (configurationOf(names));
  configuration.users.acquireTimeoutMs = 500;
  configuration.users.sharding.shards[1].primary.port = await freePort();
  const configs = folder(t, { 'c.json': JSON.stringify(configuration) });
  const { code, out, err } = await migrateAll(
    '--config',
    path.join(configs, 'c.json'),
    '--directory',
    folder(t, FILES),
  );
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /^hyperiondb-client: .*users/);
  assert.ok(!err.includes(configuration.users.password), err);
  const pool = clusters.a.pool(t, { database: names[0] });
  assert.equal(await pool.value("SELECT to_regclass('a') IS NULL"), true);
});
