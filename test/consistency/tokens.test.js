'use strict';

// Consistency tokens: their form, where they come from, who may use them, and which are refused. What nodes do with a token's
// position is in positions.test.js.

const assert = require('node:assert/strict');
const { ParameterError, sql } = require('../../client.js');
const { failureOf, isPending, printedBy, range, test, useCluster } = require('../support/helpers');
const { messagesIn, relayTo } = require('../support/relay');
const { tableFor } = require('../support/transactions');
const { ENDLESS_MS, changed, lsnOf, partsOf, resume, standbysOf, untilAllFit, whilePaused } = require('./standbys');

const db = useCluster({ nodes: 3 });

/** Options of a pool in which a read never stops waiting for a standby. */
const PATIENT = { acquireTimeoutMs: ENDLESS_MS, reads: { waitMs: ENDLESS_MS } };

/** The position of the next record of the primary. */
async function insertLsn() {
  const [{ lsn }] = await db.sql('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return lsnOf(lsn);
}

/** @param {any} pool @param {string} table @param {string} after */
const countAfter = (pool, table, after) => pool.read(`SELECT count(*)::int AS n FROM ${table}`, [], { after });

/** The last row of a stream. @param {AsyncIterable<any>} stream */
async function lastOf(stream) {
  let last;
  for await (const row of stream) last = row;
  return last;
}

test('pool.token() is lower-case hex: the system identifier, the timeline and a position of the primary', async (t) => {
  const pool = db.pool(t);
  const [{ system }] = await db.sql('SELECT system_identifier::text AS system FROM pg_control_system()');
  const before = await insertLsn();
  const token = await pool.token();
  const after = await insertLsn();
  assert.match(token, /^[0-9a-f]{1,16}-[0-9a-f]{1,8}-[0-9a-f]{1,16}$/);
  const parts = partsOf(token);
  assert.deepEqual([parts.system, parts.timeline], [BigInt(system), 1n]);
  // It may leave out the header of a page, which is no record.
  assert.ok(before - 24n <= parts.lsn && parts.lsn <= after, `${before} <= ${parts.lsn} <= ${after}`);
});

test('a token asked for later has no lower position', async (t) => {
  const pool = db.pool(t);
  const table = await tableFor(db, t);
  let last = 0n;
  for (const id of range(10)) {
    const { lsn } = partsOf(await pool.token());
    assert.ok(lsn >= last);
    const rows = await pool.query(`INSERT INTO ${table} VALUES ($1)`, [id], { token: true });
    last = partsOf(rows.token).lsn;
    assert.ok(last > lsn, 'the insert lies between');
  }
});

test('query() with `token: true`: rows.token is not enumerable, and is not there without the option', async (t) => {
  const pool = db.pool(t);
  const table = await tableFor(db, t);
  const insert = `INSERT INTO ${table} VALUES ($1) RETURNING id`;
  const rows = await pool.query(insert, [1], { token: true });
  assert.deepStrictEqual([...rows], [{ id: 1 }]);
  assert.deepEqual(Object.keys(rows), ['0']);
  assert.equal(rows.rowCount, 1);
  assert.equal(rows.node, db.cluster.primary().address);
  assert.ok(partsOf(rows.token).lsn > 0n);
  assert.equal((await pool.query(insert, [2])).token, undefined);
  assert.equal((await pool.query(insert, [3], { token: false })).token, undefined);
});

test('query() with `token: true`: a statement without rows, a fragment, arrays and many() have their token, too', async (t) => {
  const pool = db.pool(t);
  const table = await tableFor(db, t);
  const { lsn: start } = partsOf(await pool.token());
  const results = [
    await pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true }),
    await pool.query(sql`INSERT INTO ${sql.id(table)} VALUES (${2})`, undefined, { token: true }),
    await pool.query(`INSERT INTO ${table} VALUES (3) RETURNING id`, [], { token: true, rowMode: 'array' }),
    await pool.many(`INSERT INTO ${table} VALUES (4) RETURNING id`, [], { token: true }),
  ];
  const lsns = [start, ...results.map((rows) => partsOf(rows.token).lsn)];
  assert.deepEqual(
    lsns,
    [...lsns].sort((a, b) => Number(a - b)),
  );
  assert.equal(new Set(lsns).size, lsns.length);
});

test('a statement with `token: true` takes one flight, as it does without', async (t) => {
  const relay = await relayTo(t, db.cluster.primary());
  const pool = db.pool(t, { hosts: [relay.host], poolSize: 1, monitor: { intervalMs: 60_000 } });
  const table = await tableFor(db, t);
  const insert = (/** @type {number} */ id, /** @type {object} */ options) =>
    pool.query(`INSERT INTO ${table} VALUES ($1)`, [id], options);
  await insert(0, {});
  for (const [id, options] of /** @type {const} */ ([
    [1, {}],
    [2, { token: true }],
    [3, { token: true }],
  ])) {
    relay.sent();
    await insert(id, options);
    // The monitor may send its second question in a piece of its own.
    const sent = relay.sent().filter((piece) => !piece.includes('pg_control_system'));
    assert.equal(sent.length, 1, JSON.stringify(sent));
    assert.equal(sent[0].includes('pg_current_wal_insert_lsn'), options.token === true);
  }
});

test('tokens of statements that are sent side by side cover each its own statement', async (t) => {
  const pool = db.pool(t, { poolSize: 2 });
  const table = await tableFor(db, t);
  const results = await Promise.all(
    range(100).map((id) => pool.query(`INSERT INTO ${table} VALUES ($1)`, [id], { token: true })),
  );
  await Promise.all(
    results.map(async ({ token }, id) => {
      const [{ found }] = await pool.read(`SELECT count(*)::int AS found FROM ${table} WHERE id = $1`, [id], {
        after: token,
      });
      assert.equal(found, 1);
    }),
  );
});

test('a statement that fails has no token, and its connection goes on', async (t) => {
  const pool = db.pool(t, { poolSize: 1 });
  const table = await tableFor(db, t);
  await assert.rejects(pool.query('SELECT 1/0', [], { token: true }), { code: '22012' });
  await assert.rejects(pool.query('SELEKT', [], { token: true }), { code: '42601' });
  // Deferred: it fails when it commits, after its rows.
  await pool.query(`INSERT INTO ${table} VALUES (1)`);
  const twice = pool.query(`INSERT INTO ${table} VALUES (1) RETURNING id`, [], { token: true });
  await assert.rejects(twice, { code: '23505', outcome: 'not-applied' });
  assert.ok((await pool.query('SELECT 1', [], { token: true })).token);
});

for (const [title, call] of /** @type {[string, (pool: any) => Promise<unknown>][]} */ ([
  ['one()', (pool) => pool.one('SELECT 1', [], { token: true })],
  ['maybeOne()', (pool) => pool.maybeOne('SELECT 1', [], { token: true })],
  ['value()', (pool) => pool.value('SELECT 1', [], { token: true })],
  ['stream()', async (pool) => pool.stream('SELECT 1', [], { token: true })],
  ['batch()', (pool) => pool.batch(['SELECT 1'], { token: true })],
  ['exec()', (pool) => pool.exec('SELECT 1', { token: true })],
  ['read()', (pool) => pool.read('SELECT 1', [], { token: true })],
  [
    'a statement of transaction()',
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query('SELECT 1', [], { token: true })),
  ],
])) {
  test(`the option token of ${title} is refused, because there is nothing that could have it`, async (t) => {
    const error = await failureOf(call(db.pool(t)));
    assert.ok(error instanceof ParameterError, error.stack);
    assert.match(error.message, /token/);
  });
}

test('a statement of begin() refuses the option token, and says what to do', async (t) => {
  const tx = await db.pool(t).begin();
  const error = await failureOf(tx.query('SELECT 1', [], { token: true }));
  await tx.rollback();
  assert.equal(error.code, 'ERR_INVALID_PARAM');
  assert.match(error.message, /pool\.token\(\)/);
});

for (const mode of ['any', 'standby', 'prefer-standby', 'read-only']) {
  test(`a pool of mode ${mode} refuses the option token, because its statements may run on a standby`, async (t) => {
    const error = await failureOf(db.pool(t, { mode }).query('SELECT 1', [], { token: true }));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
    assert.match(error.message, new RegExp(`mode '${mode}'.*pool\\.token\\(\\)`));
  });
}

test('pool.token() of a pool of mode standby asks the primary', async (t) => {
  const token = await db.pool(t, { mode: 'standby' }).token();
  const { lsn } = partsOf(await db.pool(t).token());
  assert.ok(partsOf(token).lsn <= lsn);
});

test('pool.token() of a pool that reaches no primary rejects with ERR_NO_PRIMARY', async (t) => {
  const pool = db.pool(t, { hosts: standbysOf(db), mode: 'standby', acquireTimeoutMs: 300 });
  assert.equal((await failureOf(pool.token())).code, 'ERR_NO_PRIMARY');
  await pool.end();
  assert.equal((await failureOf(pool.token())).code, 'ERR_POOL_CLOSED');
});

test('a token of one pool holds for a read of another one', async (t) => {
  const [writer, reader] = [db.pool(t), db.pool(t, PATIENT)];
  const table = await tableFor(db, t);
  const empty = await writer.token();
  await untilAllFit(reader, db);
  assert.equal((await countAfter(reader, table, empty))[0].n, 0);
  await whilePaused(db.cluster.standbys(), async () => {
    const { token } = await writer.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true });
    assert.equal((await reader.read(`SELECT count(*)::int AS n FROM ${table}`))[0].n, 0, 'the standbys are behind');
    const read = countAfter(reader, table, token);
    assert.ok(await isPending(read), 'it waits');
    await resume(db.cluster.standbys()[1]);
    const rows = await read;
    assert.equal(rows[0].n, 1);
    assert.equal(rows.node, db.cluster.standbys()[1].address, 'the first to have it answers');
  });
});

test('a token of another process holds here, and one of here holds there', async (t) => {
  const reader = db.pool(t, PATIENT);
  const table = await tableFor(db, t);
  await countAfter(reader, table, await reader.token());
  const token = await whilePaused(db.cluster.standbys(), async () => {
    const [printed] = await printedBy(
      db,
      `const pool = createPool(options);
       const { token } = await pool.query('INSERT INTO ${table} VALUES (1)', [], { token: true });
       print(token);
       await pool.end();`,
    );
    assert.equal((await reader.read(`SELECT count(*)::int AS n FROM ${table}`))[0].n, 0, 'the standbys are behind');
    const read = countAfter(reader, table, printed);
    assert.ok(await isPending(read), 'it waits');
    await Promise.all(db.cluster.standbys().map(resume));
    const rows = await read;
    assert.equal(rows[0].n, 1);
    assert.ok(standbysOf(db).includes(rows.node));
    return (await reader.query(`INSERT INTO ${table} VALUES (2)`, [], { token: true })).token;
  });
  const printed = await printedBy(
    db,
    `const pool = createPool(options);
     print(...await pool.read('SELECT id FROM ${table} ORDER BY id', [], { after: '${token}', rowMode: 'array' }));
     await pool.end();`,
  );
  assert.deepEqual(printed, ['[1] [2]']);
});

test('a token of another cluster is refused, before anything is sent', async (t) => {
  const pool = db.pool(t);
  const token = await pool.token();
  await untilAllFit(pool, db);
  const { system } = partsOf(token);
  for (const other of [system + 1n, system ^ (1n << 63n), 1n]) {
    const error = await failureOf(pool.read('SELECT 1/0', [], { after: changed(token, { system: other }) }));
    assert.equal(error.code, 'ERR_INVALID_PARAM', error.stack);
    assert.match(error.message, /^after is a token of another cluster/);
    assert.equal(error.retryable, false);
  }
});

test('a token of system 0, from a user who may not ask for the system, is accepted', async (t) => {
  const pool = db.pool(t);
  const token = changed(await pool.token(), { system: 0n });
  assert.match(token, /^0-/);
  await untilAllFit(pool, db);
  assert.ok(standbysOf(db).includes((await pool.read('SELECT 1', [], { after: token, waitMs: ENDLESS_MS })).node));
});

for (const after of [
  '',
  '1-2',
  '1-2-',
  '1-2-3-4',
  '1-2-G',
  '1-2-F',
  ' 1-2-3',
  '1-2-3\n',
  '1-2-3 ',
  '+1-2-3',
  '0x1-2-3',
  '1--2-3',
  '11111111111111111-1-1',
  '1-111111111-1',
  '1-1-11111111111111111',
  '0/16B3748',
  1,
  null,
  true,
  {},
  ['1-2-3'],
  Buffer.from('1-2-3'),
]) {
  test(`after: ${JSON.stringify(after)} is no token, and nothing is sent`, async (t) => {
    const pool = db.pool(t);
    for (const call of [
      () => pool.read('SELECT 1/0', [], { after }),
      () => pool.read.value('SELECT 1', [], { after }),
    ]) {
      const error = await failureOf(call());
      assert.ok(error instanceof ParameterError, error.stack);
      assert.match(error.message, /^after must be a consistency token/);
    }
    assert.throws(() => pool.read.stream('SELECT 1', [], { after }), { code: 'ERR_INVALID_PARAM' });
  });
}

test('query() refuses the option after: its statements run on the primary, which has everything', async (t) => {
  const pool = db.pool(t);
  const error = await failureOf(pool.query('SELECT 1', [], { after: await pool.token() }));
  assert.equal(error.code, 'ERR_INVALID_PARAM');
});

test('all forms of read() follow a token', async (t) => {
  const pool = db.pool(t, PATIENT);
  const table = await tableFor(db, t);
  await countAfter(pool, table, await pool.token());
  const text = `SELECT id FROM ${table}`;
  await whilePaused(db.cluster.standbys(), async () => {
    const { token: after } = await pool.query(`INSERT INTO ${table} VALUES (7)`, [], { token: true });
    const reads = [
      pool.read(text, [], { after }).then((/** @type {any} */ rows) => rows[0].id),
      pool
        .read(sql`SELECT id FROM ${sql.id(table)}`, undefined, { after })
        .then((/** @type {any} */ rows) => rows[0].id),
      pool.read.one(text, [], { after }).then((/** @type {any} */ row) => row.id),
      pool.read.maybeOne(text, [], { after }).then((/** @type {any} */ row) => row?.id),
      pool.read.many(text, [], { after }).then((/** @type {any} */ rows) => rows[0].id),
      pool.read.value(text, [], { after }),
      lastOf(pool.read.stream(text, [], { after })).then((row) => row?.id),
    ];
    for (const read of reads) assert.ok(await isPending(read), 'it waits');
    await Promise.all(db.cluster.standbys().map(resume));
    assert.deepEqual(await Promise.all(reads), Array(reads.length).fill(7));
  });
});

test('the flight of a read with a token asks its session for the place in the log only until it is known', async (t) => {
  const relay = await relayTo(t, db.cluster.standbys()[0]);
  const hosts = [relay.host, db.cluster.primary().address];
  const pool = db.pool(t, { hosts, reads: { poolSize: 1, waitMs: ENDLESS_MS } });
  const { token: after } = await pool.query('SELECT 1', [], { token: true });
  for (let i = 0; i < 20; i++) await pool.read('SELECT 1 AS marked', [], { after });
  const [conversation] = relay.conversations().filter((text) => text.includes('marked'));
  const asked = messagesIn(conversation).filter(({ body }) => body.includes('pg_last_wal_replay_lsn'));
  // The first is the probe of a new connection.
  assert.ok(asked.length <= 3, `${asked.length} questions for 20 reads`);
});
