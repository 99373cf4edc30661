'use strict';

// `doctor` against servers, without servers, and without an add-on that loads. Its findings are tested in
// doctor.findings.test.js.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { HANG_MS, test, ownCluster, useCluster } = require('../support/helpers.js');
const { usePgBouncer } = require('../external/pgbouncer');

const ROOT = path.join(__dirname, '..', '..');
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^PG|COLOR|^NODE_|^NAPI/.test(name)));

/**
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @param {string} [root] where the package is
 * @returns {Promise<{ code: number | null, out: string, err: string }>}
 */
function doctor(args, env = {}, root = ROOT) {
  const child = spawn(process.execPath, [path.join(root, 'lib', 'cli', 'index.js'), 'doctor', ...args], {
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

// --- without a server

test('doctor without a server: a reason for each node, exit code 1, no password shown', async () => {
  const hosts = `127.0.0.1:${await freePort()},127.0.0.1:${await freePort()}`;
  const { code, out, err } = await doctor(['--hosts', hosts, '--timeout', '2000']);
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  for (const host of hosts.split(','))
    assert.match(out, new RegExp(`\\n${host}\\n  WRONG  cannot be used: Connection refused`));
  assert.match(out, /\n {2}WRONG {2}No writable primary: none of 2 nodes can be used\.\n/);
  assert.match(out, /\n3 things are wrong\.\n$/);
  assert.doesNotMatch(out, /s3cret/);
});

test('doctor with options that no pool takes: they are a finding; wrong usage is exit code 2', async () => {
  const unfit = await doctor(['--hosts', 'db1', 'password=s3cret sslmode=on']);
  assert.deepEqual([unfit.code, unfit.err], [1, '']);
  assert.match(unfit.out, /\nsettings\n {2}WRONG {2}connectionString: sslmode must be one of/);
  assert.doesNotMatch(unfit.out, /s3cret/);
  const usage = await doctor(['--interval', '500']);
  assert.deepEqual([usage.code, usage.out], [2, '']);
  assert.match(usage.err, /--interval is an option of watch alone/);
});

test('doctor warns of a password file that others may read', {
  skip: process.platform === 'win32' ? 'no modes' : undefined,
}, async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-doctor-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'pgpass');
  fs.writeFileSync(file, '*:*:*:*:s3cret');
  fs.chmodSync(file, 0o644);
  const env = { PGPASSWORD: '', PGPASSFILE: file };
  const { out, err } = await doctor(['--hosts', `127.0.0.1:${await freePort()}`, '--timeout', '1000'], env);
  assert.match(out.replaceAll(/\s+/g, ' '), /note .*pgpass.* (others|group|world)/);
  assert.doesNotMatch(out + err, /s3cret/);
});

/** The package without its add-on, or with a broken one. @param {any} t @param {string} [addon] */
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

test('doctor without the add-on says what to install, and which hosts accept connections', async (t) => {
  const db = await ownCluster(t, { nodes: 1 });
  const silent = `127.0.0.1:${await freePort()}`;
  const { code, out, err } = await doctor(['--hosts', [...db.cluster.hosts, silent].join()], {}, installed(t));
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  assert.match(out, / {2}WRONG {2}there is no native addon for [\w-]+\n {9}-> npm install hyperiondb-client-/);
  assert.match(out, new RegExp(`\\n${db.cluster.hosts[0]}\\n  note   somebody listens there`));
  assert.match(out, new RegExp(`\\n${silent}\\n  WRONG  cannot be reached: ECONNREFUSED`));
});

test('doctor with an add-on that does not load says where it is, and why', async (t) => {
  const { code, out, err } = await doctor(['--hosts', `127.0.0.1:${await freePort()}`], {}, installed(t, 'no program'));
  assert.deepEqual({ code, err }, { code: 1, err: '' });
  assert.match(out.replaceAll(/\s+/g, ' '), /WRONG the native addon \S+\.node does not load: (?!Cannot find)/);
});

// --- with servers

const db = useCluster({ nodes: 3, settings: { fsync: true } });
const bouncer = usePgBouncer(db, { poolSize: 2 });

test('doctor of a healthy cluster: exit code 0, roles, timelines, lag, clocks, settings', async () => {
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

test('doctor --json has all that was seen, and no password', async () => {
  const { code, out } = await examined(db, '--json');
  const seen = JSON.parse(out);
  assert.deepEqual([code, seen.ok, seen.nodes.length, seen.servers.length], [0, true, 3, 3]);
  assert.deepEqual(Object.keys(seen), ['ok', 'machine', 'addon', 'nodes', 'servers', 'findings']);
  assert.equal(seen.machine.package, require('../../package.json').version);
  assert.ok(seen.addon.bytes > 1_000_000 && path.isAbsolute(seen.addon.path));
  assert.ok(Math.abs(seen.servers[0].clock.aheadMs) < 1_000);
  assert.ok(!out.includes(db.cluster.password));
});

test('doctor names the right that a role lacks, and a wrong password without showing it', async () => {
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

test('doctor finds a fenced primary and server settings that lose data', async (t) => {
  const own = await ownCluster(t, { nodes: 1, synchronous: false, settings: { fsync: false } });
  await own.cluster.primary().fence();
  const { code, out } = await examined(own);
  assert.equal(code, 1, out);
  assert.match(out, /WRONG {2}No writable primary: 127\.0\.0\.1:\d+ is fenced\./);
  assert.match(out, /WRONG {2}fsync is off/);
  assert.match(out, /note {3}replication is asynchronous/);
});

test('doctor recognises PgBouncer between client and server', async () => {
  const { hosts, user, password, database } = bouncer.options();
  const env = { PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
  const { code, out } = await doctor(['--hosts', String(hosts)], env);
  const flat = out.replaceAll(/\s+/g, ' ');
  assert.equal(code, 0, out);
  assert.match(flat, / note a connection pooler stands between the client and the server/);
  assert.match(flat, / note the server itself listens on port \d+: a pooler, a proxy or a container is in between/);
});
