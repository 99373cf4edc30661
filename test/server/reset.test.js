'use strict';

// The option `reset`: changes that one caller makes to a session do not reach the next caller. A pool of one connection, so that
// the next caller has the same session, which the tests check.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool } = require('../../client.js');
const { counted } = require('../support/counted');
const { endings, test, failureOf, range, until, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

/** @param {any} pool */
const pidOf = (pool) => pool.value('SELECT pg_backend_pid()');

/**
 * Changes that SET and similar statements make, and the statement that shows each.
 * @type {[what: string, change: string, look: string][]}
 */
const CHANGES = [
  ['SET', "SET work_mem = '7MB'", 'SHOW work_mem'],
  ['set, in small letters', "set work_mem to '7MB'", 'SHOW work_mem'],
  ['SET SESSION', 'SET SESSION lock_timeout = 1234', 'SHOW lock_timeout'],
  ['SET with a comment ahead', "/* why */ -- so\n SET work_mem = '7MB'", 'SHOW work_mem'],
  [
    'set_config of a setting that the server reports',
    "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
    'SHOW TimeZone',
  ],
  ['SET search_path', 'SET search_path = pg_catalog', 'SHOW search_path'],
  ['SET SCHEMA', "SET SCHEMA 'pg_catalog'", 'SHOW search_path'],
  ['SET ROLE', 'SET ROLE app', 'SELECT current_user::text AS v'],
  ['SET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION app', 'SELECT session_user::text AS v'],
  ['SET TIME ZONE', "SET TIME ZONE 'Asia/Tokyo'", 'SHOW TimeZone'],
  ['SET DateStyle', "SET DateStyle = 'German'", 'SHOW DateStyle'],
  ['SET client_encoding', "SET client_encoding = 'LATIN1'", 'SHOW client_encoding'],
  ['SET application_name', "SET application_name = 'somebody'", 'SHOW application_name'],
  [
    'SET SESSION CHARACTERISTICS',
    'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'SHOW default_transaction_isolation',
  ],
  [
    'SET of a setting of its own',
    "SET app.tenant = '7'",
    "SELECT coalesce(current_setting('app.tenant', true), '') AS v",
  ],
  ['RESET of a startup setting', 'RESET lock_timeout', 'SHOW lock_timeout'],
  ['DISCARD ALL', 'DISCARD ALL', 'SHOW lock_timeout'],
];

/** @param {any} pool @param {string} look */
const seen = (pool, look) => pool.value(look);

/** Every way for one caller to run a statement, before the next caller. */
const WAYS = /** @type {[string, (pool: any, sql: string) => Promise<unknown>][]} */ ([
  ['query()', (pool, sql) => pool.query(sql)],
  ['query() with a limit', (pool, sql) => pool.query(sql, [], { timeoutMs: 20_000 })],
  ['batch()', (pool, sql) => pool.batch([sql])],
  ['batch() in a transaction', (pool, sql) => pool.batch([sql], { transaction: true })],
  [
    'stream()',
    async (pool, sql) => {
      for await (const _ of pool.stream(sql));
    },
  ],
  ['a committed transaction', (pool, sql) => pool.transaction((/** @type {any} */ tx) => tx.query(sql))],
  [
    'a transaction that is rolled back',
    async (pool, sql) => {
      const tx = await pool.begin();
      await tx.query(sql);
      await tx.rollback();
    },
  ],
  [
    'exec() in a transaction',
    (pool, sql) => pool.transaction((/** @type {any} */ tx) => tx.exec(`SELECT 1; ${sql}; SELECT 2`)),
  ],
  [
    'a transaction whose callback fails later',
    (pool, sql) =>
      failureOf(
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(sql);
          throw new Error('no');
        }),
      ),
  ],
]);

/** `DISCARD ALL` cannot run in a transaction. @param {string} how @param {string} sql */
const isPossible = (how, sql) => sql !== 'DISCARD ALL' || !/transaction/.test(how);

describe("reset: 'changes', the default", () => {
  for (const [how, run] of WAYS) {
    test(`reset 'changes': after a SET by ${how} the next caller has the same session as it was`, async (t) => {
      // With startup settings of its own: those come back, not the settings of the server.
      const pool = db.pool(t, { poolSize: 1, options: { lock_timeout: 4321 } });
      const pid = await pidOf(pool);
      const wrong = [];
      for (const [what, change, look] of CHANGES.filter(([, sql]) => isPossible(how, sql))) {
        const before = await seen(pool, look);
        await run(pool, change);
        const after = await seen(pool, look);
        if (after !== before) wrong.push(`${what}: ${before} became ${after}`);
        assert.equal(await pool.value("SELECT 'é€'"), 'é€', what);
      }
      assert.deepEqual(wrong, []);
      // The connection of a script is closed at the end, in a transaction as outside of one.
      if (how !== 'exec() in a transaction') assert.equal(await pidOf(pool), pid);
    });
  }

  test("reset 'changes': exec() closes its connection, so the next caller has a session without the changes", async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const [what, change, look] of CHANGES) {
      const before = await seen(pool, look);
      await pool.exec(change);
      assert.equal(await seen(pool, look), before, what);
    }
  });

  test("reset 'changes': a SET within a transaction counts until the end of the transaction", async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query("SET work_mem = '7MB'");
      for (const _ of range(3)) assert.equal(await tx.value('SHOW work_mem'), '7MB');
    });
    assert.equal(await pool.value('SHOW work_mem'), '4MB');
  });

  test("reset 'changes': statements sent before or behind a SET on the same connection do not see it", async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const _ of range(10)) {
      const before = range(20).map(() => pool.value('SHOW work_mem'));
      const changed = pool.query("SET work_mem = '7MB'");
      const after = range(20).map(() => pool.value('SHOW work_mem'));
      assert.deepEqual(new Set(await Promise.all([...before, ...after])), new Set(['4MB']));
      await changed;
    }
  });

  test("reset 'changes': two callers change one setting all the time, and a third never sees it", async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const own = (/** @type {string} */ value) => async () => {
      for (const _ of range(30)) {
        await pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(`SET work_mem = '${value}'`);
          assert.equal(await tx.value('SHOW work_mem'), value);
        });
      }
    };
    const looker = async () => {
      for (const _ of range(60)) assert.equal(await pool.value('SHOW work_mem'), '4MB');
    };
    await Promise.all([own('5MB')(), own('6MB')(), looker(), looker()]);
  });

  test("reset 'changes': a SET that fails changes nothing, and the connection goes on", async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const pid = await pidOf(pool);
    assert.equal((await failureOf(pool.query("SET work_mem = 'much'"))).code, '22023');
    assert.equal((await failureOf(pool.query('SET ROLE nobody_here'))).code, '22023');
    assert.deepEqual([await pool.value('SHOW work_mem'), await pidOf(pool)], ['4MB', pid]);
  });

  test("reset 'changes': the pool's own settings come back: statementTimeoutMs, applicationName, options", async (t) => {
    const pool = db.pool(t, {
      poolSize: 1,
      statementTimeoutMs: 54_321,
      applicationName: 'resets',
      options: { work_mem: '9MB', 'app.tenant': 'ours' },
    });
    for (const sql of [
      'SET statement_timeout = 0',
      "SET application_name = 'x'",
      'RESET ALL',
      'DISCARD ALL',
      "SET work_mem = '1MB'",
      "SET app.tenant = 'theirs'",
    ]) {
      await pool.query(sql);
      const [row] = await pool.query(
        `SELECT current_setting('statement_timeout') AS timeout, current_setting('application_name') AS name,
           current_setting('work_mem') AS mem, current_setting('app.tenant') AS tenant`,
      );
      assert.deepStrictEqual(row, { timeout: '54321ms', name: 'resets', mem: '9MB', tenant: 'ours' }, sql);
    }
  });

  test("reset 'changes': prepared statements stay", async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const _ of range(3)) {
      assert.equal(await pool.value('SELECT $1::int4 + 1', [1]), 2);
      await pool.query("SET work_mem = '7MB'");
    }
    for (const sql of ['DEALLOCATE ALL', 'DISCARD ALL']) {
      await pool.query(sql);
      assert.equal(await pool.value('SELECT $1::int4 + 1', [1]), 2, sql);
    }
  });
});

describe("what reset 'changes' sends", () => {
  const V14 = 'older servers are asked for their role with each statement';

  test("reset 'changes' sends nothing where no session was changed", async (t) => {
    const { own, pool, sent } = await counted(t, { poolSize: 2 });
    own.needsVersion(14, V14);
    // Both sessions are opened now: what a login sends is not looked at.
    const open = await Promise.all(range(2).map(() => pool.begin()));
    await Promise.all(open.map((tx) => tx.rollback()));
    const run = () => Promise.all(range(50).map((i) => pool.query('SELECT $1::int4 AS v', [i])));
    // Until the pool knows the functions of the database, every statement may have changed its session (src/pool/setters.rs).
    await until('both sessions are known to be unchanged', async () => {
      await run();
      return !(await sent()).some((line) => line.includes('RESET ALL'));
    });
    for (const _ of range(2)) await run();
    // A connection that has rested for 100 ms, as on a busy machine, asks for the role of its node.
    const expected = /^((execute|bind|parse) s\d+: SELECT \$1::int4 AS v|statement: SHOW transaction_read_only)$/;
    const other = (await sent()).filter((line) => !expected.test(line));
    assert.deepEqual(other, []);
  });

  test("reset 'changes' sends nothing for SET LOCAL in a transaction", async (t) => {
    const { own, pool, sent } = await counted(t, { poolSize: 1 });
    own.needsVersion(14, V14);
    const run = () =>
      pool.transaction(async (/** @type {any} */ tx) => {
        await tx.query("SET LOCAL work_mem = '7MB'");
        assert.equal(await tx.value('SHOW work_mem'), '7MB');
      });
    await run();
    await sent();
    await run();
    assert.equal(await pool.value('SHOW work_mem'), '4MB');
    const lines = (await sent()).filter((line) => !/^(parse|bind)/.test(line));
    assert.deepEqual(
      lines.filter(
        (line) => !/: (BEGIN|COMMIT|SET LOCAL|SHOW work_mem)/.test(line) && !/^statement: (BEGIN|COMMIT)/.test(line),
      ),
      [],
    );
  });

  test("reset 'changes' sends one reset after a SET", async (t) => {
    const { own, pool, sent } = await counted(t, { poolSize: 1 });
    own.needsVersion(14, V14);
    await pool.query("SET work_mem = '7MB'");
    await pool.value('SHOW work_mem');
    await sent();
    await pool.query("SET work_mem = '7MB'");
    for (const _ of range(5)) await pool.value('SHOW work_mem');
    const other = (await sent()).filter(
      (line) => !/^(parse|bind)/.test(line) && !/(SET work_mem|SHOW work_mem)/.test(line),
    );
    assert.ok(other.length >= 1 && other.length <= 2, String(other));
  });
});

describe("reset: 'none'", () => {
  test("reset 'none': the next caller has the settings that the last one has left", async (t) => {
    const pool = db.pool(t, { poolSize: 1, reset: 'none' });
    await pool.query("SET work_mem = '7MB'");
    await pool.transaction((/** @type {any} */ tx) => tx.query('SET ROLE app'));
    assert.deepEqual(
      [await pool.value('SHOW work_mem'), await pool.value('SELECT current_user::text')],
      ['7MB', 'app'],
    );
  });
});

/**
 * What DISCARD ALL releases: how it is made, and how the next caller looks for it; `expected` when it is gone.
 * @type {[what: string, leave: (tx: any) => Promise<unknown>, look: (pool: any) => Promise<unknown>, expected: unknown][]}
 */
const LEFT = [
  ['a setting', (tx) => tx.query("SET work_mem = '7MB'"), (pool) => pool.value('SHOW work_mem'), '4MB'],
  [
    'a temporary table',
    (tx) => tx.query('CREATE TEMP TABLE mine AS SELECT 1'),
    (pool) => pool.value("SELECT count(*)::int4 FROM pg_class WHERE relname = 'mine'"),
    0,
  ],
  [
    'an advisory lock',
    (tx) => tx.query('SELECT pg_advisory_lock(4711)'),
    (pool) => pool.value("SELECT count(*)::int4 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"),
    0,
  ],
  [
    'a cursor WITH HOLD',
    (tx) => tx.query('DECLARE held CURSOR WITH HOLD FOR SELECT 1'),
    (pool) => pool.value("SELECT count(*)::int4 FROM pg_cursors WHERE name = 'held'"),
    0,
  ],
  [
    'LISTEN',
    (tx) => tx.query('LISTEN somewhere'),
    (pool) => pool.value('SELECT count(*)::int4 FROM pg_listening_channels()'),
    0,
  ],
  [
    'a sequence that was read',
    async (tx) => {
      await tx.query('CREATE SEQUENCE IF NOT EXISTS numbers');
      await tx.query("SELECT nextval('numbers')");
    },
    async (pool) => (await endings([pool.query("SELECT currval('numbers')")]))[0].error?.code,
    '55000',
  ],
];

describe("reset: 'discard'", () => {
  for (const [what, leave, look, expected] of LEFT) {
    test(`reset 'discard': ${what} is gone for the next caller, on the same connection`, async (t) => {
      const pool = db.pool(t, { poolSize: 1, reset: 'discard' });
      const pid = await pidOf(pool);
      await pool.transaction(leave);
      assert.deepEqual(await look(pool), expected);
      // And when a single statement has left it.
      await leave(pool);
      assert.deepEqual(await look(pool), expected);
      assert.equal(await pidOf(pool), pid);
    });
  }

  test("reset 'discard': statements of PREPARE stay, because the pool's own are among them", async (t) => {
    const pool = db.pool(t, { poolSize: 1, reset: 'discard' });
    await pool.query('PREPARE mine AS SELECT 1');
    assert.equal(await pool.value("SELECT count(*)::int4 FROM pg_prepared_statements WHERE name = 'mine'"), 1);
  });

  test("reset 'discard': other callers go on meanwhile, with prepared statements of their own", async (t) => {
    const pool = db.pool(t, { poolSize: 3, reset: 'discard' });
    const ended = await endings(
      range(120).map((i) =>
        i % 6 === 0
          ? pool.transaction((/** @type {any} */ tx) => tx.query("SET work_mem = '7MB'"))
          : pool.value(`SELECT $1::int4 + ${i % 4}`, [i]),
      ),
    );
    ended.forEach(({ value, error }, i) => {
      assert.ifError(error);
      if (i % 6 !== 0) assert.equal(value, i + (i % 4));
    });
  });
});

describe("reset 'changes' leaves what is not a setting", () => {
  for (const [what, leave, look, expected] of LEFT.slice(1)) {
    test(`reset 'changes' leaves ${what}`, async (t) => {
      const pool = db.pool(t, { poolSize: 1 });
      await pool.transaction(leave);
      assert.notDeepEqual(await look(pool), expected);
    });
  }
});

describe('reset: { sql }', () => {
  test('reset { sql } is run between two callers', async (t) => {
    const sql = "RESET ALL; SELECT set_config('app.cleaned', 'yes', false); SELECT pg_advisory_unlock_all()";
    const pool = db.pool(t, { poolSize: 1, reset: { sql } });
    const pid = await pidOf(pool);
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query("SET work_mem = '7MB'");
      await tx.query('SELECT pg_advisory_lock(4712)');
    });
    assert.deepEqual(
      [
        await pool.value('SHOW work_mem'),
        await pool.value("SELECT current_setting('app.cleaned', true)"),
        await pool.value("SELECT count(*)::int4 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4712"),
        await pidOf(pool),
      ],
      ['4MB', 'yes', 0, pid],
    );
  });

  test('reset { sql } that fails: the connection is closed, and an error event says why', async (t) => {
    const pool = db.pool(t, { poolSize: 1, reset: { sql: 'SELECT 1 / 0' } });
    /** @type {any[]} */
    const heard = [];
    pool.on('error', (/** @type {any} */ error) => heard.push(error));
    const pids = [];
    for (const _ of range(3)) {
      await pool.transaction(async (/** @type {any} */ tx) => {
        pids.push(await tx.value('SELECT pg_backend_pid()'));
        await tx.query("SET work_mem = '7MB'");
      });
    }
    await until('it was told', () => heard.length > 0);
    assert.equal(heard[0].code, 'ERR_RESET', String(heard[0]));
    assert.match(heard[0].message, /division by zero \(22012\)/);
    assert.equal(new Set(pids).size, 3, 'each has a connection of its own');
    assert.equal(await pool.value('SHOW work_mem'), '4MB');
  });
});

describe('reset: wrong values', () => {
  /** @type {[unknown, RegExp][]} */
  const WRONG = [
    ['all', /^reset must be .*'changes'/],
    [true, /^reset must be /],
    [null, /^reset must be /],
    [{}, /^reset\.sql must be /],
    [{ sql: 1 }, /^reset\.sql must be /],
    [{ sql: '' }, /^reset\.sql must /],
    [{ sql: 'RESET ALL', more: 1 }, /'reset\.more'/],
  ];
  for (const [reset, message] of WRONG) {
    test(`reset: ${JSON.stringify(reset)} is refused`, () => {
      assert.throws(() => createPool({ reset }), { code: 'ERR_INVALID_OPTION', message });
    });
  }
});
