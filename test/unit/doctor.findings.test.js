'use strict';

// The findings of `doctor`: every judgement as a line of a table, and the page as a user sees it.

const assert = require('node:assert/strict');
const { stripVTControlCharacters } = require('node:util');
const { pageOf } = require('../../lib/cli/doctor.js');
const judge = require('../../lib/cli/findings.js');
const { test } = require('../support/helpers.js');

// --- judgements: what doctor has seen, and the beginnings of its findings

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
  test(`doctor finds: ${expected.join('; ') || 'nothing'}`, () => {
    const said = findings.map(({ level, text }) => `${level} ${text}`);
    assert.equal(said.length, expected.length, said.join('\n'));
    for (const [index, text] of expected.entries())
      assert.ok(said[index].startsWith(text), `${said[index]}, not ${text}`);
    for (const { subject, text } of findings) assert.ok(subject && !/undefined|null|NaN/.test(text), text);
  });
}

test('doctor: each reason for which a node cannot be used has its cure', () => {
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

test('doctor page: a paragraph for each subject, cures below, no line wider than the terminal', () => {
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
