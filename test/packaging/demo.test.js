'use strict';

// The demo's verdict must be able to fail: each case doctors the database in one way, and names the figures that must change.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Ledger, compare, judge, wasNotApplied } = require('../../scripts/demo/check.js');
const { ReadLedger } = require('../../scripts/demo/reads.js');

/** Two single rows and a transaction of three, all acknowledged. */
function honestRun() {
  const ledger = new Ledger();
  for (const [writer, seq, parts] of [
    [1, 1, 1],
    [1, 2, 1],
    [2, 1, 3],
  ])
    ledger.acknowledge(ledger.enter(writer, seq, parts));
  const row = (writer, seq, part = 0) => ({ writer, seq, part, copies: 1 });
  return { ledger, rows: [row(1, 1), row(1, 2), row(2, 1, 0), row(2, 1, 1), row(2, 1, 2)] };
}

const lostOutcome = Object.assign(new Error('lost'), { code: 'ERR_OUTCOME_UNKNOWN', outcome: 'unknown' });
const refused = Object.assign(new Error('refused'), { code: '25006', outcome: 'not-applied' });

/** What is done to an honest run, the exit code, and the figures of the verdict that must change. */
const CASES = [
  ['an honest run', () => {}, 0, { acknowledged: 5, present: 5, lost: 0, duplicated: 0 }],
  ['an acknowledged row is missing', ({ rows }) => rows.splice(0, 1), 1, { lost: 1, present: 4, torn: 0 }],
  ['an acknowledged transaction is missing', ({ rows }) => rows.splice(2, 3), 1, { lost: 3, torn: 0 }],
  ['a part of an acknowledged transaction is missing', ({ rows }) => rows.splice(3, 1), 1, { lost: 1, torn: 1 }],
  ['all rows are missing', ({ rows }) => rows.splice(0), 1, { lost: 5, present: 0 }],
  [
    'a row is there twice',
    ({ rows }) => {
      rows[1].copies = 2;
    },
    1,
    { duplicated: 1, lost: 0, present: 5 },
  ],
  ['a row that nobody wrote', ({ rows }) => rows.push({ writer: 9, seq: 1, part: 0, copies: 1 }), 1, { strangers: 1 }],
  [
    'an unknown write is missing',
    ({ ledger }) => ledger.fail(ledger.enter(3, 1), lostOutcome),
    0,
    { failed: { notApplied: 0, unknown: 1 }, unknownPresent: 0 },
  ],
  [
    'an unknown write is there',
    ({ ledger, rows }) => {
      ledger.fail(ledger.enter(3, 1), lostOutcome);
      rows.push({ writer: 3, seq: 1, part: 0, copies: 1 });
    },
    0,
    { failed: { notApplied: 0, unknown: 1 }, unknownPresent: 1, strangers: 0 },
  ],
  [
    'an unknown write is there twice',
    ({ ledger, rows }) => {
      ledger.fail(ledger.enter(3, 1), lostOutcome);
      rows.push({ writer: 3, seq: 1, part: 0, copies: 2 });
    },
    1,
    { duplicated: 1 },
  ],
  [
    'half of an unknown transaction is there',
    ({ ledger, rows }) => {
      ledger.fail(ledger.enter(3, 1, 2), lostOutcome);
      rows.push({ writer: 3, seq: 1, part: 1, copies: 1 });
    },
    1,
    { torn: 1, lost: 0 },
  ],
  [
    'a refused write is missing, as promised',
    ({ ledger }) => ledger.fail(ledger.enter(3, 1), refused),
    0,
    { failed: { notApplied: 1, unknown: 0 } },
  ],
  [
    'a refused write is there',
    ({ ledger, rows }) => {
      ledger.fail(ledger.enter(3, 1), refused);
      rows.push({ writer: 3, seq: 1, part: 0, copies: 1 });
    },
    1,
    { denied: 1 },
  ],
  [
    'a write that never came back is missing',
    ({ ledger }) => ledger.enter(3, 1),
    0,
    { failed: { notApplied: 0, unknown: 1 } },
  ],
];

for (const [title, doctor, code, expected] of CASES) {
  test(`demo: ${title}: exit code ${code}`, async () => {
    const run = honestRun();
    doctor(run);
    const judged = await judge(run.ledger.writes, async () => run.rows);
    assert.equal(judged.code, code);
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(judged.verdict[name], value, name);
  });
}

test('demo: no write was acknowledged: exit code 1', () => {
  assert.equal(compare([], []).ok, false);
});

test('demo: the database cannot be asked: exit code 1', async () => {
  const error = new Error('connection refused');
  const judged = await judge(honestRun().ledger.writes, () => Promise.reject(error));
  assert.deepEqual(judged, { code: 1, error });
});

test('demo: an error without an outcome counts as unknown', () => {
  const table = [
    [refused, true],
    [lostOutcome, false],
    [Object.assign(new Error(), { outcome: 'applied' }), false],
    [Object.assign(new Error(), { code: 'ERR_NO_PRIMARY' }), true],
    [Object.assign(new Error(), { code: 'ERR_NO_PRIMARY', outcome: 'unknown' }), false],
    [new TypeError('a bug'), false],
    [undefined, false],
  ];
  for (const [error, expected] of table) assert.equal(wasNotApplied(error), expected, String(error?.code));
});

const PRIMARY = 'db1:5432';
const STANDBY = 'db2:5432';
const saw = (length, node = STANDBY) => ({ node, length });

/** A read of each kind, each answered by a standby, and one by the primary. */
function honestReads() {
  const lookups = new ReadLedger();
  lookups.primary = PRIMARY;
  for (const kind of ['plain', 'token', 'session']) lookups.answer(kind, saw(1), 1);
  lookups.answer('session', saw(3, PRIMARY), 3);
  return lookups;
}

/** What happens besides, whether the reads pass, and the figures that must change. */
const READS = [
  ['all see what they must', () => {}, true, { answered: 4, byStandbys: 3, byPrimary: 1, stale: 0, older: 0 }],
  ['a plain read does not see the newest write yet', (it) => it.answer('plain', saw(0), 1), true, { older: 1 }],
  ['a plain read sees a part of a transaction', (it) => it.answer('plain', saw(2), 3), false, { stale: 1 }],
  ['a plain read sees more rows than there are', (it) => it.answer('plain', saw(2), 1), false, { stale: 1 }],
  ['a read does not see the write of its token', (it) => it.answer('token', saw(0), 1), false, { stale: 1 }],
  ['a read sees a part of the transaction of its token', (it) => it.answer('token', saw(2), 3), false, { stale: 1 }],
  ['a session does not see its write', (it) => it.answer('session', saw(0), 1), false, { stale: 1 }],
  [
    'the primary does not have the write of a token',
    (it) => it.answer('token', saw(0, PRIMARY), 1),
    false,
    { stale: 1 },
  ],
  ['a read fails', (it) => it.fail(), false, { failed: 1 }],
];

for (const [title, happens, ok, expected] of READS) {
  test(`demo: reads: ${title}: they ${ok ? 'pass' : 'do not pass'}`, () => {
    const lookups = honestReads();
    happens(lookups);
    assert.equal(lookups.ok, ok);
    for (const [name, value] of Object.entries(expected)) assert.equal(lookups[name], value, name);
  });
}

test('demo: reads: a run without a kind of reads, or without an answer of a standby, does not pass', () => {
  const kinds = ['plain', 'token', 'session'];
  for (const missing of kinds) {
    const lookups = new ReadLedger();
    for (const kind of kinds) if (kind !== missing) lookups.answer(kind, saw(1), 1);
    assert.equal(lookups.ok, false, `no ${missing} read`);
  }
  const alone = new ReadLedger();
  alone.primary = PRIMARY;
  for (const kind of kinds) alone.answer(kind, saw(1, PRIMARY), 1);
  assert.deepEqual([alone.ok, alone.byPrimary, alone.byStandbys], [false, 3, 0]);
});

test('demo: reads are counted for the node that has answered them', () => {
  assert.deepEqual(
    honestReads().byNode,
    new Map([
      [STANDBY, 3],
      [PRIMARY, 1],
    ]),
  );
});
