'use strict';

// The verdict of `npm run demo:clusters` must be able to fail: each case doctors what was found in one way, and names the counts that must
// change. And the demo itself, run for a short time.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { text } = require('node:stream/consumers');
const { judge } = require('../../scripts/demo-clusters/audit.js');
const { HANG_MS, test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');

/** Two orders that were made, one that was refused, and one that nobody knows of. */
function honestRun() {
  const outcomes = { a: 'made', b: 'made', c: 'refused', d: 'open' };
  const entries = Object.entries(outcomes).map(([orderId, outcome]) => ({
    orderId,
    userId: 'u1',
    productId: 1,
    outcome,
  }));
  const order = (/** @type {string} */ order_id) => ({
    order_id,
    user_id: 'u1',
    product_id: 1,
    quantity: 2,
    amount: 500n,
  });
  const start = {
    balances: new Map([
      ['u1', 2_000n],
      ['u2', 300n],
    ]),
    stocks: new Map([[1, 10]]),
  };
  const found = {
    orders: [order('a'), order('b')],
    users: [
      { user_id: 'u1', balance: 1_000n },
      { user_id: 'u2', balance: 300n },
    ],
    products: [{ product_id: 1, stock: 6 }],
    prepared: 0,
    decisions: 0,
  };
  return { entries, start, found, order };
}

/** What is done to an honest run, whether it passes, and the counts that must change. @type {[string, (run: any) => unknown, boolean, object][]} */
const CASES = [
  ['an honest run', () => {}, true, { made: 2, refused: 1, open: 1, lost: 0, money: 0n, stock: 0, inDoubt: 0 }],
  [
    'an open order is there',
    ({ found, order }) => {
      found.orders.push(order('d'));
      found.users[0].balance -= 500n;
      found.products[0].stock -= 2;
    },
    true,
    { money: 0n, stock: 0, lost: 0, strangers: 0 },
  ],
  ['an acknowledged order is missing', ({ found }) => found.orders.shift(), false, { lost: 1, money: 500n, stock: 2 }],
  ['a refused order is there', ({ found, order }) => found.orders.push(order('c')), false, { denied: 1 }],
  [
    'an order is there that nobody has made',
    ({ found, order }) => found.orders.push(order('x')),
    false,
    { strangers: 1 },
  ],
  [
    'a user has paid twice',
    ({ found }) => {
      found.users[0].balance -= 500n;
    },
    false,
    { money: 500n, stock: 0 },
  ],
  [
    'one user has paid for another: the sum is right',
    ({ found }) => {
      found.users[0].balance += 100n;
      found.users[1].balance -= 100n;
    },
    false,
    { money: 200n },
  ],
  ['a user is missing', ({ found }) => found.users.pop(), false, { money: 300n }],
  [
    'a piece is taken for no order',
    ({ found }) => {
      found.products[0].stock -= 1;
    },
    false,
    { stock: 1, money: 0n },
  ],
  [
    'a transaction is prepared',
    ({ found }) => {
      found.prepared = 1;
    },
    false,
    { inDoubt: 1 },
  ],
  [
    'a decision is not carried out',
    ({ found }) => {
      found.decisions = 1;
    },
    false,
    { inDoubt: 1 },
  ],
  ['no order was made', ({ entries }) => entries.splice(0, 2), false, { made: 0 }],
];

for (const [title, doctor, ok, expected] of CASES) {
  test(`demo of clusters: ${title}: it ${ok ? 'passes' : 'does not pass'}`, () => {
    const run = honestRun();
    doctor(run);
    const verdict = /** @type {any} */ (judge(/** @type {any} */ (run.entries), run.start, run.found));
    assert.equal(verdict.ok, ok);
    for (const [name, value] of Object.entries(expected)) assert.equal(verdict[name], value, name);
  });
}

test('demo of clusters: it runs, counts nothing wrong, and fits a terminal of 80 columns', {
  timeout: HANG_MS * 3,
}, async () => {
  const child = spawn(process.execPath, ['scripts/demo-clusters.js', '--seconds', '8'], {
    cwd: ROOT,
    env: { ...process.env, HYPERION_HOSTS: '' },
  });
  const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
  const [out, problem, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  assert.equal(code, 0, `${out}${problem}`);
  for (const name of ['money', 'stock', 'in doubt', 'lost', 'denied', 'strangers', 'stale', 'missing', 'failed']) {
    assert.match(out, new RegExp(`^ +${name} +0(\\.00)? +\\w`, 'm'));
  }
  assert.match(out, /SIGKILL +1 of 3 +had committed when it came; 2 parts left/);
  assert.match(out, /Nothing created, nothing destroyed, nothing in doubt\.\n$/);
  const [, ...lines] = out.slice(out.indexOf(' Counted in')).split('\n');
  assert.deepEqual(
    lines.filter((line) => line.length > 80 || line.includes('\x1b')),
    [],
  );
});

test('demo of clusters: a wrong --seconds is refused', async () => {
  const child = spawn(process.execPath, ['scripts/demo-clusters.js', '--seconds', 'many'], { cwd: ROOT });
  const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
  const [problem, code] = await Promise.all([text(child.stderr), ended]);
  assert.equal(code, 1);
  assert.match(problem, /--seconds must be a number from 5/);
});
