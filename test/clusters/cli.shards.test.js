'use strict';

// `hyperiondb-client shards --plan`: arguments, the page and its JSON.

const assert = require('node:assert/strict');
const { readArguments, UsageError } = require('../../lib/cli/arguments.js');
const { planMoves } = require('../../exports/clusters/sharding/plan.js');
const { run } = require('../support/command.js');
const { test } = require('../support/helpers.js');

const PLAN = ['shards', '--plan', '--from', '4', '--to', '5'];

test('cli shards arguments: names have defaults', () => {
  assert.deepEqual(readArguments(PLAN).resharding, { from: 4, to: 5, key: 'shard_key' });
  const { table, json, resharding } = readArguments([...PLAN, '--key', 'user_id', '--table', 'shop.orders', '--json']);
  assert.deepEqual([table, json, resharding?.key], ['shop.orders', true, 'user_id']);
  assert.equal(readArguments(['status']).resharding, null);
});

for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
  [['shards'], /^shards makes a plan: shards --plan --from N --to M$/],
  [['shards', '--plan', '--from', '4'], /^shards makes a plan/],
  [['shards', '--from', '4', '--to', '5'], /^shards makes a plan/],
  [['shards', '--plan', '--from', '4', '--to', '4'], /^--from and --to are one number: nothing moves$/],
  [['shards', '--plan', '--from', '0', '--to', '4'], /^--from must be an integer from 1 to 1024$/],
  [['shards', '--plan', '--from', '4', '--to', '1025'], /^--to must be an integer from 1 to 1024$/],
  [['shards', '--plan', '--from', '4.5', '--to', '5'], /^--from must be an integer/],
  [
    [...PLAN, '--hosts', 'a'],
    /^--hosts is an option of status, watch, doctor, setup, leases, migrate and dashboard alone$/,
  ],
  [[...PLAN, 'postgres://u:s3cret@a'], /^shards asks no server: it takes no connection string$/],
  [['status', '--plan'], /^--plan is an option of shards alone$/],
  [['migrate', '--key', 's3cret'], /^--key is an option of shards alone$/],
])) {
  test(`cli shards arguments are refused: ${args.join(' ')}`, () => {
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

test('cli shards: the page says what moves, in 80 columns, and its SQL is that of the plan', async () => {
  const { code, err, out, lines } = await run([...PLAN, '--key', 'user_id', '--table', 'shop.orders']);
  assert.deepEqual([code, err], [0, '']);
  assert.deepEqual(lines.slice(0, 8), [
    'From 4 to 5 shards: 204 of 1024 slots move, 19.9 % of the rows. Nothing moves',
    'between the shards that there are.',
    '',
    '  from    to  slots   share  which',
    '     0     4     51   5.0 %  205-255',
    '     1     4     51   5.0 %  717-767',
    '     2     4     51   5.0 %  888-938',
    '     3     4     51   5.0 %  973-1023',
  ]);
  assert.deepEqual(
    lines.filter((line) => line.length > 80),
    [],
  );
  const flat = (/** @type {string} */ sql) => sql.replaceAll(/\s+/g, ' ').replaceAll(' ::', '::');
  const { moves } = planMoves(4, 5, { key: 'user_id', table: 'shop.orders' });
  for (const { sql } of moves) assert.ok(flat(out).includes(flat(sql.copy)), sql.copy);
});

test('cli shards: many ranges and many shards keep to 80 columns, and all SQL is shown', async () => {
  const flat = (/** @type {string} */ sql) =>
    sql.replaceAll(/\s+/g, ' ').replaceAll(' ::', '::').replaceAll(/[()]/g, '');
  for (const [from, to] of [
    ['4', '80'],
    ['8', '3'],
  ]) {
    const { out, lines } = await run(['shards', '--plan', '--from', from, '--to', to, '--key', 'id']);
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    );
    const { moves } = planMoves(Number(from), Number(to), { key: 'id', table: 'sharded_table' });
    for (const { sql } of moves) assert.ok(flat(out).includes(flat(sql.copy)), sql.copy);
  }
});

test('cli shards --json prints the plan', async () => {
  const { code, out } = await run([...PLAN, '--json', '--key', 'a"b']);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), planMoves(4, 5, { key: 'a"b', table: 'sharded_table' }));
});

test('cli shards: names that are none are refused with exit code 2', async () => {
  for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
    [['--table', 'a.b.c'], /^hyperiondb-client: --table must be 'table' or 'schema\.table'\n/],
    [['--key', 'x'.repeat(64)], /^hyperiondb-client: --key must be the name of a column/],
  ])) {
    const { code, out, err } = await run([...PLAN, ...args]);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, message);
  }
});
