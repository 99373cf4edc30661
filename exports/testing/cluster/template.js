'use strict';

// A data directory that was never started, made by initdb once for each installation and cached; every node of every cluster
// begins as a copy of it. A copy has the system identifier of its original, and a client must take two clusters with one identifier
// for the same cluster, so each cluster is given its own: newSystemIdentifier() below does what initdb would have done.

const { execFile } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { cached, copyTree } = require('./files.js');
const { secretOf } = require('./secret.js');

/** @typedef {import('./binaries.js').Binaries} Binaries */

const run = promisify(execFile);

/** The superuser of every local cluster; replication logs in with it, too. */
const SUPERUSER = Object.freeze({
  user: 'hyperion',
  get password() {
    return secretOf('hyperion');
  },
  database: 'postgres',
});

/** The role of an application: without special rights, it may create tables in the public schema. */
const APP = Object.freeze({
  user: 'app',
  get password() {
    return secretOf('app');
  },
});

/** Increase it when the recipe below changes, or old cached templates are used on. */
const RECIPE = 3;

/**
 * Creates `target` as the data directory of a new cluster, with an identifier of its own.
 *
 * @param {Binaries} binaries
 * @param {string} target
 */
async function newDataDirectory(binaries, target) {
  const owner = binaries.account;
  // The template contains the passwords, so another seed cannot use it.
  const seed = crypto.createHash('sha256').update(SUPERUSER.password).digest('hex').slice(0, 8);
  const name = `template-${RECIPE}-${binaries.label}-${owner?.uid ?? 'self'}-${seed}`;
  const template = await cached(name, (tree) => initdb(binaries, tree));
  await copyTree(template, target, { owner });
  newSystemIdentifier(target);
}

/**
 * @param {Binaries} binaries
 * @param {string} target
 */
async function initdb({ bin, account }, target) {
  const parent = path.dirname(target);
  const passwordFile = path.join(parent, 'password');
  fs.writeFileSync(passwordFile, SUPERUSER.password, { mode: 0o644 });
  if (account) fs.chownSync(parent, account.uid, account.gid);
  const options = { cwd: parent, env: serverEnvironment(), ...account };

  // Small WAL segments: an empty one of 16 MB would be 40 % of what we copy for every node.
  await run(
    path.join(bin, 'initdb'),
    [
      '-D',
      target,
      '-U',
      SUPERUSER.user,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
      '--wal-segsize=4',
    ],
    options,
  );

  // Single-user mode: no socket, no second process, and the folder is cleanly shut down afterwards. A standby refuses to start with
  // fewer connections than its primary had last, which is this one: with the least here a cluster may choose any number.
  const args = ['--single', '-F', '-c', 'max_connections=10', '-D', target, SUPERUSER.database];
  const session = run(path.join(bin, 'postgres'), args, options);
  session.child.stdin?.end(
    `CREATE ROLE ${APP.user} LOGIN PASSWORD '${APP.password}'\n` +
      `GRANT CREATE, USAGE ON SCHEMA public TO ${APP.user}\n` +
      // A third of all files, and not needed: CREATE DATABASE copies template1.
      "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'\n" +
      'DROP DATABASE template0\n',
  );
  const { stderr } = await session;
  if (/ERROR|FATAL/.test(stderr)) throw new Error(`cannot prepare the template: ${stderr}`);
  fs.rmSync(passwordFile);
}

/** The environment without PG*: PGPORT, PGDATA and others are meant for the developer's own servers. */
function serverEnvironment() {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'));
  return { ...Object.fromEntries(inherited), LC_ALL: 'C', TZ: 'UTC' };
}

/**
 * Gives a cleanly stopped data directory a random system identifier. It stands in pg_control (first 8 bytes, protected by
 * a CRC-32C that follows the last field) and in the long page header that begins each WAL segment (bytes 24 to 31;
 * src/include/access/xlog_internal.h, XLogLongPageHeaderData).
 *
 * @param {string} dataDir
 */
function newSystemIdentifier(dataDir) {
  const controlFile = path.join(dataDir, 'global', 'pg_control');
  const control = fs.readFileSync(controlFile);
  const old = Buffer.from(control.subarray(0, 8));
  const crcAt = crcPosition(control);
  const identifier = crypto.randomBytes(8);
  identifier[7] &= 0x7f; // pg_control_system() shows it as a signed bigint
  identifier.copy(control);
  control.writeUInt32LE(crc32c(control.subarray(0, crcAt)), crcAt);
  fs.writeFileSync(controlFile, control);

  const walDir = path.join(dataDir, 'pg_wal');
  for (const segment of fs.readdirSync(walDir).filter((name) => /^[0-9A-F]{24}$/.test(name))) {
    const file = fs.openSync(path.join(walDir, segment), 'r+');
    const found = Buffer.alloc(8);
    fs.readSync(file, found, 0, 8, 24);
    if (found.equals(old)) fs.writeSync(file, identifier, 0, 8, 24);
    fs.closeSync(file);
  }
}

/**
 * The struct grows with PostgreSQL's versions; the checksum marks its end.
 *
 * @param {Buffer} control
 */
function crcPosition(control) {
  for (let position = 200; position < 512; position += 4) {
    if (control.readUInt32LE(position) === crc32c(control.subarray(0, position))) return position;
  }
  throw new Error('cannot find the checksum in pg_control');
}

/** @param {Buffer} bytes */
function crc32c(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

exports.newDataDirectory = newDataDirectory;
exports.serverEnvironment = serverEnvironment;
exports.SUPERUSER = SUPERUSER;
exports.APP = APP;
