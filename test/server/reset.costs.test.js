'use strict';

// The option `reset`: its default costs nothing where nobody has set anything, and one message where somebody has. Counted are the
// messages that the server answers by ReadyForQuery: Query and Sync (PostgreSQL docs, "Message Flow").

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { range, test, useCluster } = require('../support/helpers');
const { messagesIn, relayTo } = require('../support/relay');

// Without functions of users: in this database nothing can change a setting but the server's own commands and functions.
const db = useCluster({ nodes: 1 });
before(async () => {
  await db.started;
  await db.sql(`DROP VIEW IF EXISTS names; DROP TABLE IF EXISTS lines, items, tenants; DROP TYPE IF EXISTS mood;
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL DEFAULT upper('x'), mood mood, data jsonb,
      price numeric CHECK (price >= 0), made timestamptz DEFAULT now(), full_name text GENERATED ALWAYS AS (name || '!') STORED);
    CREATE INDEX ON items (lower(name));
    INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 100) AS i;
    CREATE TABLE lines (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE);
    CREATE VIEW names AS SELECT id, name FROM items;
    CREATE TABLE tenants (tenant text);
    INSERT INTO tenants VALUES ('red');
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
    CREATE POLICY of_tenant ON tenants USING (tenant = current_setting('app.tenant', true));
    GRANT ALL ON ALL TABLES IN SCHEMA public TO app`);
});

/** Statements that change no setting. @type {[title: string, sql: string, params?: unknown[]][]} */
const HARMLESS = [
  ['a SELECT by key', 'SELECT * FROM items WHERE id = $1', [7]],
  ['a SELECT of a constant', 'SELECT 1 AS one'],
  ['a SELECT of a view', 'SELECT * FROM names WHERE id = $1', [7]],
  [
    'a join',
    'SELECT i.id, count(l.id) FROM items i LEFT JOIN lines l ON l.item = i.id GROUP BY i.id ORDER BY i.id LIMIT 5',
  ],
  ['count(*)', 'SELECT count(*) FROM items'],
  ['now()', 'SELECT now(), current_timestamp, clock_timestamp()'],
  ['coalesce()', "SELECT coalesce(mood::text, 'none'), greatest(1, 2), nullif(1, 2) FROM items LIMIT 3"],
  ['functions of text', "SELECT lower(name) || '!', substr(name, 2), name ~ 'em 1', name LIKE 'i%' FROM items LIMIT 3"],
  [
    'functions of JSON',
    "SELECT jsonb_build_object('a', 1) -> 'a', '{}'::jsonb || data, to_jsonb(items) FROM items LIMIT 3",
  ],
  ['aggregates and windows', 'SELECT sum(id) OVER (ORDER BY id), array_agg(id) OVER () FROM items LIMIT 3'],
  ['generate_series()', 'SELECT i FROM generate_series(1, $1::int) AS i', [3]],
  ['a CTE', 'WITH x AS (SELECT id FROM items WHERE id < 5) SELECT count(*) FROM x'],
  ['ANY of an array', 'SELECT id FROM items WHERE id = ANY ($1::int[])', [[1, 2]]],
  ['current_setting()', "SELECT current_setting('work_mem'), current_setting('app.tenant', true), current_user"],
  ['SHOW', 'SHOW work_mem'],
  ['an INSERT into a table with a foreign key', 'INSERT INTO lines (item) VALUES ($1) RETURNING id', [7]],
  [
    'an INSERT with defaults, a check and a generated column',
    'INSERT INTO items (id, price) VALUES (0, 1) ON CONFLICT DO NOTHING',
  ],
  ['an UPDATE', "UPDATE items SET name = 'new', mood = 'glad' WHERE id = $1", [8]],
  ['a DELETE that cascades', 'DELETE FROM items WHERE id = $1', [0]],
  ['a text that mentions set_config', "SELECT 'set_config(''app.tenant'', ''x'', false)' AS text"],
];

/**
 * A pool of one connection behind a relay; `trips` counts the Query and Sync messages since its last call, without those of the
 * monitor, which is off.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 */
async function counting(t, options) {
  db.needsVersion(14, 'older servers are asked for their role with each statement');
  const relay = await relayTo(t, db.cluster.primary());
  const pool = db.pool(t, { hosts: [relay.host], poolSize: 1, monitor: false, ssl: false, ...options });
  await pool.query('SELECT 1');
  let seen = 0;
  const trips = () => {
    assert.equal(relay.conversations().length, 1, 'one connection');
    const all = messagesIn(relay.conversations()[0]).filter(({ type }) => type === 'Q' || type === 'S');
    const fresh = all.slice(seen);
    seen = all.length;
    return fresh.map(({ type, body }) => (type === 'S' ? 'Sync' : body.replace(/\0$/, '')));
  };
  return { pool, trips };
}

/** @param {number} count */
const syncs = (count) => range(count).map(() => 'Sync');

describe("what reset 'changes' costs", () => {
  for (const [title, sql, params] of HARMLESS) {
    test(`reset 'changes' sends nothing after ${title}`, async (t) => {
      const { pool, trips } = await counting(t);
      // A new statement costs what its preparation costs.
      for (const _ of range(2)) await pool.query(sql, params);
      trips();
      for (const _ of range(10)) await pool.query(sql, params);
      assert.deepEqual(trips(), syncs(10));
      await Promise.all(range(10).map(() => pool.query(sql, params)));
      assert.deepEqual(trips(), syncs(10), 'in the same tick');
    });
  }

  test("reset 'changes' sends nothing after a policy that reads a setting", async (t) => {
    const { pool, trips } = await counting(t, db.cluster.app ?? {});
    const read = () => pool.query('SELECT * FROM tenants');
    for (const _ of range(2)) await read();
    trips();
    for (const _ of range(10)) assert.equal((await read()).length, 0);
    assert.deepEqual(trips(), syncs(10));
  });

  /** What is over with its transaction. @type {[title: string, sql: string, params?: unknown[]][]} */
  const LOCAL = [
    ['SET LOCAL', "SET LOCAL work_mem = '7MB'"],
    ['SET LOCAL of what the server reports', "SET LOCAL TimeZone = 'Asia/Tokyo'"],
    ['SET LOCAL ROLE', 'SET LOCAL ROLE app'],
    ['a local set_config', "SELECT set_config('app.tenant', 'red', true)"],
    ['a local set_config of a parameter', "SELECT set_config('app.tenant', $1, true)", ['red']],
    ['a local set_config of what the server reports', "SELECT set_config('TimeZone', 'Asia/Tokyo', true)"],
    ['SET TRANSACTION', 'SET TRANSACTION READ ONLY'],
    ['SET CONSTRAINTS', 'SET CONSTRAINTS ALL IMMEDIATE'],
  ];
  for (const [title, sql, params] of LOCAL) {
    test(`reset 'changes' sends nothing after ${title} in a transaction`, async (t) => {
      const { pool, trips } = await counting(t);
      const run = () =>
        pool.transaction(async (/** @type {any} */ tx) => {
          await tx.query(sql, params);
          await tx.query('SELECT $1::int AS v', [1]);
        });
      for (const _ of range(2)) await run();
      await pool.query('SELECT 1');
      trips();
      for (const _ of range(3)) await run();
      await pool.query('SELECT 1');
      const each = ['BEGIN', 'Sync', 'Sync', 'COMMIT'];
      assert.deepEqual(trips(), [...each, ...each, ...each, 'Sync']);
    });
  }

  test("reset 'changes' sends nothing after batch() and transaction() of harmless statements", async (t) => {
    const { pool, trips } = await counting(t);
    const statements = HARMLESS.filter(([title]) => /SELECT/.test(title)).map(([, sql, params]) => [sql, params]);
    const run = async () => {
      await pool.batch(statements, { transaction: true });
      await pool.transaction(async (/** @type {any} */ tx) => {
        for (const [sql, params] of statements) await tx.query(sql, params);
      });
      await pool.query('SELECT 1');
    };
    for (const _ of range(2)) await run();
    trips();
    await run();
    const other = trips().filter((trip) => trip !== 'Sync');
    assert.deepEqual(other, ['BEGIN', 'COMMIT', 'BEGIN', 'COMMIT']);
  });

  /** What leaves a changed session. @type {[title: string, sql: string, params?: unknown[]][]} */
  const LEAVING = [
    ['SET', "SET work_mem = '7MB'"],
    ['set_config of a custom setting', "SELECT set_config('app.tenant', 'red', false)"],
    ['set_config of work_mem', "SELECT set_config('work_mem', '7MB', false)"],
    ['set_config of what the server reports', "SELECT set_config('TimeZone', 'Asia/Tokyo', false)"],
    ['set_config of parameters', 'SELECT set_config($1, $2, false)', ['app.tenant', 'red']],
    ['a DO block that sets', "DO $$ BEGIN SET app.tenant = 'red'; END $$"],
  ];
  for (const [title, sql, params] of LEAVING) {
    test(`reset 'changes' sends one message after ${title}, and none after the statements that follow`, async (t) => {
      const { pool, trips } = await counting(t);
      const run = async () => {
        await pool.query(sql, params);
        for (const _ of range(5)) await pool.query('SELECT * FROM items WHERE id = $1', [7]);
      };
      for (const _ of range(2)) await run();
      trips();
      await run();
      const sent = trips();
      assert.equal(sent.length, 1 + 5 + 1, String(sent));
    });

    test(`reset 'changes' sends one message after a transaction with ${title} in it`, async (t) => {
      const { pool, trips } = await counting(t);
      const run = async () => {
        await pool.transaction(async (/** @type {any} */ tx) => {
          for (const _ of range(3)) await tx.query(sql, params);
        });
        for (const _ of range(5)) await pool.query('SELECT * FROM items WHERE id = $1', [7]);
      };
      for (const _ of range(2)) await run();
      trips();
      await run();
      const sent = trips();
      assert.deepEqual(sent.slice(0, 5), ['BEGIN', 'Sync', 'Sync', 'Sync', 'COMMIT']);
      assert.equal(sent.length, 5 + 5 + 1, String(sent));
    });
  }
});
