'use strict';

// `hyperiondb-client leases`: who holds which sessions under a lease, what has expired, and its end.

const assert = require('node:assert/strict');
const { stripVTControlCharacters } = require('node:util');
const { createLease } = require('../../client.js');
const { readArguments, UsageError } = require('../../lib/cli/arguments.js');
const { pageOf } = require('../../lib/cli/leases-page.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { ESC, painted, reaching, run } = require('../support/command.js');
const { ownCluster, range, test, until, useCluster } = require('../support/helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */

const SECRET = 'the coordination secret of a test';
const ANOTHER = 'a coordination secret of others';

// --- arguments

for (const [args, expected] of /** @type {[string[], object][]} */ ([
  [['leases'], { command: 'leases', pass: 'look', service: undefined, minIdleSec: undefined, timeoutMs: 5_000 }],
  [['leases', '--service', 'shop', '--json'], { service: 'shop', json: true }],
  [['leases', '--dry-run', '--role', 'app'], { pass: 'rehearse', role: 'app' }],
  [['leases', '--reap', '--min-idle=0'], { pass: 'reap', minIdleSec: 0 }],
])) {
  test(`cli leases arguments: ${args.join(' ')}`, () => {
    const read = /** @type {any} */ (readArguments(args));
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(read[name], value, name);
  });
}

for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
  [['leases', '--reap', '--dry-run'], /--dry-run changes nothing: leave out --reap/],
  [['leases', '--min-idle', '5'], /--min-idle is for --dry-run and --reap/],
  [['leases', '--role', 'app'], /--role is for --dry-run and --reap/],
  [['leases', '--reap', '--min-idle', '-1'], /--min-idle needs a value/],
  [['leases', '--reap', '--min-idle', '1.5'], /--min-idle must be an integer from 0/],
  [['status', '--reap'], /--reap is an option of leases alone/],
  [['leases', '--secret', 's3cret'], /--secret: .* set HYPERION_COORDINATION_SECRET$/],
  [['leases', '--coordination-secret=s3cret'], /--coordination-secret: .* set HYPERION_COORDINATION_SECRET$/],
  [['status', '--coordinationSecret', 's3cret'], /--coordinationSecret: .* set HYPERION_COORDINATION_SECRET$/],
])) {
  test(`cli leases arguments are refused: ${args.join(' ')}`, () => {
    assert.throws(
      () => readArguments(args),
      (/** @type {Error} */ error) =>
        error instanceof UsageError && message.test(error.message) && !error.message.includes('s3cret'),
    );
  });
}

// --- text

/** @param {object} [fields] @returns {any} */
const session = (fields) => ({
  pid: 7,
  role: 'app',
  database: 'shop',
  state: 'idle',
  stateMs: 8_000,
  service: 'checkout',
  instance: 'aZ09_-xQ',
  leftMs: 61_000,
  signature: 'valid',
  ...fields,
});
/** @param {any[]} sessions @param {{ without?: number } & Record<string, any>} [more] @returns {any} */
const report = (sessions, { without = 0, ...more } = {}) => ({
  node: 'db1:5432',
  error: null,
  look: {
    nodeRole: 'primary',
    room: 97,
    reserved: 3,
    used: sessions.length + without + 1,
    leased: sessions.length,
    sessions,
  },
  endable: [],
  ended: [],
  passes: 0,
  problem: null,
  ...more,
});
const LOOK = /** @type {const} */ ({ checked: true, pass: 'look' });

test('cli leases page: sessions by service and instance, those that expired first come first', () => {
  const sessions = [
    session(),
    session({ leftMs: 88_000, state: 'active', stateMs: 100 }),
    session({ instance: 'Qm9vZ2xl', leftMs: -420_000, stateMs: 480_000 }),
    session({ instance: 'bQ81k2Lm', leftMs: 500, state: 'idle in transaction (aborted)' }),
    session({ service: 'api', instance: 'cccccccc', leftMs: -1_000, signature: 'foreign' }),
  ];
  assert.deepEqual(pageOf([report(sessions, { without: 1 })], LOOK, false), [
    'db1:5432, primary: 7 of 97 connections in use (3 more are reserved)',
    '  5 with a lease, 1 without, and this command',
    '',
    'checkout (role app, database shop): 4 sessions of 3 instances, 1 expired',
    '  instance  sessions  idle  active  in tx  lease ends          longest idle',
    '  Qm9vZ2xl         1     1       0      0  7 min ago                  8 min',
    '  bQ81k2Lm         1     0       0      1  in 1 s                         -',
    '  aZ09_-xQ         2     1       1      0  in 61 s .. in 88 s           8 s',
    '',
    'api (role app, database shop, another secret): 1 session',
    '  instance  sessions  idle  active  in tx  lease ends  longest idle',
    '  cccccccc         1     1       0      0  1 s ago              8 s',
    '',
    'One lease has expired: --dry-run lists what --reap would end.',
  ]);
});

test('cli leases page: of many instances the rest is summed up, and the page is no wider than 80 columns', () => {
  const many = range(81).map((i) =>
    session({ instance: `instance${i}`, leftMs: (i - 40) * 2_000, stateMs: i * 60_000 }),
  );
  const lines = pageOf([report(many.map((one) => ({ ...one, service: 'a-service-12345678ab' })))], LOOK, false);
  assert.ok(lines.length < 24, `${lines.length} lines`);
  assert.match(lines[3], /^a-service-12345678ab \(role app, database shop\): 81 sessions, 40 expired$/);
  assert.match(lines[17], /^ {2}69 more +69 +69 +0 +0 {2}56 s ago \.\. in 80 s +80 min$/);
  assert.deepEqual(
    lines.filter((line) => line.length > 80),
    [],
  );
});

test('cli leases page: only a full server, expired leases and failures are coloured', () => {
  const silent = { node: 'db2:5432', error: 'Connection\nrefused', look: null };
  const reports = [
    report([session({ leftMs: -1 })], { without: 80 }),
    report([session()]),
    { ...report([]), ...silent },
  ];
  const lines = pageOf(reports, LOOK, true);
  assert.ok(lines[0].includes(`: ${painted('82 of 97 connections in use', 31)} (`), lines[0]);
  assert.ok(lines.some((line) => line.endsWith(`, ${painted('1 expired', 33)}`)));
  assert.ok(lines.includes(`db2:5432: ${painted('no answer: Connection refused', 31)}`));
  assert.equal(lines.filter((line) => line.includes('\x1b')).length, 3);
  assert.equal(lines.at(-1), 'Not looked at: db2:5432.');
  assert.deepEqual(lines.map(stripVTControlCharacters), pageOf(reports, LOOK, false));
});

test('cli leases page: where no node has answered, nothing is said of leases', () => {
  const silent = { node: 'db2:5432', error: 'no answer', look: null };
  assert.deepEqual(pageOf([{ ...report([]), ...silent }], LOOK, false).slice(1), ['', 'Not looked at: db2:5432.']);
  assert.equal(pageOf([report([])], LOOK, false)[1], '  only this command');
});

test('cli leases page: what this role may not see is said, with the GRANT that helps', () => {
  const lines = pageOf([report([session({ state: null, stateMs: null })])], { checked: false, pass: 'look' }, false);
  assert.equal(lines[5], '  aZ09_-xQ         1     -       -      -  in 61 s                -');
  assert.deepEqual(lines.slice(-3), [
    'No lease has expired.',
    'Signatures were not checked: HYPERION_COORDINATION_SECRET is not set.',
    'What sessions of app do is hidden: GRANT pg_read_all_stats TO the role that looks.',
  ]);
});

test('cli leases page: a text of a server cannot steer the terminal', () => {
  const lines = pageOf([report([session({ role: 'a\x1b[2Jb', database: 'c\nd' })])], LOOK, true);
  assert.deepEqual(
    lines.filter((line) => line.includes(ESC) || line.includes('\n')),
    [],
  );
});

// --- with a cluster

const db = useCluster({ nodes: 2 });

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
const leases = (args, env) =>
  run(['leases', '--hosts', db.cluster.hosts.join(), ...args], {
    ...reaching(db),
    HYPERION_COORDINATION_SECRET: SECRET,
    ...env,
  });

/** @param {string} serviceName @param {number} seconds until it expires @param {string} [secret] */
const lease = (serviceName, seconds, secret = SECRET) =>
  createLease({ secret, serviceName, expiresAt: Date.now() + seconds * 1000 });

/**
 * A session of this name. Resolves with the pid.
 * @param {TestContext} t
 * @param {string} applicationName
 * @param {{ statement?: string } & Record<string, unknown>} [options]
 */
async function opened(t, applicationName, { statement, ...options } = {}) {
  const pool = db.pool(t, { poolSize: 1, monitor: false, applicationName, ...options });
  const pid = await pool.value('SELECT pg_backend_pid()');
  if (statement !== undefined) pool.query(statement).catch(() => {});
  return pid;
}

/** The pids that are left of these. @param {number[]} pids @returns {Promise<number[]>} */
async function left(pids) {
  const rows = await db.sql('SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1) ORDER BY pid', [pids]);
  return rows.map((/** @type {{ pid: number }} */ { pid }) => pid);
}

test('cli leases without the secret shows the leases unverified, and refuses --dry-run and --reap by name', async (t) => {
  await opened(t, lease('unverified', 50));
  const none = { HYPERION_COORDINATION_SECRET: '' };
  const { code, err, lines } = await leases(['--service', 'unverified'], none);
  assert.deepEqual({ code, err }, { code: 0, err: '' });
  assert.match(lines[3], /^unverified \(role \w+, database \w+\): 1 session$/);
  assert.equal(lines.at(-1), 'Signatures were not checked: HYPERION_COORDINATION_SECRET is not set.');
  for (const option of ['--dry-run', '--reap']) {
    const refused = await leases([option], none);
    assert.deepEqual([refused.code, refused.out], [2, '']);
    assert.match(
      refused.err,
      new RegExp(`^hyperiondb-client: ${option} needs the .*: set HYPERION_COORDINATION_SECRET\n`),
    );
  }
});

test('cli leases: a secret that is too short is refused, and never shown', async () => {
  for (const secret of ['s3cret', `${SECRET}\ns3cret`]) {
    const { code, out, err } = await leases([], { HYPERION_COORDINATION_SECRET: secret });
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^hyperiondb-client: HYPERION_COORDINATION_SECRET\[\d\] must have at least 16 bytes\n/);
    assert.doesNotMatch(err, /s3cret/);
  }
});

test('cli leases: of several secrets, one on each line, each verifies', async (t) => {
  await opened(t, lease('rotated', 50, ANOTHER));
  const both = { HYPERION_COORDINATION_SECRET: `${SECRET}\r\n${ANOTHER}\n` };
  const signature = async (/** @type {NodeJS.ProcessEnv} */ env) =>
    JSON.parse((await leases(['--service', 'rotated', '--json'], env)).out).nodes[0].look.sessions[0].signature;
  assert.equal(await signature(both), 'valid');
  assert.equal(await signature({}), 'foreign');
});

test('cli leases looks at every node, and names one that does not answer', async (t) => {
  const [primary, standby] = db.cluster.hosts;
  await opened(t, lease('on-the-standby', 50), { hosts: standby, mode: 'any' });
  const silent = `127.0.0.1:${await freePort()}`;
  const { code, lines } = await run(
    ['leases', '--hosts', [primary, standby, silent].join(), '--service', 'on-the-standby', '--timeout', '1000'],
    { ...reaching(db), HYPERION_COORDINATION_SECRET: SECRET },
  );
  assert.equal(code, 1);
  assert.match(
    lines[0],
    new RegExp(`^${primary}, primary: \\d+ of \\d+ connections in use \\(3 more are reserved\\)$`),
  );
  const second = lines.findIndex((line) => line.startsWith(`${standby}, standby: `));
  assert.match(lines[second + 1], /^ {2}1 with a lease, \d+ without, and this command$/);
  assert.match(lines[second + 3], /^on-the-standby /);
  assert.ok(
    lines.some((line) => line.startsWith(`${silent}: no answer: Connection refused`)),
    lines.join('\n'),
  );
  assert.equal(lines.at(-1), `Not looked at: ${silent}.`);
});

test('cli leases --reap ends what has expired on every node, in several passes, and nothing else; --dry-run lists it before', async (t) => {
  const [primary, standby] = db.cluster.hosts;
  const dead = [await opened(t, lease('shop', -5), { hosts: standby, mode: 'any' })];
  for (const service of ['shop', 'shop', 'shop.api']) dead.push(await opened(t, lease(service, -9)));
  const spared = [
    await opened(t, lease('shop', 50)),
    await opened(t, lease('shop', -9, ANOTHER)),
    await opened(t, lease('shop', -9).replace('s=shop', 's=shoq')),
    await opened(t, 'shop'),
    await opened(t, lease('shop', -9), { statement: 'SELECT pg_sleep(600)' }),
    await opened(t, lease('shop', -9), { database: 'template1' }),
  ];
  const holder = await db.pool(t, { poolSize: 1, monitor: false, applicationName: lease('shop', -9) }).begin();
  spared.push((await holder.query('SELECT pg_backend_pid() AS pid'))[0].pid);

  const young = await leases(['--dry-run']);
  assert.match(young.out, /\n {2}A pass would end no session\.\n[\s\S]*\n0 sessions would be ended\.\n/);

  const dry = await leases(['--dry-run', '--min-idle', '0']);
  assert.equal(dry.code, 0, dry.err);
  for (const pid of dead)
    assert.match(dry.out, new RegExp(`^ *${pid}  shop(_api)? +[\\w-]{8} +\\d+ s +\\d+ s ago$`, 'm'));
  assert.match(dry.out, /\n4 sessions would be ended\.\nSpared, although the lease has expired: 3 /);
  assert.deepEqual(
    await left(dead),
    dead.slice(1).sort((a, b) => a - b),
  );

  const { code, out } = await leases(['--reap', '--min-idle', '0', '--json']);
  const [here, there] = JSON.parse(out).nodes;
  const pids = (/** @type {{ ended: { pid: number }[] }} */ { ended }) =>
    ended.map(({ pid }) => pid).sort((a, b) => a - b);
  assert.deepEqual([code, here.node, there.node], [0, primary, standby]);
  assert.deepEqual([pids(here), pids(there)], [dead.slice(1).sort((a, b) => a - b), dead.slice(0, 1)]);
  assert.ok(here.passes >= 2, `${here.passes} passes`);
  await until('the ended sessions are gone', async () => (await left(dead)).length === 0);
  assert.deepEqual(
    await left(spared),
    spared.sort((a, b) => a - b),
  );
  assert.match(
    (await leases(['--reap', '--min-idle', '0'])).out,
    /\n0 sessions ended\.\nSpared, although the lease has expired: 3 /,
  );
});

test('cli leases --reap --service ends the sessions of that service alone', async (t) => {
  const pids = [await opened(t, lease('one', -9)), await opened(t, lease('two', -9))];
  const { code, out } = await leases(['--reap', '--min-idle', '0', '--service', 'one']);
  assert.equal(code, 0);
  assert.match(out, /\n1 session ended\./);
  await until('the session is gone', async () => (await left(pids)).length === 1);
  assert.deepEqual(await left(pids), [pids[1]]);
});

test('cli leases --reap --role ends the sessions of another role, if the login may; else it says which GRANT helps', async (t) => {
  await db.sql(`DROP ROLE IF EXISTS frozen, ops`);
  await db.sql(`CREATE ROLE frozen LOGIN PASSWORD 'frozen'`);
  await db.sql(`CREATE ROLE ops LOGIN PASSWORD 'ops'`);
  const login = { user: 'frozen', password: 'frozen' };
  const pid = await opened(t, lease('of-a-role', -9), login);
  const ops = { PGUSER: 'ops', PGPASSWORD: 'ops' };
  const args = ['--reap', '--min-idle', '0', '--service', 'of-a-role', '--role'];

  const own = await leases(args.slice(0, -1), ops);
  assert.match(own.out, /\n0 sessions ended\.\n/);
  assert.match(own.out, /What sessions of frozen do is hidden: GRANT pg_read_all_stats TO/);
  const unknown = await leases([...args, 'nobody'], ops);
  assert.equal(unknown.code, 1);
  assert.match(unknown.out, /there is no role nobody/);

  await db.sql('GRANT pg_read_all_stats TO ops');
  const refused = await leases([...args, 'frozen'], ops);
  assert.equal(refused.code, 1);
  assert.match(refused.out, /a pass has failed: .*: GRANT pg_signal_backend, or the role of the sessions, TO/);
  assert.deepEqual(await left([pid]), [pid]);

  await db.sql('GRANT pg_signal_backend TO ops');
  const { code, out } = await leases([...args, 'frozen'], ops);
  assert.equal(code, 0, out);
  assert.match(out, /\n1 session ended\./);
});

test('cli leases --reap waits for the pass of another process, and says so when that does not end', async (t) => {
  const pid = await opened(t, lease('locked', -9));
  const other = await db.pool(t, { poolSize: 1 }).begin();
  await other.query(`SELECT pg_advisory_xact_lock(1346847057, hashtext('locked'))`);
  const { code, out } = await leases(['--reap', '--min-idle', '0', '--service', 'locked', '--timeout', '300']);
  assert.equal(code, 1);
  assert.match(out, /another process runs passes of locked: nothing more was ended/);
  assert.deepEqual(await left([pid]), [pid]);
});

test('cli leases on a server without a free connection: a role with reserved connections sees who holds them, and reaps', async (t) => {
  db.needsVersion(16, 'reserved_connections');
  const own = await ownCluster(t, { nodes: 1, settings: { max_connections: 20, reserved_connections: 2 } });
  const as = (/** @type {string} */ user) => ({ PGUSER: user, PGPASSWORD: user, PGDATABASE: own.cluster.database });
  const look = (/** @type {string[]} */ args, /** @type {string} */ user) =>
    run(['leases', '--hosts', own.cluster.hosts.join(), '--timeout', '500', ...args], {
      ...as(user),
      HYPERION_COORDINATION_SECRET: SECRET,
    });
  for (const role of ['frozen', 'ops']) await own.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`);
  await own.sql('GRANT pg_use_reserved_connections, pg_read_all_stats, pg_signal_backend TO ops');
  const options = { user: 'frozen', password: 'frozen', acquireTimeoutMs: 300, applicationName: lease('full', -9) };
  const pools = range(20).map(() => own.pool(t, { poolSize: 1, monitor: false, ...options }));
  const opened = await Promise.allSettled(pools.map((pool) => pool.query('SELECT 1')));
  const held = opened.filter(({ status }) => status === 'fulfilled').length;
  assert.ok(held < 20, 'the server has refused some');
  const refused = await look([], 'frozen');
  assert.equal(refused.code, 1);
  assert.match(refused.out, /no answer: .*53300/);
  const args = ['--role', 'frozen', '--reap', '--min-idle', '0'];
  const { code, out } = await look(args, 'ops');
  assert.equal(code, 0, out);
  assert.match(out, new RegExp(`\\n${held} sessions ended\\.`));
  assert.equal((await look([], 'frozen')).code, 0);
});
