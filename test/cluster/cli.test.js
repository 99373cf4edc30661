'use strict';

// The command line: what it accepts and refuses, what it prints in every state of a cluster, and what a person sees in a
// terminal. Facts about a terminal need util-linux's script(1), which gives us a pseudo terminal, and are skipped without.

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { stripVTControlCharacters } = require('node:util');
const { readArguments, UsageError } = require('../../lib/cli/arguments.js');
const { Screen } = require('../../lib/cli/screen.js');
const { fittedTable, fullTable } = require('../../lib/cli/table.js');
const { exitCode, verdict } = require('../../lib/cli/topology.js');
const { picture } = require('../../lib/cli/watch.js');
const { bytes, duration, label, printable } = require('../../lib/cli/format.js');
const { UnsupportedError } = require('../support/cluster');
const { freePort } = require('../support/cluster/ports.js');
const { HANG_MS, test, ownCluster, range, until, useCluster } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const CLI = path.join(ROOT, 'lib', 'cli', 'index.js');
const { version } = require('../../package.json');

const ESC = '\x1b';
const HIDE_CURSOR = `${ESC}[?25l`;
const SHOW_CURSOR = `${ESC}[?25h`;
/** A state word in its colour. @param {string} word @param {number} code */
const painted = (word, code) => `${ESC}[${code}m${word}${ESC}[0m`;

/** Ours without what a developer has set for servers and colours of his own. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^PG|COLOR|^NODE_/.test(name)));

/** The environment with which a cluster is reached. @param {any} db */
const reaching = ({ cluster: { user, password, database } }) => ({
  PGUSER: user,
  PGPASSWORD: password,
  PGDATABASE: database,
});

/** The command in a process of its own: what it has printed so far, and how it ends. */
class Running {
  /**
   * @param {string} file
   * @param {string[]} args
   * @param {NodeJS.ProcessEnv} env
   */
  constructor(file, args, env) {
    this.out = '';
    this.err = '';
    this.child = spawn(file, args, { cwd: ROOT, env: { ...ENV, ...env } });
    this.child.stdin.on('error', () => {});
    this.child.stdout.setEncoding('utf8').on('data', (text) => {
      this.out += text;
    });
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.err += text;
    });
    const timer = setTimeout(() => this.child.kill('SIGKILL'), HANG_MS / 2);
    /** @type {Promise<{ code: number | null, signal: string | null, out: string, err: string, lines: string[] }>} */
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal, out: this.out, err: this.err, lines: this.out.split('\n').slice(0, -1) });
      });
    });
  }

  /** @param {RegExp} pattern */
  printed(pattern) {
    return until(`it prints ${pattern}, not only:\n${this.out}${this.err}`, () => pattern.test(this.out));
  }
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
const start = (args, env = {}) => new Running(process.execPath, [CLI, ...args], env);

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
const run = (args, env) => start(args, env).ended;

/** @param {any} db @param {string[]} args */
const status = (db, ...args) => run(['status', '--hosts', db.cluster.hosts.join(), ...args], reaching(db));

/** Role and state of each line of a status, in order. @param {string[]} lines */
const states = (lines) => lines.slice(1, -1).map((line) => line.split(/ {2,}/).slice(0, 3).join(' '));

/** @param {object} [fields] */
const node = (fields) => ({
  host: 'db1',
  port: 5432,
  role: 'standby',
  state: 'up',
  latencyMs: 0.31,
  lagBytes: 0,
  lastError: null,
  ...fields,
});
const PRIMARY = node({ role: 'primary', timeline: 3, lsn: '0/3000148', lagMs: 0 });
const STANDBY = node({ host: 'db2', timeline: 3, lsn: '0/3000060', lagBytes: 232, lagMs: 12 });
const VAGUE = node({ host: 'db3', lagBytes: 3_500_000, timeline: null, lsn: null, lagMs: null });
const DOWN = node({ host: 'db4', state: 'down', latencyMs: null, lagBytes: 9, lastError: 'Connection refused' });
const DEPOSED = node({ host: 'db5', role: 'primary', state: 'fenced', timeline: 2, lastError: 'is a deposed primary' });
const UNSEEN = node({ host: 'db6', role: 'unknown', state: 'down', latencyMs: null, lagBytes: null });

// --- arguments

for (const [args, expected] of [
  [['status'], { command: 'status', timeoutMs: 5_000, json: false, color: true }],
  [['status', '--json', '--timeout', '800'], { json: true, timeoutMs: 800 }],
  [['watch'], { command: 'watch', intervalMs: 1_000 }],
  [['watch', '--interval=100', '--no-color'], { intervalMs: 100, color: false }],
  [['--hosts', 'a,b:5433', 'status'], { command: 'status' }],
  [['--help'], { command: 'help' }],
  [['status', '--help', '--json'], { command: 'help' }],
  [['--version'], { command: 'version' }],
]) {
  test(`arguments: ${args.join(' ')}`, () => {
    const read = readArguments(/** @type {string[]} */ (args));
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(read[name], value, name);
  });
}

test('arguments: what goes to createPool', () => {
  const given = ['status', '--hosts', 'a,b:5433', '--port', '6000', '--user', 'u', '--database=d', '--timeout', '900'];
  assert.deepEqual(readArguments([...given, 'user=x', '--sslmode', 'require']).pool, {
    connectionString: 'user=x',
    hosts: 'a,b:5433',
    port: 6000,
    user: 'u',
    database: 'd',
    ssl: 'require',
    connectTimeoutMs: 900,
    monitor: { nodeTimeoutMs: 900 },
  });
  assert.deepEqual(readArguments(['watch', '--interval', '500']).pool.monitor, { intervalMs: 500 });
  for (const string of ['postgres://u@a,b/d', 'postgresql://', 'host=a']) {
    assert.equal(readArguments(['watch', string]).pool.connectionString, string);
  }
});

const REFUSED = /** @type {[string[], RegExp][]} */ ([
  [[], /a command is missing/],
  [['stats'], /unknown command 'stats'/],
  [['status', 'db1'], /status: this is no connection string: name the nodes with --hosts/],
  [['status', 'mysql://u:s3cret@h'], /status: this is no connection string/],
  [['status', 'host=a', 'user=s3cret'], /status takes one connection string/],
  [['status', '--sslmode'], /--sslmode needs a value/],
  [['status', '--ssl', 'x'], /unknown option --ssl: did you mean --sslmode\?/],
  [['postgres://u:s3cret@h'], /unknown command/],
  [['status', '--frobnicate'], /unknown option --frobnicate$/],
  [['status', '--frobnicate=s3cret'], /unknown option --frobnicate$/],
  [['status', '--host', 'a'], /unknown option --host: did you mean --hosts\?/],
  [['status', '-h', 'a'], /unknown option -h: did you mean --hosts\?/],
  [['status', '--hosts'], /--hosts needs a value/],
  [['status', '--hosts='], /--hosts needs a value/],
  [['status', '--hosts', '--json'], /--hosts needs a value/],
  [['status', '--hosts', 'a', '--hosts', 'b'], /--hosts is given twice/],
  [['status', '--json=yes'], /--json takes no value/],
  [['status', '--port', 'x'], /--port must be an integer from 1 to 65535/],
  [['status', '--port', '65536'], /--port must be an integer from 1 to 65535/],
  [['status', '--timeout', '99'], /--timeout must be an integer from 100/],
  [['status', '--timeout', '100.5'], /--timeout must be an integer from 100/],
  [['watch', '--interval', '99'], /--interval must be an integer from 100/],
  [['status', '--interval', '500'], /--interval is an option of watch alone/],
  [['watch', '--json'], /--json is an option of status and doctor alone/],
  [['watch', '--timeout', '500'], /--timeout is an option of status and doctor alone/],
  [['status', '--password', 's3cret'], /--password: .*PGPASSWORD or use the password file/],
  [['status', '--password=s3cret'], /--password: .*PGPASSWORD or use the password file/],
  [['status', '--passwd=s3cret'], /--passwd: .*PGPASSWORD or use the password file/],
]);
for (const [args, message] of REFUSED) {
  test(`arguments: refused: ${args.join(' ') || 'none at all'}`, () => {
    assert.throws(
      () => readArguments(args),
      (/** @type {Error} */ error) =>
        error instanceof UsageError && message.test(error.message) && !error.message.includes('s3cret'),
    );
  });
}

test('wrong usage: exit code 2, the reason and the usage on stderr, nothing on stdout', async () => {
  for (const [args, reason] of /** @type {[string[], RegExp][]} */ ([
    [['stats'], /^hyperiondb-client: unknown command 'stats'/],
    [['status', '--password', 's3cret'], /^hyperiondb-client: --password: /],
    // What createPool refuses.
    [['status', '--hosts', 'a,,b'], /^hyperiondb-client: hosts\[1\] must be /],
    [['status', '--hosts', 'postgres://u:s3cret@h'], /^hyperiondb-client: hosts\[0\] must be /],
    [['status', '--sslmode', 'on'], /^hyperiondb-client: ssl must be one of /],
    [['status', 'postgres://u:s3cret@h:x'], /^hyperiondb-client: connectionString: port must be an integer/],
    [['status', 'password=s3cret uesr=x'], /^hyperiondb-client: connectionString: unknown keyword/],
  ])) {
    const { code, out, err } = await run(args);
    assert.deepEqual({ code, out }, { code: 2, out: '' });
    assert.match(err, reason);
    assert.match(err, /\nUsage: hyperiondb-client status /);
    assert.doesNotMatch(err, /s3cret|at .*\.js:/);
  }
});

test('--help and --version', async () => {
  const help = await run(['--help']);
  assert.deepEqual([help.code, help.err, help.lines[0].split(' ')[0]], [0, '', 'Usage:']);
  assert.deepEqual(
    help.lines.filter((line) => line.length > 95),
    [],
  );
  assert.deepEqual((({ code, out }) => [code, out])(await run(['watch', '--version'])), [0, `${version}\n`]);
});

// --- words

test('bytes, times and addresses in words', () => {
  const table = [
    [bytes, null, '-'],
    [bytes, undefined, '-'],
    [bytes, 0, '0 B'],
    [bytes, 1023, '1023 B'],
    [bytes, 1024, '1.0 kB'],
    [bytes, 3_500_000, '3.3 MB'],
    [bytes, 40 * 1024 ** 3, '40 GB'],
    [bytes, 9_999 * 1024 ** 4, '9999 TB'],
    [duration, null, '-'],
    [duration, undefined, '-'],
    [duration, 0, '0 ms'],
    [duration, 0.314, '0.3 ms'],
    [duration, 812.4, '812 ms'],
    [duration, 12_300, '12 s'],
    [duration, 600_000, '10 min'],
    [duration, 86_400_000, '24 h'],
    [label, { host: 'db1', port: 5432 }, 'db1:5432'],
    [label, { host: '::1', port: 5432 }, '[::1]:5432'],
    [printable, 'a\nb\x1b[2Jc\u202ed', 'a b [2Jc d'],
  ];
  for (const [words, value, expected] of table) assert.equal(words(value), expected);
});

test('the verdict and the exit code', () => {
  const table = [
    [[STANDBY, PRIMARY], 0, 'db1:5432 accepts writes.'],
    [[DEPOSED, PRIMARY], 0, 'db1:5432 accepts writes.'],
    [
      [node({ role: 'primary', host: 'a', timeline: 2 }), PRIMARY],
      0,
      'Split brain: db1:5432 and a:5432 accept writes.',
    ],
    [[DEPOSED, STANDBY], 1, 'No writable primary: db5:5432 is fenced.'],
    [[DEPOSED, DEPOSED], 1, 'No writable primary: db5:5432 and db5:5432 are fenced.'],
    [
      [node({ role: 'primary', state: 'down' }), STANDBY],
      1,
      'No writable primary: only standbys are up (1 of 2 nodes).',
    ],
    [[DOWN, UNSEEN], 1, 'No writable primary: none of 2 nodes can be used, see last error.'],
    [[DOWN], 1, 'No writable primary: the node cannot be used, see last error.'],
  ];
  for (const [nodes, code, text] of table) assert.deepEqual([exitCode(nodes), verdict(nodes)], [code, text]);
});

test('the full table: one line a node in the order given, - for what is not known', () => {
  assert.deepEqual(fullTable([VAGUE, PRIMARY, STANDBY, DEPOSED, DOWN, UNSEEN], false), [
    'node      role     state   timeline  lsn                  lag  latency  last error',
    'db3:5432  standby  up             -  -                 3.3 MB   0.3 ms',
    'db1:5432  primary  up             3  0/3000148              -   0.3 ms',
    'db2:5432  standby  up             3  0/3000060   232 B, 12 ms   0.3 ms',
    'db5:5432  primary  fenced         2  -                      -   0.3 ms  is a deposed primary',
    'db4:5432  standby  down           -  -                      -        -  Connection refused',
    'db6:5432  unknown  -              -  -                      -        -',
  ]);
});

test('colours are for state words alone', () => {
  const nodes = [PRIMARY, DOWN, DEPOSED, UNSEEN];
  const [head, ...lines] = fullTable(nodes, true);
  const words = [painted('up', 32), painted('down', 31), painted('fenced', 33), '  -  '];
  for (const [index, word] of words.entries()) assert.ok(lines[index].includes(`  ${word}`), lines[index]);
  assert.deepEqual([head, ...lines].map(stripVTControlCharacters), fullTable(nodes, false));
});

const LONG = node({ host: 'db-7.eu-central-1.compute.internal.example', role: 'primary', lastError: 'x'.repeat(300) });

test('the picture: no line is wider, and never more lines, than the terminal has', () => {
  const nodes = [PRIMARY, STANDBY, LONG, DOWN];
  const changes = range(8).map((i) => ({ at: new Date(), text: `${label(LONG)} is down: ${i}` }));
  for (let columns = 40; columns <= 200; columns++) {
    for (const rows of [3, 8, 14, 23, 60]) {
      const lines = picture(nodes, changes, new Date(), { columns, rows, colors: true });
      // The screen cuts what is too long; the table must fit without that, or it would lose its colours.
      for (const line of fittedTable(nodes, columns, true)) assert.ok(stripVTControlCharacters(line).length <= columns);
      assert.ok(lines.length <= rows);
      assert.match(lines.slice(0, 2).join(), /db1:5432/);
    }
  }
});

test('the picture: the newest changes are shown, nodes that do not fit are counted', () => {
  const changes = range(8).map((i) => ({ at: new Date(2026, 0, 1, 12, 0, i), text: `change ${i}` }));
  const of = (/** @type {number} */ rows, /** @type {any[]} */ nodes = [PRIMARY, STANDBY]) =>
    picture(nodes, changes, new Date(2026, 0, 1, 12, 1, 2), { columns: 79, rows, colors: false });
  assert.deepEqual(of(9).slice(-3), ['', '12:00:06  change 6', '12:00:07  change 7']);
  assert.equal(of(60).length, 6 + 1 + 8);
  assert.match(of(60)[0], /^hyperiondb-client .* 12:01:02$/);
  assert.equal(
    of(
      10,
      range(20).map(() => STANDBY),
    ).at(-1),
    '.. and 15 more lines',
  );
});

test('the picture: before anybody has looked it does not say that nodes are down', () => {
  const lines = picture([UNSEEN, STANDBY], [], new Date(), { columns: 79, rows: 23, colors: true });
  assert.equal(lines[1], 'Looking at the nodes ...');
  assert.doesNotMatch(lines.join('\n'), /down/);
});

const SEQUENCE_OR_CHARACTER = new RegExp(`${ESC}\\[\\??(\\d*)([A-Za-z])|[^]`, 'g');

/**
 * What a person sees: the lines of a terminal of this width after all of `text`. As far as our sequences go.
 * @param {string} text
 * @param {number} columns
 */
function shownBy(text, columns) {
  /** @type {string[]} */
  const lines = [''];
  let row = 0;
  let column = 0;
  let wraps = 0;
  for (const [found, count, command] of text.matchAll(SEQUENCE_OR_CHARACTER)) {
    lines[row] ??= '';
    if (command === 'F') [row, column] = [Math.max(0, row - Number(count || 1)), 0];
    else if (command === 'K') lines[row] = lines[row].slice(0, column);
    else if (command === 'J') lines.splice(row, Infinity, lines[row].slice(0, column));
    else if (found === '\r') column = 0;
    else if (found === '\n') [row, column] = [row + 1, 0];
    else if (command === undefined) {
      lines[row] = lines[row].slice(0, column).padEnd(column) + found + lines[row].slice(column + 1);
      if (++column >= columns) wraps++;
    }
  }
  return { lines: lines.map((line) => line.trimEnd()), wraps };
}

test('the screen: draws in place, cuts, shows ASCII alone, and gives the cursor back', () => {
  let text = '';
  const write = (/** @type {string} */ piece) => {
    text += piece;
  };
  const out = { columns: 20, rows: 5, write };
  const screen = new Screen(/** @type {any} */ (out));
  screen.draw(['one', 'a line that is too long for it', 'd\u00e9j\u00e0 \u6f22', 'four', 'five']);
  assert.deepEqual(shownBy(text, 20), { lines: ['one', 'a line that is to..', 'd?j? ?', 'four', ''], wraps: 0 });
  screen.draw(['1', '2']);
  assert.deepEqual(shownBy(text, 20), { lines: ['1', '2', ''], wraps: 0 });
  // The terminal wraps what was there: five lines more to go up.
  screen.draw(['x'.repeat(19), 'x'.repeat(19)]);
  out.columns = 10;
  text = '';
  screen.draw(['1']);
  assert.ok(text.startsWith(`${ESC}[4F${ESC}[J`), JSON.stringify(text));
  screen.end();
  screen.draw(['not any more']);
  assert.ok(text.endsWith(SHOW_CURSOR), JSON.stringify(text));
});

// --- without a cluster

test('all hosts refused: bounded, a reason for each host, exit code 1', async () => {
  const hosts = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const { code, err, lines } = await run(['status', '--hosts', hosts.join()], { PGPASSWORD: 's3cret' });
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  assert.equal(lines.length, 4);
  for (const [index, host] of hosts.entries()) {
    assert.match(lines[index + 1], new RegExp(`^${host}  unknown  down .*  Connection refused`));
  }
  assert.equal(lines[3], 'No writable primary: none of 2 nodes can be used, see last error.');
});

test('a host that says nothing: the timeout ends the wait and is the reason', async (t) => {
  const silent = net.createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => silent.close());
  const port = String(/** @type {any} */ (silent.address()).port);
  const { code, out } = await run(['status', '--hosts', '127.0.0.1', '--port', port, '--timeout', '300', '--json']);
  const { nodes, primary } = JSON.parse(out);
  assert.deepEqual([code, primary, nodes.length], [1, null, 1]);
  assert.equal(nodes[0].lastError, 'no answer within 300 ms');
});

test('PGHOST and PGPORT name the node when nothing else does', async () => {
  const port = String(await freePort());
  const { lines } = await run(['status'], { PGHOST: '127.0.0.1', PGPORT: port });
  assert.match(lines[1], new RegExp(`^127.0.0.1:${port} `));
});

test('it runs through a symlink, as npm makes one', {
  skip: process.platform === 'win32' ? 'no symlinks' : undefined,
}, async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-cli-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const link = path.join(folder, 'hyperiondb-client');
  fs.symlinkSync(CLI, link);
  const { code, out } = await new Running(link, ['--version'], {}).ended;
  assert.deepEqual([code, out], [0, `${version}\n`]);
  const hosts = `127.0.0.1:${await freePort()}`;
  assert.equal((await new Running(link, ['status', '--hosts', hosts], {}).ended).code, 1);
});

test('the package has it', () => {
  const npm = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  const packed = JSON.parse(npm.stdout)[0].files.map((/** @type {any} */ { path: file }) => file);
  const ours = [...fs.readdirSync(path.join(ROOT, 'lib', 'cli')).map((name) => `lib/cli/${name}`)];
  assert.deepEqual(
    ours.filter((file) => !packed.includes(file)),
    [],
  );
  assert.deepEqual(require('../../package.json').bin, { 'hyperiondb-client': 'lib/cli/index.js' });
});

// --- with a cluster

const db = useCluster({ nodes: 3 });

test('status of a healthy cluster, in the order given', async () => {
  const { hosts } = db.cluster;
  const [primary, ...standbys] = hosts;
  const { code, err, lines } = await run(['status', '--hosts', [...standbys, primary].join()], reaching(db));
  assert.deepEqual({ code, err }, { code: 0, err: '' });
  assert.deepEqual(states(lines), [...standbys.map((host) => `${host} standby up`), `${primary} primary up`]);
  assert.match(lines[0], /^node +role +state +timeline +lsn +lag +latency$/);
  assert.match(lines[1], / ms$/);
  assert.equal(lines.at(-1), `${primary} accepts writes.`);
});

test('status with a connection string', async () => {
  const { user, password, database, hosts } = db.cluster;
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
  const { code, err, lines } = await run(['status', `postgres://${login}@${hosts.join()}/${database}`]);
  assert.deepEqual([code, err, lines.at(-1)], [0, '', `${hosts[0]} accepts writes.`]);
});

test('status --json: the nodes as the pool has them, the primary, and nothing else', async (t) => {
  const { code, out } = await status(db, '--json');
  const { nodes, primary, ...rest } = JSON.parse(out);
  assert.deepEqual([code, primary, rest], [0, db.cluster.hosts[0], {}]);
  const pool = db.pool(t, { mode: 'any' });
  const [known] = await until(
    'the pool has looked',
    () => pool.nodes().every((one) => one.role !== 'unknown') && pool.nodes(),
  );
  assert.deepEqual(Object.keys(nodes[0]).sort(), Object.keys(known).sort());
  assert.deepEqual(
    nodes.map((one) => `${one.host}:${one.port} ${one.role} ${one.state}`),
    db.cluster.hosts.map((host, index) => `${host} ${index === 0 ? 'primary' : 'standby'} up`),
  );
});

test('the password: from the password file too, and never shown', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-cli-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'pgpass');
  const { user, password, database, hosts } = db.cluster;
  fs.writeFileSync(file, `*:*:${database}:${user}:${password}\n`, { mode: 0o600 });
  const args = ['status', '--hosts', hosts.join(), '--user', user, '--database', database];
  const right = await run(args, { PGPASSFILE: file });
  assert.deepEqual([right.code, right.err], [0, '']);
  const wrong = await run(args, { PGPASSWORD: 's3cret' });
  assert.equal(wrong.code, 1);
  for (const line of wrong.lines.slice(1, -1)) assert.match(line, /password authentication failed .*28P01/);
  for (const { out, err } of [right, wrong]) assert.doesNotMatch(out + err, new RegExp(`s3cret|${password}`));
});

test('a fenced primary accepts no writes: exit code 1', async (t) => {
  db.needs('fence');
  const primary = db.cluster.primary();
  t.after(() => primary.unfence());
  await primary.fence();
  const { code, lines } = await status(db);
  assert.equal(code, 1);
  assert.equal(states(lines)[0], `${primary.address} primary fenced`);
  assert.equal(lines.at(-1), `No writable primary: ${primary.address} is fenced.`);
});

test('a frozen node: the others are known all the same, and the timeout is its reason', async (t) => {
  db.needs('freeze');
  const [primary, frozen, standby] = db.cluster.nodes;
  t.after(() => frozen.thaw());
  await frozen.freeze();
  const { code, lines } = await status(db, '--timeout', '700');
  assert.equal(code, 0);
  assert.deepEqual(states(lines), [
    `${primary.address} primary up`,
    `${frozen.address} unknown down`,
    `${standby.address} standby up`,
  ]);
  assert.match(lines[2], /no answer within 7\d\d ms$/);
});

test('a pipe that breaks ends it quietly', async () => {
  const { hosts } = db.cluster;
  const line = `'${process.execPath}' '${CLI}' status --hosts ${hosts.join()} | true; echo "\${PIPESTATUS[0]}"`;
  const { out, err } = await new Running('bash', ['-c', line], reaching(db)).ended;
  assert.deepEqual([out, err], ['0\n', '']);
});

test('a standby down, then the primary: each with its reason, exit codes 0 and 1', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  own.needs('crash', 'stop');
  const [first, second, third] = own.cluster.nodes;
  await second.stop();
  const one = await status(own);
  assert.equal(one.code, 0);
  assert.deepEqual(states(one.lines), [
    `${first.address} primary up`,
    `${second.address} unknown down`,
    `${third.address} standby up`,
  ]);
  assert.match(one.lines[2], /Connection refused/);
  assert.equal(one.lines.at(-1), `${first.address} accepts writes.`);
  await first.crash();
  const two = await status(own);
  assert.equal(two.code, 1);
  assert.match(two.lines[1], / down .* Connection refused/);
  assert.equal(two.lines.at(-1), 'No writable primary: only standbys are up (1 of 3 nodes).');
});

/** @param {any} own @param {string[]} args */
const watch = (own, ...args) => start(['watch', '--hosts', own.cluster.hosts.join(), ...args], reaching(own));

test('watch in a log: a line a change, through a failover and the return of the old primary', async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  own.needs('crash', 'failover', 'start');
  const [old, ...standbys] = own.cluster.nodes;
  const { address: was } = old;
  const watching = watch(own);
  for (const text of [
    `${was} is up: primary`,
    `primary is ${was}`,
    ...standbys.map((n) => `${n.address} is up: standby`),
  ]) {
    await watching.printed(new RegExp(`Z {2}${text}\n`));
  }
  await old.crash();
  await watching.printed(new RegExp(`${was} is down: .+\n`));
  const { address: now } = await own.cluster.failover();
  await watching.printed(new RegExp(`${now} is now a primary\n`));
  await watching.printed(new RegExp(`primary is now ${now}, was ${was}, none for \\d+ m?s\n`));
  await old.start();
  await watching.printed(new RegExp(`${was} is fenced: a deposed primary.*\n`));
  watching.child.kill('SIGINT');
  const { code, signal, err, lines } = await watching.ended;
  assert.deepEqual({ code, signal, err }, { code: 0, signal: null, err: '' });
  for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}[ -~]+$/);

  // The old primary comes first in the list, and is looked at first.
  const after = await status(own);
  assert.equal(after.code, 0);
  assert.equal(states(after.lines)[0], `${was} primary fenced`);
  assert.match(after.lines[1], /deposed/);
  assert.equal(after.lines.at(-1), `${now} accepts writes.`);
});

test('watch ends quietly at the first change after its reader has gone, with the exit code of that moment', async (t) => {
  const own = await ownCluster(t, { nodes: 2, synchronous: false });
  own.needs('crash');
  const watching = watch(own);
  await watching.printed(/primary is /);
  await watching.printed(/ is up: standby/);
  watching.child.stdout.destroy();
  await own.cluster.primary().crash();
  const { code, err } = await watching.ended;
  assert.deepEqual([code, err], [1, '']);
});

// --- in a terminal

function needsTerminal() {
  const { stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' });
  if (!stdout?.includes('util-linux'))
    throw new UnsupportedError('a pseudo terminal', "util-linux's script(1) is missing");
}

/**
 * A shell line in a pseudo terminal of this size; its keyboard is our end of stdin.
 * @param {string} line
 * @param {number} columns
 * @param {number} rows
 * @param {NodeJS.ProcessEnv} env
 */
function inTerminal(line, columns, rows, env) {
  needsTerminal();
  const sized = `stty cols ${columns} rows ${rows}; ${line}`;
  return new Running('script', ['-qec', sized, '/dev/null'], { TERM: 'xterm', SHELL: '/bin/sh', ...env });
}

/** @param {string} args */
const typed = (args) => `'${process.execPath}' '${CLI}' ${args}`;

for (const [columns, rows] of [
  [80, 24],
  [50, 15],
  [40, 10],
]) {
  test(`watch in a terminal of ${columns} x ${rows}: what a person sees, and q`, async () => {
    const [primary, ...standbys] = db.cluster.hosts;
    const line = `${typed(`watch --interval 100 --hosts ${db.cluster.hosts.join()}`)}; echo code $?; stty -a`;
    const terminal = inTerminal(line, columns, rows, reaching(db));
    await terminal.printed(/primary is /);
    const pictures = terminal.out.split(`${ESC}[J`).length;
    await until('it draws on', () => terminal.out.split(`${ESC}[J`).length > pictures + 3);
    terminal.child.stdin.write('q');
    const { out, code } = await terminal.ended;
    assert.equal(code, 0);
    // Of the terminal's settings that follow there is no need to know the width.
    const [drawn, settings] = out.split('code ');
    const { lines, wraps } = shownBy(drawn, columns);
    assert.equal(wraps, 0);
    assert.ok(lines.length <= rows, `${lines.length} lines`);
    assert.match(lines[0], /^hyperiondb.* \d\d:\d\d:\d\d$/);
    assert.equal(lines[1], `${primary} accepts writes.`);
    assert.deepEqual(
      lines.slice(4, 7).map((text) => text.split(/ {2,}/).slice(0, 3).join(' ')),
      [`${primary} primary up`, ...standbys.map((host) => `${host} standby up`)],
    );
    assert.match(lines.at(-2) ?? '', /^\d\d:\d\d:\d\d {2}\S/);
    assert.ok(drawn.startsWith(HIDE_CURSOR) && drawn.endsWith(SHOW_CURSOR), 'the cursor is hidden, and comes back');
    assert.ok(drawn.includes(painted('up', 32)));
    assert.match(settings, /^0\r?\n/);
    assert.match(settings, /[ ;]icanon/);
    assert.match(settings, /[ ;]echo /);
  });
}

test('watch in a terminal: Ctrl-C ends it with exit code 1 when nobody accepts writes; a node that falls silent is seen', async (t) => {
  db.needs('freeze');
  needsTerminal();
  const primary = db.cluster.primary();
  const line = `${typed(`watch --interval 100 --hosts ${db.cluster.hosts.join()}`)}; echo code $?`;
  const terminal = inTerminal(line, 80, 24, reaching(db));
  await terminal.printed(/primary is /);
  t.after(() => primary.thaw());
  await primary.freeze();
  await terminal.printed(new RegExp(`${primary.address} is down: no answer within`));
  terminal.child.stdin.write('\x03');
  const { out } = await terminal.ended;
  assert.ok(out.endsWith(`${SHOW_CURSOR}code 1\r\n`), out.slice(-200));
  const { lines } = shownBy(out, 80);
  assert.equal(lines[1], 'No writable primary: only standbys are up (2 of 3 nodes).');
  assert.match(lines[5], /^ {2}no answer within \d+ ms$/);
});

test('watch in a terminal: a warning becomes a line of the picture', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-cli-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'pgpass');
  fs.writeFileSync(file, '', { mode: 0o644 });
  const line = typed(`watch --interval 100 --hosts 127.0.0.1:${await freePort()}`);
  const terminal = inTerminal(line, 80, 24, { PGPASSFILE: file });
  await terminal.printed(/ {2}password file "/);
  terminal.child.stdin.write('q');
  const { lines } = shownBy((await terminal.ended).out, 80);
  assert.ok(lines.some((text) => /^\d\d:\d\d:\d\d {2}password file /.test(text)));
});

for (const [how, args, env] of /** @type {[string, string, NodeJS.ProcessEnv][]} */ ([
  ['--no-color', ' --no-color', {}],
  ['NO_COLOR', '', { NO_COLOR: '1' }],
])) {
  test(`${how}: no colours in a terminal`, async () => {
    const plain = inTerminal(typed(`status --hosts ${db.cluster.hosts.join()}${args}`), 80, 24, {
      ...reaching(db),
      ...env,
    });
    assert.equal((await plain.ended).out.includes(ESC), false);
    const coloured = inTerminal(typed(`status --hosts ${db.cluster.hosts.join()}`), 80, 24, reaching(db));
    assert.ok((await coloured.ended).out.includes(painted('up', 32)));
  });
}

test('a terminal that understands nothing gets lines', async () => {
  const terminal = inTerminal(typed(`watch --hosts ${db.cluster.hosts.join()}`), 80, 24, {
    ...reaching(db),
    TERM: 'dumb',
  });
  await terminal.printed(/Z {2}primary is /);
  terminal.child.stdin.write('\x03');
  assert.equal((await terminal.ended).out.includes(ESC), false);
});
