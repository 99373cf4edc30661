'use strict';

// The questions about errors (isRetryable and the others) and retry() against a real server: each failure is made by a pool of this
// package and by node-postgres, and all answers are compared. The tables of all codes are in test/unit/classify.test.js.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { Client } = require('pg');
const client = require('../../client.js');
const { NAMES } = require('../../lib/values/sqlstates.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { failureOf, named, poolFor, range, test, until, useCluster } = require('../support/helpers.js');

const { isConnectionError, isConstraintViolation, isRetryable, isTransient, retry, sqlState } = client;

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {(sql: string) => Promise<unknown>} Run */
/** @typedef {{ run: Run, begin: (isolation?: string) => Promise<{ run: Run, commit: () => Promise<unknown> }> }} Caller of one of the two clients */

const KINDS = /** @type {const} */ (['unique', 'foreign_key', 'not_null', 'check', 'exclusion']);

/**
 * All answers in a line: R retryable, T transient, C connection, the kinds of constraint, the name.
 * @param {unknown} error
 */
function row(error) {
  const letters = [
    isRetryable(error) ? 'R' : '-',
    isTransient(error) ? 'T' : '-',
    isConnectionError(error) ? 'C' : '-',
  ];
  const kinds = KINDS.filter((kind) => isConstraintViolation(error, kind));
  assert.equal(isConstraintViolation(error), kinds.length > 0, 'each violation here is of a kind');
  return [letters.join(''), ...kinds, sqlState(error) ?? 'no name'].join(' ');
}

const db = useCluster({ nodes: 1 });

/** @param {TestContext} t @param {object} [options] @returns {Promise<Client>} */
async function pgClient(t, options) {
  const { host, port } = db.cluster.primary();
  const { user, password, database } = db.cluster;
  const connection = new Client({ host, port, user, password, database, ...options });
  // The statement that is running gets the same error.
  connection.on('error', () => {});
  t.after(() => {
    connection.end().catch(() => {});
  });
  await connection.connect();
  return connection;
}

/** The two clients. @type {Record<'ours' | 'pg', (t: TestContext, options?: { hosts?: string, name?: string }) => Caller>} */
const CLIENTS = {
  ours: (t, { hosts, name } = {}) => {
    const pool = db.pool(t, {
      ...(hosts && { hosts }),
      ...(name && { applicationName: name }),
      acquireTimeoutMs: 1_000,
    });
    return {
      run: (sql) => pool.query(sql),
      begin: async (isolation) => {
        const tx = await pool.begin({ isolation });
        t.after(() => tx.rollback().catch(() => {}));
        return { run: (sql) => tx.query(sql), commit: () => tx.commit() };
      },
    };
  },
  pg: (t, { hosts, name } = {}) => {
    const [host, port] = hosts?.split(':') ?? [];
    const connect = () =>
      pgClient(t, { ...(hosts && { host, port: Number(port) }), ...(name && { application_name: name }) });
    return {
      run: async (sql) => (await connect()).query(sql),
      begin: async (isolation = 'read committed') => {
        const connection = await connect();
        await connection.query(`BEGIN ISOLATION LEVEL ${isolation}`);
        return { run: (sql) => connection.query(sql), commit: () => connection.query('COMMIT') };
      },
    };
  },
};

/**
 * A test for each client that a failure has these answers.
 * @param {string} title
 * @param {(client: (typeof CLIENTS)['pg'], t: TestContext) => Promise<unknown>} work that fails
 * @param {{ ours: string, pg: string }} expected
 */
function compared(title, work, expected) {
  for (const name of /** @type {const} */ (['ours', 'pg'])) {
    test(`${title}, by ${name}: ${expected[name]}`, async (t) => {
      const error = await failureOf(work(CLIENTS[name], t));
      assert.equal(row(error), expected[name], error.stack);
    });
  }
}

/** @param {string} both */
const alike = (both) => ({ ours: both, pg: both });

/** Tables for a test, made anew for each client. @param {string} sql @param {...string} names */
const tables = (sql, ...names) => db.sql(`DROP TABLE IF EXISTS ${names.join()} CASCADE; ${sql}`);

describe('statements that the server refuses', () => {
  for (const [title, sql, expected] of [
    ['a unique constraint', 'INSERT INTO child VALUES (1, 1, 1)', '--- unique unique_violation'],
    ['a foreign key', 'INSERT INTO child VALUES (2, 9, 1)', '--- foreign_key foreign_key_violation'],
    ['a null', 'INSERT INTO child VALUES (2, 1, NULL)', '--- not_null not_null_violation'],
    ['a check', 'INSERT INTO child VALUES (2, 1, -1)', '--- check check_violation'],
    ['an exclusion', "INSERT INTO span VALUES ('[2,3]')", '--- exclusion exclusion_violation'],
    ['a mistake', 'SELEKT 1', '--- syntax_error'],
  ]) {
    compared(
      title,
      async (clientOf, t) => {
        await tables(
          `CREATE TABLE parent (id int PRIMARY KEY);
           CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, n int NOT NULL CHECK (n > 0));
           CREATE TABLE span (during int4range, EXCLUDE USING gist (during WITH &&));
           INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1, 1); INSERT INTO span VALUES ('[1,2]')`,
          ...['parent', 'child', 'span'],
        );
        await clientOf(t).run(sql);
      },
      alike(expected),
    );
  }

  test('a row that others refer to by ON DELETE RESTRICT is a foreign_key on every version, by ours and by pg', async (t) => {
    await tables(
      `CREATE TABLE owner (id int PRIMARY KEY); INSERT INTO owner VALUES (1);
       CREATE TABLE owned (id int REFERENCES owner ON DELETE RESTRICT); INSERT INTO owned VALUES (1)`,
      ...['owner', 'owned'],
    );
    const name = db.cluster.version >= 18 ? 'restrict_violation' : 'foreign_key_violation';
    for (const clientOf of Object.values(CLIENTS)) {
      const error = await failureOf(clientOf(t).run('DELETE FROM owner'));
      assert.equal(row(error), `--- foreign_key ${name}`);
    }
  });

  compared(
    'statement_timeout',
    async (clientOf, t) => {
      const { run } = await clientOf(t).begin();
      await run('SET LOCAL statement_timeout = 50');
      await run('SELECT pg_sleep(60)');
    },
    alike('-T- query_canceled'),
  );

  compared(
    'a lock that is not there at once',
    async (clientOf, t) => {
      await tables('CREATE TABLE locked (id int)', 'locked');
      const [holder, other] = await Promise.all([0, 1].map(() => clientOf(t).begin()));
      await holder.run('LOCK TABLE locked');
      await other.run('LOCK TABLE locked NOWAIT');
    },
    // Of an error of ours its `retryable` decides, which the core does not set for a lock.
    { ours: '-T- lock_not_available', pg: 'RT- lock_not_available' },
  );

  compared(
    'a deadlock',
    async (clientOf, t) => {
      await tables('CREATE TABLE pair (id int PRIMARY KEY, n int); INSERT INTO pair VALUES (1, 0), (2, 0)', 'pair');
      const update = (/** @type {number} */ id) => `UPDATE pair SET n = n + 1 WHERE id = ${id}`;
      const [a, b] = await Promise.all([0, 1].map(() => clientOf(t).begin()));
      await Promise.all([a.run(update(1)), b.run(update(2))]);
      await Promise.all([a.run(update(2)), b.run(update(1))]);
    },
    alike('RT- deadlock_detected'),
  );

  compared(
    'a serialization failure',
    async (clientOf, t) => {
      await tables('CREATE TABLE counter (n int); INSERT INTO counter VALUES (0)', 'counter');
      const { run } = await clientOf(t).begin('repeatable read');
      await run('SELECT n FROM counter');
      await db.sql('UPDATE counter SET n = 1');
      await run('UPDATE counter SET n = 2');
    },
    alike('RT- serialization_failure'),
  );

  test('too many parameters: a mistake, although pg gets 08P01 of the class of connections', async (t) => {
    const connection = await pgClient(t);
    assert.equal(row(await failureOf(connection.query('SELECT 1', [1]))), '--- protocol_violation');
    assert.equal(row(await failureOf(db.pool(t).query('SELECT 1', [1]))), '--- no name');
  });
});

/** Waits until a session of this name sleeps in pg_sleep, so that its statement has begun, and ends it if asked. @param {string} name @param {'leave' | 'terminate'} then */
const asleep = (name, then) =>
  until('the statement runs', async () => {
    const end = then === 'terminate' ? 'pg_terminate_backend(pid)' : 'pid';
    const where = "application_name = $1 AND state = 'active' AND wait_event = 'PgSleep'";
    return (await db.sql(`SELECT ${end} FROM pg_stat_activity WHERE ${where}`, [name])).length > 0;
  });

describe('connections that break', () => {
  compared(
    'pg_terminate_backend under a statement',
    async (clientOf, t) => {
      const name = named('killed');
      const running = clientOf(t, { name }).run('SELECT pg_sleep(60)');
      running.catch(() => {});
      await asleep(name, 'terminate');
      await running;
    },
    // The core says "unknown outcome" by a code of its own.
    { ours: '-TC no name', pg: '-TC admin_shutdown' },
  );

  compared(
    'pg_terminate_backend in a transaction before COMMIT',
    async (clientOf, t) => {
      const name = named('killed-in-transaction');
      const { run } = await clientOf(t, { name }).begin();
      await run('SELECT 1');
      const running = run('SELECT pg_sleep(60)');
      running.catch(() => {});
      await asleep(name, 'terminate');
      await running;
    },
    // The core knows that no COMMIT was sent.
    { ours: 'RTC admin_shutdown', pg: '-TC admin_shutdown' },
  );

  compared(
    'a socket that is reset under a statement',
    async (clientOf, t) => {
      const proxy = await db.cluster.primary().proxy();
      const name = named('cut');
      const running = clientOf(t, { name, hosts: proxy.address }).run('SELECT pg_sleep(5)');
      running.catch(() => {});
      await asleep(name, 'leave');
      await proxy.cut();
      await running;
    },
    alike('-TC no name'),
  );

  compared(
    'a connection that is refused',
    async (clientOf, t) => clientOf(t, { hosts: `127.0.0.1:${await freePort()}` }).run('SELECT 1'),
    alike('RTC no name'),
  );

  test('a role without connections left: nothing was sent, by ours and by pg', async (t) => {
    await db.sql("CREATE ROLE crowd LOGIN PASSWORD 'p' CONNECTION LIMIT 0");
    t.after(() => db.sql('DROP ROLE crowd'));
    const login = { user: 'crowd', password: 'p' };
    assert.equal(row(await failureOf(pgClient(t, login))), 'RTC too_many_connections');
    const pool = poolFor(t, db.options({ ...login, acquireTimeoutMs: 300 }));
    assert.equal(row(await failureOf(pool.query('SELECT 1'))), 'RTC no name');
  });

  test('a wrong password is not retryable, not transient, and of no connection, by pg', async (t) => {
    const error = await failureOf(pgClient(t, { password: 'wrong' }));
    assert.equal(row(error), '--- invalid_password');
  });

  test('idle_session_timeout ends a session between statements: the next one was not run, by pg', async (t) => {
    db.needsVersion(14, 'idle_session_timeout');
    const connection = await pgClient(t);
    // Listened for before the session may end: the second error is that the connection is closed.
    const ended = new Promise((resolve) => connection.once('error', resolve));
    await connection.query('SET idle_session_timeout = 20');
    const error = await ended;
    assert.equal(row(error), 'RTC idle_session_timeout');
  });

  test('the ROLLBACK behind a COMMIT whose answer was lost does not make it retryable, by pg', async (t) => {
    await tables('CREATE TABLE paid (n int)', 'paid');
    const proxy = await db.cluster.primary().proxy();
    const connection = await pgClient(t, { host: proxy.host, port: proxy.port });
    let calls = 0;
    const pay = async () => {
      calls += 1;
      try {
        await connection.query('BEGIN');
        await connection.query('INSERT INTO paid VALUES (1)');
        // The answer of the COMMIT does not come through any more.
        proxy.blackhole();
        const committing = connection.query('COMMIT');
        committing.catch(() => {});
        await proxy.cut();
        await committing;
      } catch (error) {
        await connection.query('ROLLBACK');
        throw error;
      }
    };
    const error = await failureOf(retry(pay, { minMs: 0, maxMs: 0 }));
    assert.match(error.message, /is not queryable/);
    assert.equal(row(error), '-TC no name');
    assert.equal(calls, 1);
  });
});

describe('retry on a server', () => {
  for (const name of /** @type {const} */ (['ours', 'pg'])) {
    test(`retry brings transactions that fail to serialize to their end, each once, by ${name}`, async (t) => {
      await tables('CREATE TABLE tally (n int); INSERT INTO tally VALUES (0)', 'tally');
      let failures = 0;
      const add = async () => {
        const { run, commit } = await CLIENTS[name](t).begin('serializable');
        try {
          await run('SELECT n FROM tally');
          await run('UPDATE tally SET n = n + 1');
          await commit();
        } catch (error) {
          failures += 1;
          throw error;
        }
      };
      await Promise.all(range(4).map(() => retry(add, { attempts: 100, minMs: 1, maxMs: 20 })));
      assert.deepEqual(await db.sql('SELECT n FROM tally'), [{ n: 4 }]);
      t.diagnostic(`${failures} failures`);
    });
  }
});

describe('the names of SQLSTATEs', () => {
  /** Codes that not every supported version has. */
  const NOT_EVERYWHERE = ['10608', '25P04', '57P05', '58P03', '72000'];
  const listOf = async () => {
    const [{ text }] = await db.sql(
      "SELECT pg_read_file(setting || '/errcodes.txt') AS text FROM pg_config() WHERE name = 'SHAREDIR'",
    );
    return [.../** @type {string} */ (text).matchAll(/^(\w{5}) +([EWS]) +ERRCODE_\w+ +(\w+)$/gm)];
  };

  test('the list has every code and name of the errcodes.txt of the server, and others only by version', async () => {
    const lines = await listOf();
    assert.ok(lines.length > 250, `${lines.length} lines`);
    for (const [, code, , name] of lines) assert.equal(NAMES.get(code), name, code);
    const theirs = new Set(lines.map(([, code]) => code));
    const others = [...NAMES.keys()].filter((code) => !theirs.has(code));
    assert.deepEqual(
      others.filter((code) => !NOT_EVERYWHERE.includes(code)),
      [],
    );
  });

  test('RAISE with the name of an error has its SQLSTATE, for each that PL/pgSQL knows', async (t) => {
    const connection = await pgClient(t);
    const errors = (await listOf()).filter(([, , kind]) => kind === 'E');
    assert.ok(errors.length > 240, `${errors.length} errors`);
    for (const [, code, , name] of errors) {
      const error = await failureOf(connection.query(`DO $$ BEGIN RAISE ${name}; END $$`));
      // PL/pgSQL takes the first code where several have the name.
      if (error.code !== code) assert.equal(NAMES.get(error.code), NAMES.get(code), `${name} is ${error.code}`);
      assert.equal(sqlState(error), name);
    }
  });
});
