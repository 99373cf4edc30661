'use strict';

// What pool.read(), pool.token() and the option `token` ask the core, and what they make of its answers; no server is asked.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { FrameWriter } = require('../../lib/core/frame-writer.js');
const { FLAG, OP } = require('../../lib/core/numbers.js');
const { test } = require('../support/helpers.js');
const { fakePool, framesOf } = require('./fake-core.js');

const TOKEN = '6f3a-1-3000148';

describe('the frame of a read with options', () => {
  /** @param {string} json @param {unknown[]} values @param {number} [capacity] */
  function written(json, values, capacity) {
    /** @type {Buffer[]} */
    const sent = [];
    const writer = new FrameWriter((buffer, length) => sent.push(Buffer.from(buffer.subarray(0, length))), capacity);
    writer.open(OP.QUERY, 1, 2, 3, 0, FLAG.READ, 0, 0);
    writer.close();
    writer.open(OP.QUERY, 5, 2, 3, 0, FLAG.READ | FLAG.READ_OPTIONS, values.length, 0);
    writer.readOptions(json);
    for (const [index, value] of values.entries()) writer.value(value, index + 1);
    writer.close();
    writer.flush();
    return Buffer.concat(sent);
  }

  test('the JSON is preceded by its length and 0, padded to 8 bytes, and followed by the parameters', () => {
    const json = '{"waitMs":5}';
    const bytes = written(json, [7]);
    const payload = bytes.subarray(80);
    assert.deepEqual([payload.readInt32LE(0), payload.readInt32LE(4)], [json.length, 0]);
    assert.equal(payload.toString('latin1', 8, 8 + json.length), json);
    // 12 bytes of JSON end at 20; the parameter, an integer in its own tag, begins at 24.
    assert.deepEqual([payload.readInt32LE(24), payload.readInt32LE(28)], [4, 7]);
    assert.equal(bytes.readInt32LE(40 + 8 * 4), 32, 'the length of the payload');
    assert.equal(bytes.length, 80 + 32);
  });

  test('the length is counted in bytes of UTF-8', () => {
    const [, frame] = framesOf(written('{"a":"é€"}', [1]));
    assert.deepEqual(frame.read, { a: 'é€' });
    assert.equal(frame.payload.length, 8);
  });

  test('options that do not fit into the buffer get a larger one', () => {
    const [, frame] = framesOf(written(`{"a":"${'x'.repeat(1_000)}"}`, ['y'.repeat(1_000)], 128));
    assert.deepEqual(frame.read, { a: 'x'.repeat(1_000) });
    assert.equal(frame.payload.toString('latin1', 8, 1_008), 'y'.repeat(1_000));
  });
});

describe('what a read asks', () => {
  test('a read is sent as a read that changes nothing, without options if none are given', async (t) => {
    const { pool, asked } = fakePool(t);
    await pool.read('select $1', [5]);
    await pool.query('select $1', [5]);
    assert.deepEqual(
      asked.map(({ flags, count, read }) => ({ flags, count, read })),
      [
        { flags: ['READ_ONLY', 'READ'], count: 1, read: undefined },
        { flags: [], count: 1, read: undefined },
      ],
    );
    assert.deepEqual(asked[0].payload, asked[1].payload, 'the parameters are those of query()');
  });

  test('only what the call has given is sent', async (t) => {
    const { pool, asked } = fakePool(t, { reads: { maxLagMs: 5, waitMs: 7 } });
    const GIVEN = [
      { maxLagMs: 1 },
      { maxLagBytes: 2 },
      { after: TOKEN },
      { waitMs: 0 },
      { hedgeMs: 4 },
      { fallback: 'none' },
      { maxLagMs: 1, maxLagBytes: 2, after: TOKEN, waitMs: 3, hedgeMs: 4, fallback: 'primary' },
    ];
    for (const given of GIVEN) await pool.read('select 1', [], given);
    assert.deepEqual(
      asked.map(({ read }) => read),
      GIVEN,
    );
    for (const { flags } of asked) assert.deepEqual(flags, ['READ_ONLY', 'READ', 'READ_OPTIONS']);
  });

  test('timeoutMs, signal and rowMode are those of any call, and no options of the read', async (t) => {
    const { pool, asked } = fakePool(t);
    await pool.read('select 1', [], { timeoutMs: 77, signal: new AbortController().signal, rowMode: 'array' });
    const [{ flags, timeoutMs, read }] = asked;
    assert.deepEqual(
      { flags, timeoutMs, read },
      { flags: ['READ_ONLY', 'HAS_SIGNAL', 'READ'], timeoutMs: 77, read: undefined },
    );
  });

  test('the types of parameters that have a serializer are asked of a node that may run the read', async (t) => {
    const types = { serializers: { point: String } };
    const { pool, asked } = fakePool(t, { types }, ({ flags }) =>
      flags.includes('DESCRIBE') ? { token: '[{"name":"point"}]' } : {},
    );
    await pool.read('select $1', [5], { after: TOKEN });
    assert.deepEqual(
      asked.map(({ flags, read }) => [flags, read]),
      [
        [['READ_ONLY', 'DESCRIBE', 'READ', 'READ_OPTIONS'], { after: TOKEN }],
        [['READ_ONLY', 'READ', 'READ_OPTIONS'], { after: TOKEN }],
      ],
    );
  });

  test('one(), maybeOne(), many(), value(), sql and stream() are reads, too', async (t) => {
    const { pool, asked } = fakePool(t);
    const { read } = pool;
    assert.equal(read, pool.read, 'there is one function for the pool');
    await assert.rejects(read.one('select 1', [], { waitMs: 1 }), { code: 'ERR_NO_ROWS' });
    assert.equal(await read.maybeOne('select 1', [], { waitMs: 2 }), null);
    await assert.rejects(read.many('select 1', [], { waitMs: 3 }), { code: 'ERR_NO_ROWS' });
    await assert.rejects(read.value('select 1', [], { waitMs: 4 }), { code: 'ERR_NO_ROWS' });
    await read.sql`select ${5} as five`;
    for await (const row of read.stream('select 1', [], { waitMs: 6, batchSize: 10 })) assert.fail(String(row));
    assert.deepEqual(
      asked.map(({ sql, read: { waitMs } = {}, flags, extra }) => [sql, waitMs, flags.includes('READ'), extra]),
      [
        ['select 1', 1, true, 0],
        ['select 1', 2, true, 0],
        ['select 1', 3, true, 0],
        ['select 1', 4, true, 0],
        ['select $1 as five', undefined, true, 0],
        ['select 1', 6, true, 10],
      ],
    );
    assert.throws(() => read.stream('select 1', [], /** @type {any} */ ({ hedgeMs: 5 })), {
      code: 'ERR_INVALID_PARAM',
      message: /^hedgeMs: /,
    });
  });
});

describe('reads.balance as a function', () => {
  const node = (/** @type {string} */ host, port = 5432, fit = true) => ({ host, port, fit });
  const NODES = [node('db1', 5432, false), node('db2', 5433), node('db3')];

  /** A pool whose function is this one. @param {import('node:test').TestContext} t @param {(nodes: any[]) => any} balance */
  function balanced(t, balance, nodes = NODES) {
    const fake = fakePool(t, { reads: { balance } });
    fake.nodes.push(...nodes);
    return fake;
  }

  test('it gets the nodes that are fit, and the core gets the index of its choice', async (t) => {
    /** @type {any[]} */
    const seen = [];
    const choices = /** @type {((nodes: any[]) => any)[]} */ ([
      (nodes) => nodes[1],
      (nodes) => nodes.reverse()[1],
      () => 'db3:5432',
      () => ({ host: 'db2', port: 5433 }),
    ]);
    const { pool, asked } = balanced(t, (nodes) => {
      seen.push(nodes.map(({ host }) => host));
      return choices[seen.length - 1](nodes);
    });
    for (const _ of choices) await pool.read('select 1', [], { waitMs: 5 });
    assert.deepEqual(
      asked.map(({ read }) => read),
      [2, 1, 2, 1].map((index) => ({ waitMs: 5, node: index })),
    );
    assert.deepEqual(
      seen,
      choices.map(() => ['db2', 'db3']),
    );
  });

  test('it is asked for each read, also of a stream, and not for other statements', async (t) => {
    let calls = 0;
    const { pool, asked } = balanced(t, ([first]) => {
      calls++;
      return first;
    });
    const stream = pool.read.stream('select 1');
    assert.equal(calls, 0, 'a stream begins when it is read');
    for await (const row of stream) assert.fail(String(row));
    await pool.read('select 1');
    await pool.query('select 1');
    assert.equal(calls, 2);
    assert.deepEqual(
      asked.map(({ read }) => read),
      [{ node: 1 }, { node: 1 }, undefined],
    );
  });

  test('if no node is fit it is not called, and the core decides', async (t) => {
    const nodes = NODES.map((one) => ({ ...one, fit: false }));
    const { pool, asked } = balanced(t, () => assert.fail('it was called'), nodes);
    await pool.read('select 1');
    assert.deepEqual(asked[0].read, undefined);
  });

  test('anything else than one of these nodes rejects the read by name', async (t) => {
    const others = [
      undefined,
      null,
      5,
      'db1:5432',
      'db2',
      'db9:5432',
      node('db1'),
      {},
      Promise.resolve(NODES[1]),
      NODES,
    ];
    let at = 0;
    const { pool, asked } = balanced(t, () => others[at]);
    for (; at < others.length; at++) {
      await assert.rejects(pool.read('select 1'), {
        code: 'ERR_INVALID_PARAM',
        message: /^reads\.balance must return one of/,
      });
    }
    assert.deepEqual(asked, []);
  });

  test('a read rejects with what it throws', async (t) => {
    const error = new Error('no node for you');
    const { pool, asked } = balanced(t, () => {
      throw error;
    });
    await assert.rejects(pool.read('select 1'), (thrown) => thrown === error);
    assert.deepEqual(asked, []);
  });
});

describe('rows.node', () => {
  /** @param {unknown} rows */
  const nodeOf = (rows) => /** @type {any} */ (rows).node;

  test('every result names the node that answered, or null, and is compared as its rows', async (t) => {
    let node = 1;
    const { pool } = fakePool(t, { hosts: 'db1,[::1]:5433' }, () => ({ node }));
    const rows = await pool.query('select 1');
    assert.equal(nodeOf(rows), '[::1]:5433');
    assert.deepEqual(rows, []);
    assert.deepEqual(Object.keys(rows), []);
    assert.equal(nodeOf(await pool.read('select 1')), '[::1]:5433');
    const [settled] = await pool.batch(['select 1']);
    assert.equal(nodeOf(/** @type {any} */ (settled).value), '[::1]:5433');
    assert.equal(nodeOf(await pool.transaction((tx) => tx.query('select 1'))), '[::1]:5433');
    node = -1;
    assert.equal(nodeOf(await pool.query('select 1')), null);
  });

  test('the event of a read has its node, as that of a query', async (t) => {
    /** @type {any[]} */
    const events = [];
    const { pool } = fakePool(t, { logger: (/** @type {object} */ event) => events.push(event) }, () => ({ node: 2 }));
    await pool.read('select 1');
    assert.deepEqual(
      events.map(({ sql, rowCount, node }) => ({ sql, rowCount, node })),
      [{ sql: 'select 1', rowCount: 0, node: 'db3:5432' }],
    );
  });
});

describe('tokens', () => {
  const withToken = () => ({ token: TOKEN });

  test('pool.token() asks the primary by an empty SELECT, whatever the mode', async (t) => {
    for (const mode of ['read-write', 'standby']) {
      const { pool, asked } = fakePool(t, { mode }, withToken);
      assert.equal(await pool.token(), TOKEN);
      const [{ sql, flags, count, read }] = asked;
      assert.deepEqual({ sql, count, read }, { sql: 'SELECT', count: 0, read: undefined });
      assert.deepEqual(flags, ['READ_ONLY', 'TOKEN', 'PRIMARY']);
    }
  });

  test('the option token gives the result a token that is not enumerable; without it there is none', async (t) => {
    const { pool, asked } = fakePool(t, {}, withToken);
    const rows = await pool.query('insert', [], { token: true });
    assert.equal(rows.token, TOKEN);
    assert.deepEqual(Object.keys(rows), []);
    assert.deepEqual(asked[0].flags, ['TOKEN']);
    const without = await fakePool(t).pool.query('insert', [], /** @type {any} */ ({ token: false }));
    assert.ok(!('token' in without));
  });

  test('an answer without the token that was asked for is an error', async (t) => {
    const { pool } = fakePool(t);
    await assert.rejects(pool.token(), { code: 'ERR_INTERNAL' });
    await assert.rejects(pool.query('insert', [], { token: true }), { code: 'ERR_INTERNAL', outcome: 'applied' });
  });

  test('the option token is refused where a statement may run on a standby', async (t) => {
    for (const mode of ['read-write', 'primary']) {
      const { pool } = fakePool(t, { mode }, withToken);
      assert.equal((await pool.query('insert', [], { token: true })).token, TOKEN);
    }
    for (const mode of ['any', 'prefer-standby', 'standby', 'read-only']) {
      const { pool, asked } = fakePool(t, { mode }, withToken);
      const message = `token: the pool has the mode '${mode}', so a statement may run on a standby: call pool.token() instead`;
      await assert.rejects(pool.query('insert', [], { token: true }), { code: 'ERR_INVALID_PARAM', message });
      assert.deepEqual(asked, []);
    }
  });

  test('one(), maybeOne() and value() refuse the option token: what they return could not have it', async (t) => {
    const { pool, asked } = fakePool(t, {}, withToken);
    for (const method of /** @type {const} */ (['one', 'maybeOne', 'value'])) {
      await assert.rejects(pool[method]('select 1', [], /** @type {any} */ ({ token: true })), {
        code: 'ERR_INVALID_PARAM',
        message: `token: what ${method}() returns could not have it: use query() or many()`,
      });
    }
    assert.deepEqual(asked, []);
    await assert.rejects(pool.many('select 1', [], { token: true }), { code: 'ERR_NO_ROWS' });
    assert.deepEqual(asked[0].flags, ['TOKEN']);
  });

  test('a transaction refuses the option token, and says what to do', async (t) => {
    const { pool } = fakePool(t, {}, withToken);
    const refusal = { code: 'ERR_INVALID_PARAM', message: /^token: .* only after COMMIT: call pool\.token\(\) then$/ };
    const tx = await pool.begin();
    await assert.rejects(tx.query('insert', [], { token: true }), refusal);
    await assert.rejects(tx.one('insert', [], /** @type {any} */ ({ token: true })), refusal);
  });
});
