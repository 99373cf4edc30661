'use strict';

// "The server decides", beyond single statements: callers side by side, functions that write now and then, sessions that no standby can have,
// and clusters without a standby.

const assert = require('node:assert/strict');
const { ownCluster, named, range, test, until } = require('../support/helpers');
const { useClusters } = require('./support.js');
const { WriteTexts } = require('../../exports/clusters/write-texts.js');

const clusters = useClusters({ a: { nodes: 3, settings: { log_min_duration_statement: 0 } } });

/** @param {import('node:test').TestContext} t @param {object} [options] */
const multiFor = (t, options) =>
  clusters.multi(t, clusters.configuration({ a: { schemas: ['s'], readPreference: 'replica', ...options } }));

/**
 * How often standbys have refused a statement after it had begun.
 * @param {string} tag it is in the text
 */
async function refusalsOf(tag) {
  const standbys = clusters.a.cluster.standbys();
  const mark = named('mark');
  for (const node of standbys) {
    await node.sql(`SELECT '${mark}'`);
    await until('the log is written', () => /** @type {any} */ (node).log().includes(mark));
  }
  const lines = standbys.flatMap((node) => /** @type {any} */ (node).log().split('\n'));
  return lines.filter((line) => line.includes(' STATEMENT:  ') && line.includes(tag)).length;
}

const isPrimary = (/** @type {string} */ node) => node === clusters.a.cluster.primary().address;

test('routing: a write that fifty callers begin at once is tried on one standby by one of them', async (t) => {
  const multi = await multiFor(t);
  await multi.query('CREATE TABLE at_once (n int)');
  const tag = named('at-once');
  const results = await Promise.all(
    range(50).map((n) => multi.query(`INSERT INTO at_once VALUES ($1) /* ${tag} */`, [n])),
  );
  assert.ok(results.every(({ node }) => isPrimary(node)));
  const { rows } = await multi.query('SELECT n FROM at_once ORDER BY n', [], { operation: 'write' });
  assert.deepEqual(
    rows.map((/** @type {any} */ { n }) => n),
    range(50),
  );
  assert.equal(await refusalsOf(tag), 1);
});

test('routing: a function that writes now and then goes to the primary from its first write on', async (t) => {
  const multi = await multiFor(t);
  await multi.query('CREATE TABLE now_and_then (n int)');
  await multi.query(
    `CREATE FUNCTION write_if(flag bool, n int) RETURNS int LANGUAGE plpgsql AS
     'BEGIN IF flag THEN INSERT INTO now_and_then VALUES (n); END IF; RETURN n; END'`,
  );
  const tag = named('now-and-then');
  const run = (/** @type {boolean} */ flag, /** @type {number} */ n) =>
    multi.query(`SELECT write_if($1, $2) AS n /* ${tag} */`, [flag, n]);
  for (const n of range(4)) assert.ok(!isPrimary((await run(false, n)).node), 'it only reads so far');
  for (const n of [1, 2, 3]) {
    const { node, rows } = await run(true, n);
    assert.ok(isPrimary(node));
    assert.deepEqual(rows, [{ n }]);
  }
  assert.ok(isPrimary((await run(false, 0)).node));
  assert.deepEqual((await multi.query('SELECT n FROM now_and_then ORDER BY n')).rows, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  assert.equal(await refusalsOf(tag), 1);
});

test('routing: a function that swallows the refusal of its write has not written; operation: write is for it', async (t) => {
  const multi = await multiFor(t);
  await multi.query('CREATE TABLE swallowed (n int)');
  await multi.query(
    `CREATE FUNCTION try_to_write(n int) RETURNS text LANGUAGE plpgsql AS
     'BEGIN INSERT INTO swallowed VALUES (n); RETURN ''written''; EXCEPTION WHEN OTHERS THEN RETURN ''swallowed''; END'`,
  );
  const answers = async (/** @type {object | undefined} */ options) =>
    (await multi.query('SELECT try_to_write(1) AS answer', [], options)).rows[0].answer;
  // The server has answered, without an error: nobody can tell.
  assert.equal(await answers(undefined), 'swallowed');
  assert.equal(await answers({ operation: 'write' }), 'written');
  assert.deepEqual((await multi.query('SELECT n FROM swallowed')).rows, [{ n: 1 }]);
});

test('routing: sessions that are serializable by default are answered by the primary', async (t) => {
  const multi = await multiFor(t, { options: { default_transaction_isolation: 'serializable' } });
  for (const _ of range(3)) {
    const { node, rows } = await multi.query("SELECT current_setting('transaction_isolation') AS isolation");
    assert.ok(isPrimary(node), 'a standby has no serializable transactions');
    assert.deepEqual(rows, [{ isolation: 'serializable' }]);
  }
});

test('routing: an error that a standby and the primary agree on is told as it is', async (t) => {
  const multi = await multiFor(t);
  for (const [sql, code] of [
    ['SELECT 1/0', '22012'],
    ['SELECT nothing', '42703'],
    ['SELECT * FROM no_such_table', '42P01'],
    ['SELECT', ''],
    ["SELECT currval('no_such_sequence')", '42P01'],
    ['LOCK TABLE pg_class', '25P01'],
    ["COMMIT PREPARED 'none'", '42704'],
    ["DO $$BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = '55000'; END$$", '55000'],
  ]) {
    const ending = await multi.query(sql).then(
      () => '',
      (/** @type {any} */ error) => error.code,
    );
    assert.equal(ending, code, sql);
  }
});

test('routing: while no standby is up, writes are still applied once, and reads answered', async (t) => {
  const own = await ownCluster(t, { nodes: 2, synchronous: false, settings: { log_min_duration_statement: 0 } });
  const { hosts, user, password, database } = own.cluster;
  const multi = await clusters.multi(t, {
    a: { schemas: ['s'], readPreference: 'replica', ...{ hosts, user, password, database } },
  });
  await multi.query('CREATE TABLE alone (n int)');
  await own.cluster.standbys()[0].crash();
  const tag = named('alone');
  for (const n of range(3)) await multi.query(`INSERT INTO alone VALUES ($1) /* ${tag} */`, [n]);
  assert.deepEqual((await multi.query('SELECT n FROM alone ORDER BY n')).rows, [{ n: 0 }, { n: 1 }, { n: 2 }]);
});

test('routing: what is remembered of texts is bounded, and a long text is remembered, too', async () => {
  const texts = new WriteTexts();
  const tries = { standby: 0, primary: 0 };
  const refusal = new Error('refused');
  /** @param {string} sql @param {boolean} isWrite */
  const run = (sql, isWrite) =>
    texts.run(
      sql,
      async () => {
        tries.standby++;
        if (isWrite) throw refusal;
      },
      async () => {
        tries.primary++;
      },
      (error) => error === refusal,
    );
  const long = `INSERT INTO t VALUES ('${'x'.repeat(100_000)}')`;
  for (const _ of range(3)) await run(long, true);
  assert.deepEqual(tries, { standby: 1, primary: 3 });
  for (const n of range(9_999)) await run(`SELECT ${n}`, false);
  assert.deepEqual(tries, { standby: 10_000, primary: 3 });
  await run(long, true);
  assert.deepEqual(tries, { standby: 10_000, primary: 4 }, 'it is among the last 10,000 texts');
  await run('SELECT 9999', false);
  await run(long, true);
  assert.deepEqual(tries, { standby: 10_002, primary: 5 }, 'now it is not');
});
