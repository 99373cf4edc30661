'use strict';

// The option `reset`: no setting that a statement left in its session reaches the next user of the connection, whichever way it was
// set, and whether or not the server reports it. Each pool has one connection, so that the next user has the same one.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { test, useCluster } = require('../support/helpers');
const { changesOf, loginTo, makeDatabase, settingsOf } = require('../support/settings');
const { COMMANDS, LEAVING, OF_EACH_SETTING, TAKEN_BACK } = require('../support/settings.statements');

/** @typedef {import('../support/settings').Settings} Settings */
/** @typedef {import('../support/settings.statements').Row} Row */
/** @typedef {import('../support/settings.statements').More} More */

const db = useCluster({ nodes: 1 });
before(async () => {
  await db.started;
  await makeDatabase(db.cluster);
});

/**
 * A pool of one connection on the database with the objects, ready for the statement of a row, and the settings of its session.
 * @param {import('node:test').TestContext} t
 * @param {More} more
 * @param {Record<string, unknown>} [options]
 */
async function opened(t, { isPlainRole, before: ahead, since = 0 }, options) {
  db.needsVersion(since, 'older servers do not have this statement');
  const pool = db.pool(t, { poolSize: 1, ...loginTo(db, { isPlainRole }), ...options });
  if (ahead !== undefined) await pool.query(ahead);
  return { pool, base: await settingsOf(pool) };
}

/** @param {Row} row @param {any} runner */
const run = ([, sql, { params } = {}], runner) => runner.query(sql, params);

/** The rows that this server has, and that concern a superuser. */
const rowsOfSuperuser = () =>
  LEAVING.filter(([, , more]) => !more?.isPlainRole && (more?.since ?? 0) <= db.cluster.version);

/** @typedef {(pool: any, run: (runner: any) => Promise<unknown>) => Promise<Settings[]>} NextUser what it sees */

/** Users that come when the statement has ended. @type {Record<string, NextUser>} */
const LATER = {
  'the next statement': async (pool, leave) => {
    await leave(pool);
    return [await settingsOf(pool), await settingsOf(pool)];
  },
  'the next transaction': async (pool, leave) => {
    await leave(pool);
    return [await pool.transaction(settingsOf)];
  },
  'the statement after its transaction': async (pool, leave) => {
    await pool.transaction(leave);
    return [await settingsOf(pool)];
  },
  'the transaction after its transaction': async (pool, leave) => {
    await pool.transaction(leave);
    return [await pool.transaction(settingsOf)];
  },
};

/** Users whose work is sent with the statement, on the same connection. @type {Record<string, NextUser>} */
const AT_ONCE = {
  'statements sent in the same tick': async (pool, leave) => {
    const [, ...seen] = await Promise.all([leave(pool), settingsOf(pool), settingsOf(pool)]);
    return seen;
  },
  // The connection knows the statement now, and need not ask the server to describe it.
  'statements sent in the same tick, again': async (pool, leave) => {
    const [ahead, , behind] = await Promise.all([settingsOf(pool), leave(pool), settingsOf(pool)]);
    return [ahead, behind];
  },
  'a transaction sent in the same tick': async (pool, leave) => {
    const [, seen] = await Promise.all([leave(pool), pool.transaction(settingsOf)]);
    return [seen];
  },
};

/**
 * What the users of one connection see of a row's statement that they should not see.
 * @param {import('node:test').TestContext} t
 * @param {Row} row
 * @param {Record<string, NextUser>} users
 */
async function leaksTo(t, row, users) {
  const [, , more = {}] = row;
  const { pool, base } = await opened(t, more);
  /** @type {Record<string, string[]>} */
  const leaks = {};
  for (const [user, see] of Object.entries(users)) {
    if (more.isOutside && user.endsWith('its transaction')) continue;
    const seen = await see(pool, (runner) => run(row, runner));
    const changes = seen.flatMap((settings) => changesOf(base, settings));
    if (changes.length > 0) leaks[user] = changes;
    if (more.after !== undefined) await pool.query(more.after);
  }
  return leaks;
}

describe("reset 'changes': what a statement has set is gone for the next user", () => {
  for (const row of LEAVING) {
    test(`reset 'changes': the next user does not see what was left by ${row[0]}`, async (t) => {
      assert.deepEqual({ ...(await leaksTo(t, row, LATER)), ...(await leaksTo(t, row, AT_ONCE)) }, {});
    });
  }

  test("reset 'changes': a transaction sees what it has set, until it ends", async (t) => {
    const { pool, base } = await opened(t, {});
    const unseen = [];
    for (const row of rowsOfSuperuser().filter(([, , more]) => !more?.isOutside && !more?.isAtCommit)) {
      const [title, , { before: ahead } = {}] = row;
      // PostgreSQL itself takes back what is rolled back.
      const tx = await pool.begin();
      if (ahead !== undefined) await tx.query(ahead);
      await run(row, tx);
      if (changesOf(base, await settingsOf(tx)).length === 0) unseen.push(title);
      await tx.rollback();
      assert.deepEqual(changesOf(base, await settingsOf(pool)), [], title);
      if (/PREPARE/.test(ahead ?? '')) await pool.query('DEALLOCATE leaking');
    }
    assert.deepEqual(unseen, []);
  });
});

describe("reset 'none': what a statement has set stays", () => {
  test("reset 'none': the next user has what any statement has left", async (t) => {
    const { pool, base } = await opened(t, {}, { reset: 'none' });
    const unseen = [];
    for (const row of rowsOfSuperuser()) {
      const [title, , { before: ahead, after } = {}] = row;
      if (ahead !== undefined) await pool.query(ahead);
      await run(row, pool);
      if (changesOf(base, await settingsOf(pool)).length === 0) unseen.push(title);
      for (const sql of ['SET SESSION AUTHORIZATION DEFAULT', 'RESET ALL', after ?? '']) await pool.query(sql);
      assert.deepEqual(changesOf(base, await settingsOf(pool)), [], title);
    }
    assert.deepEqual(unseen, []);
  });

  for (const row of TAKEN_BACK) {
    const [title, , more = {}] = row;

    test(`reset 'none': PostgreSQL itself takes back, or does not set: ${title}`, async (t) => {
      const { pool, base } = await opened(t, more, { reset: 'none', options: { work_mem: '9MB' } });
      await run(row, pool);
      assert.deepEqual(changesOf(base, await settingsOf(pool)), []);
    });
  }
});

describe("reset 'discard': what a statement has set is gone for the next user", () => {
  test("reset 'discard': the next statement and the next transaction see nothing of set_config and of commands", async (t) => {
    const wrong = [];
    const { pool, base } = await opened(t, {}, { reset: 'discard' });
    for (const row of [...OF_EACH_SETTING, ...COMMANDS]) {
      const [title, , { before: ahead } = {}] = row;
      if (ahead !== undefined) await pool.query(ahead);
      await run(row, pool);
      const changes = [await settingsOf(pool), await pool.transaction(settingsOf)].flatMap((settings) =>
        changesOf(base, settings),
      );
      if (changes.length > 0) wrong.push(`${title}: ${changes}`);
    }
    assert.deepEqual(wrong, []);
  });
});
