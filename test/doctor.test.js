'use strict';

// `doctor`: every judgement as a line of a table, the page as a person sees it, and the command against servers, none, and
// without an addon that loads.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { stripVTControlCharacters } = require('node:util');
const { pageOf } = require('../lib/cli/doctor.js');
const judge = require('../lib/cli/findings.js');
const { freePort } = require('./cluster/ports.js');
const { HANG_MS, fact, ownCluster, useCluster } = require('./helpers.js');
const { usePgBouncer } = require('./pgbouncer');

const ROOT = path.join(__dirname, '..');
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^PG|COLOR|^NODE_|^NAPI/.test(name)));

/**
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @param {string} [root] where the package is
 * @returns {Promise<{ code: number | null, out: string, err: string }>}
 */
function doctor(args, env = {}, root = ROOT) {
  const child = spawn(process.execPath, [path.join(root, 'lib', 'cli.js'), 'doctor', ...args], {
    env: { ...ENV, PGPASSWORD: 's3cret', ...env },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), HANG_MS / 2);
  const printed = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    printed.err += text;
  });
  return new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, ...printed });
    });
  });
}

/** @param {any} db @param {string[]} args */
const examined = ({ cluster: { hosts, user, password, database } }, ...args) =>
  doctor(['--hosts', hosts.join(), ...args], { PGUSER: user, PGPASSWORD: password, PGDATABASE: database });

// --- judgements: what was seen, and the findings about it that begin so

const MACHINE = {
  package: '1.2.3',
  node: 'v20.1.0',
  napi: '9',
  platform: 'linux',
  arch: 'x64',
  libc: 'glibc 2.36',
  os: 'Linux 6',
};
const ADDON = {
  target: 'linux-x64-gnu',
  package: 'hyperiondb-client-linux-x64-gnu',
  path: '/a.node',
  bytes: 4_404_019,
  error: null,
};
/** @param {object} [fields] @returns {any} */
const node = (fields) => ({
  host: 'db1',
  port: 5432,
  role: 'primary',
  state: 'up',
  timeline: 3,
  lsn: '0/1',
  latencyMs: 1,
  lagBytes: 0,
  lagMs: 0,
  lastError: null,
  ...fields,
});
const STANDBY = node({ host: 'db2', role: 'standby' });
const SETTINGS = {
  fsync: 'on',
  full_page_writes: 'on',
  idle_session_timeout: '0',
  max_connections: '103',
  superuser_reserved_connections: '3',
  synchronous_commit: 'on',
  synchronous_standby_names: 'ANY 1 (a, b)',
  wal_level: 'replica',
};
/** @param {object} [said] @param {object} [settings] @param {object} [fields] @returns {any} */
const server = (said, settings, fields) => ({
  node: 'db1:5432',
  error: null,
  clock: { aheadMs: 2, exactMs: 1 },
  notices: [],
  ...fields,
  said: {
    version: '17.2',
    versionNumber: 170_002,
    user: 'app',
    isSuperuser: false,
    connectionLimit: -1,
    seesIdentity: true,
    isMonitor: true,
    serverPort: 5432,
    tls: 'TLSv1.3',
    connections: 12,
    walReceiver: null,
    standbys: null,
    settings: { ...SETTINGS, ...settings },
    ...said,
  },
});
/** @param {object} [fields] */
const options = (fields) => ({
  user: 'app',
  database: 'shop',
  hosts: [{ host: 'db1', port: 5432 }],
  ssl: null,
  ...fields,
});
const TLS = { mode: 'verify-full', ca: { system: true }, cert: null, servername: null };
const asked = (/** @type {any[]} */ ...args) => judge.serverFindings(args[0], args[1] ?? node());

for (const [findings, ...expected] of /** @type {[any[], ...string[]][]} */ ([
  [
    judge.machineFindings(MACHINE),
    'ok hyperiondb-client 1.2.3, Node v20.1.0, Node-API 9, linux x64, glibc 2.36 (Linux 6)',
  ],
  [judge.machineFindings({ ...MACHINE, node: 'v18.20.0', libc: null }), 'wrong hyperiondb-client 1.2.3, Node v18.20.0'],
  [judge.addonFindings(ADDON), 'ok native addon /a.node, 4.2 MB'],
  [
    judge.addonFindings({ ...ADDON, path: null, bytes: null, error: 'x' }),
    'wrong there is no native addon for linux-x64-gnu',
  ],
  [
    judge.addonFindings({ ...ADDON, error: 'wrong ELF\nclass' }),
    'wrong the native addon /a.node does not load: wrong ELF class',
  ],

  [judge.optionFindings(options()), 'ok user app, database shop, nodes db1:5432', 'note no TLS: everybody on the way'],
  [judge.optionFindings(options({ ssl: TLS })), 'ok user', "ok TLS verify-full: the system's roots"],
  [
    judge.optionFindings(options({ ssl: { ...TLS, ca: { path: '/ca.pem' }, cert: {}, servername: 'db' } })),
    'ok user',
    'ok TLS verify-full: /ca.pem, with a client certificate, for db',
  ],
  [
    judge.optionFindings(options({ ssl: { ...TLS, mode: 'prefer', ca: null } })),
    'ok',
    'note TLS prefer: the chain is not verified',
  ],
  [
    judge.optionFindings(
      options({
        hosts: [
          { host: 'a', port: 1 },
          { host: 'a', port: 1 },
        ],
      }),
    ),
    'ok',
    'note a:1 is named twice',
    'note',
  ],

  [judge.clusterFindings([node(), STANDBY]), 'ok db1:5432 accepts writes.'],
  [judge.clusterFindings([node()]), 'ok db1:5432 accepts writes.', 'note one node'],
  [judge.clusterFindings([STANDBY, STANDBY]), 'wrong No writable primary: only standbys are up'],
  [judge.clusterFindings([node(), node({ host: 'db9', timeline: 2 })]), 'wrong Split brain: db1:5432 and db9:5432'],
  [
    judge.clusterFindings([node(), { ...STANDBY, timeline: 2 }]),
    'ok',
    'note db2:5432 follows timeline 2, the primary writes 3',
  ],

  [judge.nodeFindings(node()), 'ok primary, timeline 3'],
  [judge.nodeFindings(STANDBY), 'ok standby, timeline 3, behind by 0 B, 0 ms'],
  [judge.nodeFindings({ ...STANDBY, lagMs: 31_000 }), 'wrong standby, timeline 3, behind by 0 B, 31 s'],
  [judge.nodeFindings(node({ state: 'fenced' })), 'wrong primary, timeline 3, fenced'],
  [
    judge.nodeFindings(node({ state: 'down', lastError: 'Connection\nrefused' })),
    'wrong cannot be used: Connection refused',
  ],
  [judge.nodeFindings(node({ role: 'unknown', state: 'down' })), 'wrong cannot be used: nothing is known of it'],

  [
    asked(server()),
    'ok PostgreSQL 17.2, TLSv1.3',
    'ok clock as here, +2 ms (+-1)',
    'ok 12 of 100 connections in use',
    'ok replication is synchronous: ANY 1 (a, b)',
  ],
  [judge.serverFindings(server({}, {}, { error: 'x' }), node()), 'wrong could not be asked: x'],
  [judge.serverFindings(server({}, {}, { error: 'x' }), node({ state: 'down' }))],
  [asked(server({ versionNumber: 120_000 })).slice(0, 1), 'wrong PostgreSQL'],
  [asked(server({ versionNumber: 190_000 })).slice(0, 1), 'note PostgreSQL'],
  [asked(server({ serverPort: null, tls: null })).slice(0, 1), 'ok PostgreSQL 17.2'],
  [asked(server({ tls: null })).slice(0, 1), 'ok PostgreSQL 17.2, no TLS'],
  [asked(server({ serverPort: 6000 })).slice(-1), 'note the server itself listens on port 6000: a pooler'],
  [asked(server({}, {}, { notices: ['a pooler', 'a pooler'] })).slice(4), 'note a pooler'],
  [
    asked(server({}, {}, { clock: { aheadMs: -1500, exactMs: 1 } })).slice(1, 2),
    "wrong its clock is 1500 ms behind this machine's",
  ],
  [asked(server({}, {}, { clock: { aheadMs: 1500, exactMs: 600 } })).slice(1, 2), 'ok clock as here, +1500 ms (+-600)'],
  [
    asked(server({ connections: 80, connectionLimit: 7 })).slice(2, 3),
    'wrong 80 of 100 connections in use, 7 for this role',
  ],
  [asked(server({}, { reserved_connections: '50' })).slice(2, 3), 'ok 12 of 50 connections in use'],
  [asked(server({ isSuperuser: true })).slice(3, 4), 'note "app" is a superuser'],
  [asked(server({ seesIdentity: false })).slice(3, 4), 'note "app" may not execute pg_control_system()'],
  [asked(server({ isMonitor: false })).slice(3, 4), 'note "app" is not in pg_monitor'],
  [asked(server({}, { fsync: 'off' })).slice(3, 4), 'wrong fsync is off'],
  [asked(server({}, { full_page_writes: 'off' })).slice(3, 4), 'wrong full_page_writes is off'],
  [asked(server({}, { wal_level: 'minimal' })).slice(3, 4), 'wrong wal_level is minimal'],
  [asked(server({}, { synchronous_commit: 'off' })).slice(3, 4), 'note synchronous_commit is off'],
  [asked(server({}, { synchronous_commit: 'local' })).slice(3, 4), 'note synchronous_commit is local'],
  [asked(server({}, { synchronous_standby_names: '' })).slice(3), 'note replication is asynchronous'],
  [asked(server({ standbys: 'a sync' })).slice(4), 'ok followed by a sync'],
  [asked(server({}, { idle_session_timeout: '60000' })).slice(4), 'note idle_session_timeout is 60 s'],
  [asked(server({ walReceiver: 'streaming' }), STANDBY).slice(3, 4)],
  [asked(server(), STANDBY).slice(3), 'wrong receives no WAL (no receiver)'],
  [asked(server({ isMonitor: false }), STANDBY).slice(4)],

  [judge.togetherFindings([server(), server()])],
  [judge.togetherFindings([server(), server({ version: '17.1' })]), 'note PostgreSQL 17.2 and 17.1'],
  [
    judge.togetherFindings([server(), server({ version: '16.1', versionNumber: 160_001 })]),
    'wrong PostgreSQL 17.2 and 16.1',
  ],
  [
    judge.togetherFindings([
      server({}, {}, { node: 'a', clock: { aheadMs: -900, exactMs: 1 } }),
      server({}, {}, { node: 'b', clock: { aheadMs: 900, exactMs: 1 } }),
    ]),
    'wrong the clock of b is 1800 ms ahead of that of a',
  ],
])) {
  fact(`judged: ${expected.join('; ') || 'nothing to say'}`, () => {
    const said = findings.map(({ level, text }) => `${level} ${text}`);
    assert.equal(said.length, expected.length, said.join('\n'));
    for (const [index, text] of expected.entries())
      assert.ok(said[index].startsWith(text), `${said[index]}, not ${text}`);
    for (const { subject, text } of findings) assert.ok(subject && !/undefined|null|NaN/.test(text), text);
  });
}

fact('judged: each reason for which a node cannot be used has its cure', () => {
  for (const [reason, cure] of /** @type {[string, RegExp | undefined][]} */ ([
    ['Connection refused (os error 111)', /listen_addresses/],
    ['password authentication failed for user "app" (28P01)', /PGPASSWORD/],
    ['no pg_hba.conf entry for host "::1" (28000)', /pg_hba\.conf/],
    ['database "shop" does not exist (3D000)', /--database/],
    ['no answer within 500 ms', /firewall/],
    ['failed to lookup address information: Name or service not known', /DNS/],
    ['sorry, too many clients already (53300)', /max_connections/],
    ['the database system is starting up (57P03)', /wait/],
    ['the certificate "CN=x" is not valid for the name', /--sslmode/],
    ['is a deposed primary: its timeline is 1', /pg_rewind/],
    ['something else', undefined],
  ])) {
    const found = judge.cureOf(reason);
    if (cure === undefined) assert.equal(found, undefined);
    else assert.match(String(found), cure, reason);
  }
});

// --- the page

fact('the page: a paragraph a subject, cures below, no line wider than the terminal', () => {
  const findings = [
    ...judge.machineFindings(MACHINE),
    ...judge.addonFindings({ ...ADDON, path: null, bytes: null, error: 'x' }),
    ...judge.nodeFindings(node({ state: 'down', lastError: `x${'y'.repeat(200)}` })),
  ];
  for (const columns of [40, 80, 200]) {
    for (const line of pageOf(findings, { columns, colors: true })) {
      assert.ok(stripVTControlCharacters(line).length <= Math.min(columns, 100), line);
    }
  }
  assert.deepEqual(pageOf(findings.slice(0, 2), { columns: 80, colors: false }), [
    'this machine',
    '  ok     hyperiondb-client 1.2.3, Node v20.1.0, Node-API 9, linux x64, glibc',
    '         2.36 (Linux 6)',
    '  WRONG  there is no native addon for linux-x64-gnu',
    '         -> npm install hyperiondb-client-linux-x64-gnu. It is missing after npm',
    '            install --omit=optional, with a lock file or a node_modules of',
    '            another platform, and where there is no package for this one',
    '',
    '1 thing is wrong.',
  ]);
  assert.equal(pageOf([], { columns: 80, colors: false }).at(-1), 'All is well.');
  assert.ok(pageOf(findings, { columns: 80, colors: true }).some((line) => line.includes('\x1b[31mWRONG\x1b[0m')));
});

// --- without a server

fact('no server: why for each node, exit code 1, no password anywhere', async () => {
  const hosts = `127.0.0.1:${await freePort()},127.0.0.1:${await freePort()}`;
  const { code, out, err } = await doctor(['--hosts', hosts, '--timeout', '2000']);
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  for (const host of hosts.split(','))
    assert.match(out, new RegExp(`\\n${host}\\n  WRONG  cannot be used: Connection refused`));
  assert.match(out, /\n {2}WRONG {2}No writable primary: none of 2 nodes can be used\.\n/);
  assert.match(out, /\n3 things are wrong\.\n$/);
  assert.doesNotMatch(out, /s3cret/);
});

fact('options that no pool takes are a finding, and wrong usage is exit code 2', async () => {
  const unfit = await doctor(['--hosts', 'db1', 'password=s3cret sslmode=on']);
  assert.deepEqual([unfit.code, unfit.err], [1, '']);
  assert.match(unfit.out, /\nsettings\n {2}WRONG {2}connectionString: sslmode must be one of/);
  assert.doesNotMatch(unfit.out, /s3cret/);
  const usage = await doctor(['--interval', '500']);
  assert.deepEqual([usage.code, usage.out], [2, '']);
  assert.match(usage.err, /--interval is an option of watch alone/);
});

fact(
  'a password file that others may read is told',
  { skip: process.platform === 'win32' ? 'no modes' : undefined },
  async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-doctor-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'pgpass');
    fs.writeFileSync(file, '*:*:*:*:s3cret');
    fs.chmodSync(file, 0o644);
    const env = { PGPASSWORD: '', PGPASSFILE: file };
    const { out, err } = await doctor(['--hosts', `127.0.0.1:${await freePort()}`, '--timeout', '1000'], env);
    assert.match(out.replaceAll(/\s+/g, ' '), /note .*pgpass.* (others|group|world)/);
    assert.doesNotMatch(out + err, /s3cret/);
  },
);

/** The package without its addon, or with one that is none. @param {any} t @param {string} [addon] */
function installed(t, addon) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-doctor-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const name of ['client.js', 'index.js', 'package.json', 'lib']) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  }
  const own = fs.readdirSync(ROOT).find((name) => /^hyperiondb-client\..*\.node$/.test(name));
  if (addon !== undefined && own) fs.writeFileSync(path.join(folder, own), addon);
  return folder;
}

fact('without the addon: says what to install, and who listens', async (t) => {
  const db = await ownCluster(t, { nodes: 1 });
  const silent = `127.0.0.1:${await freePort()}`;
  const { code, out, err } = await doctor(['--hosts', [...db.cluster.hosts, silent].join()], {}, installed(t));
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  assert.match(out, / {2}WRONG {2}there is no native addon for [\w-]+\n {9}-> npm install hyperiondb-client-/);
  assert.match(out, new RegExp(`\\n${db.cluster.hosts[0]}\\n  note   somebody listens there`));
  assert.match(out, new RegExp(`\\n${silent}\\n  WRONG  cannot be reached: ECONNREFUSED`));
});

fact('an addon that does not load: where it is, and why', async (t) => {
  const { code, out, err } = await doctor(['--hosts', `127.0.0.1:${await freePort()}`], {}, installed(t, 'no program'));
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  assert.match(out.replaceAll(/\s+/g, ' '), /WRONG the native addon \S+\.node does not load: (?!Cannot find)/);
});

// --- with servers

const db = useCluster({ nodes: 3, settings: { fsync: true } });
const bouncer = usePgBouncer(db, { poolSize: 2 });

fact('a cluster that is well: exit code 0, roles, timelines, lag, clocks, settings', async () => {
  const { code, out, err } = await examined(db);
  assert.deepEqual({ code, err }, { code: 0, err: '' }, out);
  assert.match(out, /\n {2}ok {5}127\.0\.0\.1:\d+ accepts writes\.\n/);
  for (const pattern of [
    /\n {2}ok {5}primary, timeline \d+\n/,
    /\n {2}ok {5}standby, timeline \d+, behind by \d+ k?B/,
    /\n {2}ok {5}PostgreSQL \d+\.\d+, no TLS\n/,
    /\n {2}ok {5}clock as here, [+-]\d+ ms \(\+-\d+\)\n/,
    /\n {2}ok {5}\d+ of \d+ connections in use\n/,
    /\n {2}note {3}"\w+" is a superuser/,
    /\n {2}ok {5}replication is synchronous: ANY 1/,
    /\n {2}ok {5}followed by n\d quorum/,
  ]) {
    assert.match(out, pattern);
  }
  assert.match(out, /\nAll is well\.\n$/);
  assert.deepEqual(
    out.split('\n').filter((line) => line.length > 80),
    [],
  );
  assert.ok(!out.includes(db.cluster.password));
});

fact('--json has all that was seen, and no password', async () => {
  const { code, out } = await examined(db, '--json');
  const seen = JSON.parse(out);
  assert.deepEqual([code, seen.ok, seen.nodes.length, seen.servers.length], [0, true, 3, 3]);
  assert.deepEqual(Object.keys(seen), ['ok', 'machine', 'addon', 'nodes', 'servers', 'findings']);
  assert.equal(seen.machine.package, require('../package.json').version);
  assert.ok(seen.addon.bytes > 1_000_000 && path.isAbsolute(seen.addon.path));
  assert.ok(Math.abs(seen.servers[0].clock.aheadMs) < 1_000);
  assert.ok(!out.includes(db.cluster.password));
});

fact('a role with few rights, and a wrong password', async () => {
  await db.sql(`CREATE ROLE plain LOGIN PASSWORD 's3cret'; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public`);
  const hosts = db.cluster.hosts.join();
  const env = { PGUSER: 'plain', PGDATABASE: db.cluster.database };
  const { code, out, err } = await doctor(['--hosts', hosts], env);
  await db.sql('GRANT EXECUTE ON FUNCTION pg_control_system() TO public');
  assert.deepEqual({ code, err }, { code: 0, err: '' }, out);
  assert.match(out, /note {3}"plain" may not execute pg_control_system\(\)/);
  assert.match(out, /-> GRANT pg_monitor TO "plain"/);
  const refused = await doctor(['--hosts', hosts], { ...env, PGPASSWORD: 'wr0ng' });
  assert.equal(refused.code, 1);
  assert.match(refused.out, /WRONG {2}cannot be used: password authentication failed/);
  assert.doesNotMatch(refused.out, /wr0ng/);
});

fact('a fenced primary and a server whose settings lose data are wrong', async (t) => {
  const own = await ownCluster(t, { nodes: 1, synchronous: false, settings: { fsync: false } });
  await own.cluster.primary().fence();
  const { code, out } = await examined(own);
  assert.equal(code, 1, out);
  assert.match(out, /WRONG {2}No writable primary: 127\.0\.0\.1:\d+ is fenced\./);
  assert.match(out, /WRONG {2}fsync is off/);
  assert.match(out, /note {3}replication is asynchronous/);
});

fact('PgBouncer in between is recognised', async () => {
  const { hosts, user, password, database } = bouncer.options();
  const env = { PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
  const { code, out } = await doctor(['--hosts', String(hosts)], env);
  const flat = out.replaceAll(/\s+/g, ' ');
  assert.equal(code, 0, out);
  assert.match(flat, / note a connection pooler stands between the client and the server/);
  assert.match(flat, / note the server itself listens on port \d+: a pooler, a proxy or a container is in between/);
});
