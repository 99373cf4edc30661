'use strict';

const assert = require('node:assert/strict');
const { after, afterEach, beforeEach, it } = require('node:test');
const { testPool } = require('hyperiondb-client/testing');
const { facts, nobody } = require('./facts.js');

const { insert, ids } = facts({ it, beforeEach, afterEach, end: after });
it('has subtests', async (t) => {
  await insert(1);
  for (const name of ['one', 'two']) {
    await t.test(name, async () => {
      await insert(2);
      assert.deepEqual(await ids(), [1, 2]);
    });
  }
  assert.deepEqual(await ids(), [1]);
});
it('is skipped where nothing answers', async (t) => {
  const pool = await testPool(nobody, t);
  if (pool !== undefined) throw new Error('there is a pool');
});
