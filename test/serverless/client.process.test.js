'use strict';

// ServerlessClient and its process: a process ends by itself, whatever its client has open, and no output has the secret.

const assert = require('node:assert/strict');
const path = require('node:path');
const util = require('node:util');
const { describe } = require('node:test');
const { ServerlessClient } = require('../../exports/serverless');
const { failureOf, inChild, poolFor, printedBy, test, until, useCluster } = require('../support/helpers.js');
const { SECRET, clientFor, notingHooks, overFakePool } = require('./clients.js');

const db = useCluster({ nodes: 1, synchronous: false });

const SERVERLESS = JSON.stringify(path.join(__dirname, '..', '..', 'exports', 'serverless'));
const PRELUDE = `
  const { coordinationSecret, ...login } = options;
  const { ServerlessClient } = require(${SERVERLESS});
  const client = new ServerlessClient({ ...options, retries: 1, acquireTimeoutMs: 200 });`;
const SETTINGS = { options: { coordinationSecret: SECRET }, killMs: 20_000 };

/** What a process does, and what it prints. @type {[string, string, string[]][]} */
const PROCESSES = [
  ['that has never used its client', "print('done');", ['done']],
  ['whose client is connected', "await client.connect(); print('done');", ['done']],
  [
    'whose client has run queries and transactions',
    `await client.query('SELECT 1');
     await client.transaction((tx) => tx.query('SELECT 2'));
     print('done');`,
    ['done'],
  ],
  [
    'that awaits nothing',
    "client.query('SELECT 1 AS one FROM pg_sleep(0.1)').then(({ rows }) => print(rows));",
    ['[{"one":1}]'],
  ],
  ['that has ended a pass of the reaper', 'print((await client.reap()).locked);', ['true']],
  [
    'whose session was ended by the server',
    `const { rows: [{ pid }] } = await client.query('SELECT pg_backend_pid() AS pid');
     await createPool(login).query('SELECT pg_terminate_backend($1)', [pid]);
     print('done');`,
    ['done'],
  ],
  [
    'whose server is away, when the retries are used up',
    `const lost = new ServerlessClient({ ...options, hosts: '127.0.0.1:1', retries: 1, acquireTimeoutMs: 100 });
     await lost.query('SELECT 1').catch(({ code }) => print(code));
     await lost.connect().catch(({ code }) => print(code));`,
    ['ERR_NO_PRIMARY', 'ERR_NO_PRIMARY'],
  ],
  [
    'that has ended its client',
    `await client.query('SELECT 1');
     await client.clean();
     await client.query('SELECT 1').catch(({ code }) => print(code));`,
    ['ERR_POOL_CLOSED'],
  ],
];

// Several at a time: a process takes most of its time to start.
describe('the end of a process', { concurrency: 4 }, () => {
  for (const [title, code, expected] of PROCESSES) {
    test(`process: one ${title} ends by itself, without an error`, async () => {
      assert.deepEqual(await printedBy(db, `${PRELUDE}${code}`, SETTINGS), expected);
    });
  }

  test('process: in a module, with the import, it is the same', async () => {
    const code = `
      const { ServerlessClient } = await import(require('node:url').pathToFileURL(${SERVERLESS} + '/index.js'));
      const client = new ServerlessClient(options);
      print((await client.query('SELECT 1 AS one')).rows);`;
    assert.deepEqual(await printedBy(db, code, SETTINGS), ['[{"one":1}]']);
  });

  test('process: without a secret leaseMode optional says so once, and the client works without leases', async () => {
    const code = `
      const { ServerlessClient } = require(${SERVERLESS});
      const hooks = { onConnect: () => print('told') };
      for (let i = 0; i < 3; i++) {
        const client = new ServerlessClient({ ...options, leaseMode: 'optional', hooks });
        print((await client.query("SELECT current_setting('application_name') AS name")).rows);
        await client.reap().catch(({ code }) => print(code));
      }`;
    const { code: exitCode, lines, stderr } = await inChild(db, code);
    assert.equal(exitCode, 0);
    assert.deepEqual(lines, Array(3).fill(['[{"name":"hyperiondb-client"}]', 'ERR_NO_LEASE']).flat());
    assert.equal(stderr.match(/HYPERION_NO_LEASE/g)?.length, 1);
  });
});

/** The secret, as it is and in the forms in which it is passed on. */
const FORMS = ['utf8', 'base64', 'base64url', 'hex'].map((encoding) =>
  Buffer.from(SECRET).toString(/** @type {BufferEncoding} */ (encoding)),
);

/** @param {string} text @param {string} what */
function assertNoSecret(text, what) {
  for (const form of FORMS) assert.ok(!text.includes(form), `${what} has the secret`);
}

/** Everything that can be printed of a value. @param {unknown} value */
const printed = (value) =>
  [
    util.inspect(value, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true }),
    util.inspect(value, { depth: Number.POSITIVE_INFINITY, customInspect: false, showHidden: true }),
    util.format('%s %o %j', value, value, value),
    String(/** @type {any} */ (value)?.stack),
  ].join('\n');

describe('the secret', () => {
  test('secret: the client, its results and its errors do not show it', async (t) => {
    const { hooks, told } = notingHooks();
    const client = clientFor(t, db, { hooks, retries: 0, minConnectionIdleTimeSec: 0, leaseTtlMs: 600 });
    const result = await client.query('SELECT 1 AS one');
    const values = [client, result, await client.reap(), await failureOf(client.query('SELECT nothing'))];
    await until('a lease was renewed', () => told.some(([name]) => name === 'onHeartbeat'));
    await client.end();
    values.push(await failureOf(client.query('SELECT 1')), client, told);
    for (const value of values) assertNoSecret(printed(value), printed(value));
    assert.match(util.inspect(client), /hosts: /);
    assert.match(JSON.stringify(client), /"maxSize":1/);
  });

  test('secret: a server that is away, or a wrong password, does not bring it up', async (t) => {
    const { hooks, told } = notingHooks();
    const options = { acquireTimeoutMs: 100, retries: 1, hooks };
    for (const wrong of [{ hosts: '127.0.0.1:1' }, { user: 'nobody', password: 'wrong' }]) {
      const error = await failureOf(clientFor(t, db, { ...options, ...wrong }).query('SELECT 1'));
      assertNoSecret(printed(error), 'the error');
    }
    assert.ok(told.length > 0);
    assertNoSecret(printed(told), 'what hooks are told');
  });

  test('secret: no refusal of an option shows it', () => {
    const given = { coordinationSecret: SECRET };
    for (const wrong of [
      { password: SECRET },
      { coordinationSecret: [SECRET, 5] },
      { coordinationSecret: { secret: SECRET } },
      { coordinatonSecret: SECRET },
      { lease: given },
      { retries: SECRET },
      { hooks: SECRET },
      { leaseMode: [SECRET] },
      { hooks: { onConnect: SECRET } },
    ]) {
      assert.throws(
        () => new ServerlessClient(/** @type {any} */ ({ ...given, ...wrong })),
        (error) => {
          assertNoSecret(printed(error), 'the refusal');
          return true;
        },
      );
    }
  });

  test('secret: the server never gets it', async (t) => {
    const client = clientFor(t, db);
    await client.query('SELECT 1');
    const admin = poolFor(t, db.options());
    assertNoSecret(JSON.stringify(await admin.query('SELECT * FROM pg_stat_activity')), 'pg_stat_activity');
  });

  test('secret: a process that prints its client, or ends by an error that has it, does not print it', async () => {
    const code = `${PRELUDE}
      await client.query('SELECT 1');
      console.log(client, [client], { client });
      console.error('%o', client);
      console.dir(client, { depth: null, showHidden: true });
      throw Object.assign(new Error('mine'), { client });`;
    const { lines, stderr } = await inChild(db, code, SETTINGS);
    assert.match(stderr, /Error: mine/);
    assertNoSecret(lines.join('\n') + stderr, 'the output');
  });

  test('secret: the client keeps nothing of the options that it was given', (t) => {
    const { client } = overFakePool(t);
    assert.deepEqual(Reflect.ownKeys(client), []);
  });
});
