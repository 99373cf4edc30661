'use strict';

// pool.session(): which statements bring a token, when the primary is asked for one, and what the reads of the session wait for. No
// server is asked.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { DatabaseError, ParameterError } = require('../../client.js');
const { test } = require('../support/helpers.js');
const { fakePool } = require('./fake-core.js');

/** @typedef {import('./fake-core.js').Frame} Frame */

/** The token of a position. @param {number} lsn */
const at = (lsn) => `5-1-${lsn.toString(16)}`;

/** Whether a frame is the request of pool.token(). @param {Frame} frame */
const isRequest = ({ flags }) => flags.includes('PRIMARY');

/** A database whose position is one further with each statement; `asked` as words: 'token', 'read after 5-1-2', ... */
function counting(/** @type {import('node:test').TestContext} */ t, options = {}) {
  let lsn = 0;
  const fake = fakePool(t, options, ({ flags }) => ({ token: flags.includes('TOKEN') ? at(++lsn) : undefined }));
  const words = () =>
    fake.asked.map((frame) => {
      if (isRequest(frame)) return 'token?';
      if (frame.flags.includes('READ')) return `read after ${frame.read?.after}`;
      return frame.flags.includes('TOKEN') ? 'write, token?' : 'write';
    });
  return { ...fake, words };
}

describe('a session', () => {
  test('returns what its function returns, and rejects with what it throws', async (t) => {
    const { pool } = fakePool(t);
    assert.equal(await pool.session(() => 5), 5);
    assert.equal(await pool.session(async () => 'x'), 'x');
    const error = new Error('mine');
    await assert.rejects(
      pool.session(() => {
        throw error;
      }),
      (thrown) => thrown === error,
    );
    await assert.rejects(pool.session(/** @type {any} */ (5)), {
      code: 'ERR_INVALID_PARAM',
      message: 'session needs a function',
    });
  });

  test('that has not written adds nothing to its reads', async (t) => {
    const { pool, words, asked } = counting(t);
    await pool.session(async () => {
      await pool.read('select 1');
      await pool.query('select 1', [], { readOnly: true });
      for await (const row of pool.stream('select 1', [], { readOnly: true })) assert.fail(String(row));
      await pool.batch(['select 1'], { readOnly: true });
      await pool.batch(['select 1'], { transaction: { readOnly: true } });
      await pool.transaction((tx) => tx.query('select 1'), { readOnly: true });
      const tx = await pool.begin({ readOnly: true });
      await tx.commit();
      for await (const chunk of pool.copyTo('people')) assert.fail(String(chunk));
      await pool.read('select 1');
    });
    const reads = words().filter((word) => word.startsWith('read'));
    assert.deepEqual(reads, ['read after undefined', 'read after undefined']);
    assert.ok(!asked.some(({ flags }) => flags.includes('TOKEN')));
  });

  test('reads after the last of its writes, which brings its token with its answer', async (t) => {
    const { pool, words } = counting(t);
    await pool.session(async () => {
      const rows = await pool.query('insert');
      assert.ok(!('token' in rows), 'nobody has asked for it');
      await pool.read('select 1');
      await pool.sql`insert`;
      await pool.notify('jobs');
      await pool.read.one('select 1').catch(() => {});
      await sleep(1);
      for await (const row of pool.read.stream('select 1')) assert.fail(String(row));
    });
    await pool.read('select 1');
    assert.deepEqual(words(), [
      'write, token?',
      'read after 5-1-1',
      'write, token?',
      'write, token?',
      'read after 5-1-3',
      'read after 5-1-3',
      'read after undefined',
    ]);
  });

  test('keeps the later token when answers overtake each other', async (t) => {
    const tokens = ['5-2-1', '5-1-ff'];
    const { pool, asked } = fakePool(t, {}, ({ flags }) => (flags.includes('TOKEN') ? { token: tokens.shift() } : {}));
    await pool.session(async () => {
      await Promise.all([pool.query('insert'), pool.query('insert')]);
      await pool.read('select 1');
    });
    assert.deepEqual(asked.at(-1)?.read, { after: '5-2-1' });
  });

  test('gives its caller the token, too', async (t) => {
    const { pool, words } = counting(t);
    await pool.session(async () => {
      const { token } = await pool.query('insert', [], { token: true });
      assert.equal(token, at(1));
      await pool.read('select 1');
    });
    assert.deepEqual(words(), ['write, token?', 'read after 5-1-1']);
  });

  test('reads after the later of its own token and the one that a read is given', async (t) => {
    const { pool, words } = counting(t);
    await pool.session(async () => {
      await pool.query('insert');
      await pool.query('insert');
      await pool.read('select 1', [], { after: at(1) });
      await pool.read('select 1', [], { after: at(9) });
      await pool.read('select 1', [], { after: '6-1-1' });
    });
    assert.deepEqual(words().slice(2), ['read after 5-1-2', 'read after 5-1-9', 'read after 6-1-1']);
  });

  test('within one of the same pool is the same session', async (t) => {
    const { pool, words } = counting(t);
    await pool.session(async () => {
      await pool.session(async () => {
        await pool.query('insert');
      });
      await pool.read('select 1');
      await pool.session(() => pool.read('select 1'));
    });
    assert.deepEqual(words().slice(1), ['read after 5-1-1', 'read after 5-1-1']);
  });

  test('is apart from others of its pool, and from those of other pools', async (t) => {
    const [a, b] = [counting(t), counting(t)];
    await a.pool.session(() =>
      b.pool.session(async () => {
        await a.pool.query('insert');
        await b.pool.read('select 1');
        await a.pool.read('select 1');
      }),
    );
    await a.pool.session(() => a.pool.read('select 1'));
    assert.deepEqual(a.words(), ['write, token?', 'read after 5-1-1', 'read after undefined']);
    assert.deepEqual(b.words(), ['read after undefined']);
  });
});

describe('an unsure session', () => {
  // Every write but query(): what runs it.
  const WRITES = /** @type {Record<string, (pool: import('../../client.js').Pool) => Promise<unknown>>} */ ({
    batch: (pool) => pool.batch(['insert']),
    'batch in a transaction': (pool) => pool.batch(['insert'], { transaction: true }),
    exec: (pool) => pool.exec('insert'),
    copyFrom: (pool) => pool.copyFrom('people', []),
    'copyTo of a query': (pool) => pool.copyTo('COPY (SELECT f()) TO STDOUT').toArray(),
    stream: async (pool) => {
      for await (const row of pool.stream('insert')) assert.fail(String(row));
    },
    transaction: (pool) => pool.transaction((tx) => tx.query('insert')),
    'begin and commit': async (pool) => {
      const tx = await pool.begin();
      await tx.query('insert').catch(() => {});
      await tx.commit();
    },
  });
  for (const [name, write] of Object.entries(WRITES)) {
    for (const fails of [false, true]) {
      test(`asks the primary once after ${name}${fails ? ' that has failed' : ''}`, async (t) => {
        const error = Object.assign(new DatabaseError('no', '23505'), { outcome: 'not-applied' });
        const { pool, asked } = fakePool(t, {}, (frame) => {
          if (frame.flags.includes('TOKEN')) return { token: at(7) };
          const isLast = !['BEGIN', 'ROLLBACK'].includes(frame.operation) && !frame.flags.includes('READ');
          return fails && isLast ? { error } : {};
        });
        await pool.session(async () => {
          await write(pool).catch((thrown) => assert.equal(thrown, error));
          await pool.read('select 1');
          await pool.read('select 1');
        });
        const after = asked.slice(asked.findIndex(isRequest));
        assert.deepEqual(
          after.map((frame) => (isRequest(frame) ? 'token?' : frame.read)),
          ['token?', { after: at(7) }, { after: at(7) }],
        );
      });
    }
  }

  test('asks after a transaction that had begun outside of it', async (t) => {
    const { pool, words } = counting(t);
    const tx = await pool.begin();
    await pool.session(async () => {
      await tx.commit();
      await pool.read('select 1');
    });
    assert.deepEqual(words().slice(-2), ['token?', 'read after 5-1-1']);
  });

  test('asks after a transaction that its script has ended', async (t) => {
    const error = Object.assign(new DatabaseError('over', 'ERR_TRANSACTION_ENDED'), { outcome: 'unknown' });
    const { pool, asked } = fakePool(t, {}, (frame) => {
      if (isRequest(frame)) return { token: at(7) };
      return frame.operation === 'SCRIPT' ? { error } : {};
    });
    await pool.session(async () => {
      const tx = await pool.begin();
      await assert.rejects(tx.exec('call commits()'), (thrown) => thrown === error);
      await pool.read('select 1');
    });
    assert.deepEqual(asked.at(-1)?.read, { after: at(7) });
  });

  // The outcome of a query() that has failed, and whether it may have written.
  const FAILED = /** @type {[Error, boolean][]} */ ([
    [Object.assign(new DatabaseError('no', '23505'), { outcome: 'not-applied' }), false],
    [Object.assign(new DatabaseError('lost', 'ERR_OUTCOME_UNKNOWN'), { outcome: 'unknown' }), true],
    [Object.assign(new DatabaseError('parser', 'ERR_PARSER'), { outcome: 'applied' }), true],
    [new Error('of which nothing is known'), true],
    [new ParameterError('not sent'), false],
  ]);
  for (const [error, isUnsure] of FAILED) {
    test(`asks ${isUnsure ? '' : 'nothing '}after a query that failed with '${error.message}'`, async (t) => {
      const { pool, asked } = fakePool(t, {}, (frame) => {
        if (isRequest(frame)) return { token: at(7) };
        return frame.sql === 'insert' ? { error } : {};
      });
      await pool.session(async () => {
        await assert.rejects(pool.query('insert'), (thrown) => thrown === error);
        await pool.read('select 1');
      });
      assert.equal(asked.some(isRequest), isUnsure);
      assert.deepEqual(asked.at(-1)?.read, isUnsure ? { after: at(7) } : undefined);
    });
  }

  test('asks once for all reads that run side by side', async (t) => {
    const { pool, words } = counting(t);
    await pool.session(async () => {
      await pool.exec('insert');
      await Promise.all([1, 2, 3].map(() => pool.read('select 1')));
      await pool.read('select 1');
    });
    assert.deepEqual(words(), ['write', 'token?', ...Array.from({ length: 4 }, () => 'read after 5-1-1')]);
  });

  test('asks anew if another write has ended since it asked', async (t) => {
    let requests = 0;
    /** @type {(() => void)[]} */
    const waiting = [];
    const { pool, asked } = fakePool(t, {}, async (frame) => {
      if (!isRequest(frame)) return {};
      const token = at(++requests);
      await new Promise((resolve) => waiting.push(() => resolve(undefined)));
      return { token };
    });
    await pool.session(async () => {
      await pool.exec('insert');
      const first = pool.read('select 1');
      while (waiting.length < 1) await sleep(1);
      await pool.exec('insert');
      const second = pool.read('select 2');
      while (waiting.length < 2) await sleep(1);
      waiting[0]();
      await first;
      const third = pool.read('select 3');
      waiting[1]();
      await Promise.all([second, third]);
    });
    const reads = asked.filter(({ flags }) => flags.includes('READ'));
    assert.equal(requests, 2);
    const afters = Object.fromEntries(reads.map(({ sql, read }) => [sql, read?.after]));
    assert.equal(afters['select 2'], at(2));
    assert.equal(afters['select 3'], at(2));
  });

  test('rejects the read if the primary does not answer, and asks again for the next one', async (t) => {
    const error = Object.assign(new DatabaseError('gone', '57P01'), { outcome: 'not-applied' });
    let answers = 0;
    const { pool, asked } = fakePool(t, {}, (frame) => {
      if (!isRequest(frame)) return {};
      return ++answers === 1 ? { error } : { token: at(3) };
    });
    await pool.session(async () => {
      await pool.exec('insert');
      await assert.rejects(pool.read('select 1'), (thrown) => thrown === error);
      await pool.read('select 1');
    });
    assert.deepEqual(asked.at(-1)?.read, { after: at(3) });
    assert.equal(asked.filter(({ flags }) => flags.includes('READ')).length, 1);
  });

  test('a read waits for the position within its own limits, and reports to the logger', async (t) => {
    /** @type {any[]} */
    const events = [];
    let answer = () => {};
    const late = new Promise((resolve) => {
      answer = () => resolve({ token: at(1) });
    });
    const logger = (/** @type {object} */ event) => events.push(event);
    const { pool, asked } = fakePool(t, { logger }, (frame) => (isRequest(frame) ? /** @type {any} */ (late) : {}));
    await pool.session(async () => {
      await pool.exec('insert');
      await assert.rejects(pool.read('select 1', [], { timeoutMs: 5 }), {
        name: 'QueryTimeoutError',
        code: '57014',
        outcome: 'not-applied',
      });
      const controller = new AbortController();
      const read = pool.read('select 2', [], { signal: controller.signal });
      controller.abort(new Error('enough'));
      await assert.rejects(read, { name: 'AbortError', outcome: 'not-applied', cause: controller.signal.reason });
      await assert.rejects(pool.read('select 3', [], { signal: controller.signal }), { name: 'AbortError' });
    });
    // Work in flight keeps the process alive.
    answer();
    assert.ok(!asked.some(({ flags }) => flags.includes('READ')));
    assert.deepEqual(
      events.slice(1).map(({ sql, error, node }) => [sql, error.name, node]),
      [
        ['select 1', 'QueryTimeoutError', undefined],
        ['select 2', 'AbortError', undefined],
        ['select 3', 'AbortError', undefined],
      ],
    );
  });

  test('the time that a read has waited for the position is taken from its timeoutMs', async (t) => {
    const { pool, asked } = fakePool(t, {}, async (frame) => {
      if (!isRequest(frame)) return {};
      await sleep(20);
      return { token: at(1) };
    });
    const params = [1];
    await pool.session(async () => {
      await pool.exec('insert');
      const read = pool.read('select $1', params, { timeoutMs: 50_000 });
      params.push(2);
      await read;
    });
    const [{ timeoutMs, count }] = asked.slice(-1);
    assert.ok(timeoutMs < 50_000 && timeoutMs > 0, String(timeoutMs));
    assert.equal(count, 1, 'the parameters are those of the call');
  });
});

describe('the mode of the pool and its sessions', () => {
  // The mode, and what a query() and a read ask.
  const MODES = /** @type {[string, string[]][]} */ ([
    ['read-write', ['write, token?', 'read after 5-1-1']],
    ['primary', ['write, token?', 'read after 5-1-1']],
    ['any', ['write', 'token?', 'read after 5-1-1']],
    ['prefer-standby', ['write', 'token?', 'read after 5-1-1']],
    ['standby', ['write', 'read after undefined']],
    ['read-only', ['write', 'read after undefined']],
  ]);
  for (const [mode, expected] of MODES) {
    test(`${mode}: ${expected.join(', ')}`, async (t) => {
      const { pool, words } = counting(t, { mode });
      await pool.session(async () => {
        await pool.query('insert');
        await pool.read('select 1');
      });
      assert.deepEqual(words(), expected);
    });
  }
});
