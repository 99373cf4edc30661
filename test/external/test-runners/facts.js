'use strict';

// The same tests for every runner; `runner` has its functions. The pool is opened as a suite of somebody else does it: at the top of
// the file, over a server whose login is in KIT_OPTIONS. KIT_BROKEN adds a test that must fail, in its hook.

const assert = require('node:assert/strict');
const { createPool } = require('hyperiondb-client');
const { startTestCluster, testTransaction, useTestTransaction } = require('hyperiondb-client/testing');

const options = JSON.parse(process.env.KIT_OPTIONS ?? '{}');

/** @param {any} runner `it`, `beforeEach`, `afterEach` and `end`, which is called after all tests */
function facts({ it, beforeEach, afterEach, end }) {
  const pool = /** @type {any} */ (createPool(options));
  useTestTransaction(pool, { beforeEach, afterEach });
  end(() => pool.end());
  const insert = (/** @type {number} */ id) => pool.query('INSERT INTO kept VALUES ($1)', [id]);
  const ids = async () => (await pool.query('SELECT id FROM kept')).map((/** @type {{ id: number }} */ { id }) => id);

  it('writes a row', async () => {
    await insert(1);
    assert.deepEqual(await ids(), [1]);
  });
  it('writes the same row', async () => {
    await insert(1);
    assert.deepEqual(await ids(), [1]);
  });
  it('leaves an error behind', () => assert.rejects(pool.query('SELECT 1 / 0'), { code: '22012' }));
  it('leaves a savepoint behind', async () => {
    await insert(1);
    await pool.query('SAVEPOINT mine');
  });
  it('has transactions within', async () => {
    await insert(1);
    const failed = pool.transaction(async () => {
      await insert(2);
      throw new Error('on purpose');
    });
    await assert.rejects(failed, /on purpose/);
    await testTransaction(pool, () => insert(3));
    assert.deepEqual(await ids(), [1]);
  });
  it('starts a server', async () => {
    const cluster = await startTestCluster({ nodes: 1 });
    const own = createPool(cluster.options);
    assert.equal(await own.value('SELECT inet_server_port()'), cluster.nodes[0].port);
    await own.end();
    await cluster.stop();
  });
  if (process.env.KIT_BROKEN) {
    it('does not wait for a test within', async () => {
      await insert(1);
      testTransaction(pool, () => new Promise(() => {})).catch(() => {});
    });
  }
  return { insert, ids };
}

/** The options of a server that does not answer. */
const nobody = { ...options, hosts: ['127.0.0.1:1'] };

module.exports = { facts, nobody };
