'use strict';

// The command line in a process of its own: what it prints in every state of a cluster, and what a user sees in a terminal.
// Tests with a terminal need util-linux's script(1), which makes a pseudo terminal, and are skipped without. Tests that need
// no process are in cli.output.test.js.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const {
  CLI,
  ESC,
  HIDE_CURSOR,
  ROOT,
  Running,
  SHOW_CURSOR,
  painted,
  reaching,
  run,
  shownBy,
  start,
} = require('../support/command.js');
const { UnsupportedError } = require('../support/cluster');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { test, ownCluster, until, useCluster } = require('../support/helpers.js');

const { version } = require('../../package.json');

/** @param {any} db @param {string[]} args */
const status = (db, ...args) => run(['status', '--hosts', db.cluster.hosts.join(), ...args], reaching(db));

/** Role and state of each line of a status, in order. @param {string[]} lines */
const states = (lines) => lines.slice(1, -1).map((line) => line.split(/ {2,}/).slice(0, 3).join(' '));

// --- without a cluster

test('cli status with all hosts refused ends in time, with a reason for each host and exit code 1', async () => {
  const hosts = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const { code, err, lines } = await run(['status', '--hosts', hosts.join()], { PGPASSWORD: 's3cret' });
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  assert.equal(lines.length, 4);
  for (const [index, host] of hosts.entries()) {
    assert.match(lines[index + 1], new RegExp(`^${host}  unknown  down .*  Connection refused`));
  }
  assert.equal(lines[3], 'No writable primary: none of 2 nodes can be used, see last error.');
});

test('cli status with a silent host: --timeout ends the wait and is the reason', async (t) => {
  const silent = net.createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => silent.close());
  const port = String(/** @type {any} */ (silent.address()).port);
  const { code, out } = await run(['status', '--hosts', '127.0.0.1', '--port', port, '--timeout', '300', '--json']);
  const { nodes, primary } = JSON.parse(out);
  assert.deepEqual([code, primary, nodes.length], [1, null, 1]);
  assert.equal(nodes[0].lastError, 'no answer within 300 ms');
});

test('cli status: PGHOST and PGPORT name the node when nothing else does', async () => {
  const port = String(await freePort());
  const { lines } = await run(['status'], { PGHOST: '127.0.0.1', PGPORT: port });
  assert.match(lines[1], new RegExp(`^127.0.0.1:${port} `));
});

test('cli runs through a symlink, as npm makes one', {
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

test('cli: the files of the command are in the package', () => {
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

test('cli status of a healthy cluster lists the nodes in the order given', async () => {
  const { hosts } = db.cluster;
  const [primary, ...standbys] = hosts;
  const { code, err, lines } = await run(['status', '--hosts', [...standbys, primary].join()], reaching(db));
  assert.deepEqual({ code, err }, { code: 0, err: '' });
  assert.deepEqual(states(lines), [...standbys.map((host) => `${host} standby up`), `${primary} primary up`]);
  assert.match(lines[0], /^node +role +state +timeline +lsn +lag +latency$/);
  assert.match(lines[1], / ms$/);
  assert.equal(lines.at(-1), `${primary} accepts writes.`);
});

test('cli status takes a connection string', async () => {
  const { user, password, database, hosts } = db.cluster;
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
  const { code, err, lines } = await run(['status', `postgres://${login}@${hosts.join()}/${database}`]);
  assert.deepEqual([code, err, lines.at(-1)], [0, '', `${hosts[0]} accepts writes.`]);
});

test('cli status --json has the nodes as the pool has them, the primary, and nothing else', async (t) => {
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

test('cli status takes the password from the password file too, and never shows it', async (t) => {
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

test('cli status with a fenced primary: no node accepts writes, exit code 1', async (t) => {
  db.needs('fence');
  const primary = db.cluster.primary();
  t.after(() => primary.unfence());
  await primary.fence();
  const { code, lines } = await status(db);
  assert.equal(code, 1);
  assert.equal(states(lines)[0], `${primary.address} primary fenced`);
  assert.equal(lines.at(-1), `No writable primary: ${primary.address} is fenced.`);
});

test('cli status with a frozen node shows the others, and the timeout as the reason of the frozen one', async (t) => {
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

test('cli status whose pipe breaks ends quietly', async () => {
  const { hosts } = db.cluster;
  const line = `'${process.execPath}' '${CLI}' status --hosts ${hosts.join()} | true; echo "\${PIPESTATUS[0]}"`;
  const { out, err } = await new Running('bash', ['-c', line], reaching(db)).ended;
  assert.deepEqual([out, err], ['0\n', '']);
});

test('cli status with a standby down, then the primary: a reason for each, exit codes 0 and 1', async (t) => {
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

test('cli watch into a log: a line for each change, through a failover and the return of the old primary', async (t) => {
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

  // The old primary is the first in the list, and is asked first.
  const after = await status(own);
  assert.equal(after.code, 0);
  assert.equal(states(after.lines)[0], `${was} primary fenced`);
  assert.match(after.lines[1], /deposed/);
  assert.equal(after.lines.at(-1), `${now} accepts writes.`);
});

test('cli watch whose reader has gone ends quietly at the next change, with the exit code of that moment', async (t) => {
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
 * A shell line in a pseudo terminal of this size; writing to its stdin is typing.
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
  test(`cli watch in a terminal of ${columns} x ${rows} draws the picture, and q ends it`, async () => {
    const [primary, ...standbys] = db.cluster.hosts;
    const line = `${typed(`watch --interval 100 --hosts ${db.cluster.hosts.join()}`)}; echo code $?; stty -a`;
    const terminal = inTerminal(line, columns, rows, reaching(db));
    await terminal.printed(/primary is /);
    const pictures = terminal.out.split(`${ESC}[J`).length;
    await until('it draws on', () => terminal.out.split(`${ESC}[J`).length > pictures + 3);
    terminal.child.stdin.write('q');
    const { out, code } = await terminal.ended;
    assert.equal(code, 0);
    // The output of stty -a follows, whose lines may be wider.
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

test('cli watch in a terminal: Ctrl-C ends it with exit code 1 when no node accepts writes, and a silent node is shown', async (t) => {
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

test('cli watch in a terminal: a warning becomes a line of the picture', async (t) => {
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
  test(`cli ${how}: no colours in a terminal`, async () => {
    const plain = inTerminal(typed(`status --hosts ${db.cluster.hosts.join()}${args}`), 80, 24, {
      ...reaching(db),
      ...env,
    });
    assert.equal((await plain.ended).out.includes(ESC), false);
    const coloured = inTerminal(typed(`status --hosts ${db.cluster.hosts.join()}`), 80, 24, reaching(db));
    assert.ok((await coloured.ended).out.includes(painted('up', 32)));
  });
}

test('cli watch in a dumb terminal prints lines', async () => {
  const terminal = inTerminal(typed(`watch --hosts ${db.cluster.hosts.join()}`), 80, 24, {
    ...reaching(db),
    TERM: 'dumb',
  });
  await terminal.printed(/Z {2}primary is /);
  terminal.child.stdin.write('\x03');
  assert.equal((await terminal.ended).out.includes(ESC), false);
});
