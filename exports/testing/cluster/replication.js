'use strict';

// Physical replication without tools: the npm package has no pg_basebackup and no pg_rewind. A standby is a data directory with
// `standby.signal` and a primary_conninfo; replication connections log in with the superuser's password. Facts that the code
// below relies on:
//   - `synchronous_standby_names` lists every node of the cluster, on every node. A standby ignores it and a primary never
//     finds itself in it, so it is right after any failover, with no moment in which a new primary acknowledges alone;
//   - a diverged old primary, started as a standby, shows `streaming` and serves rows nobody else has: after a crash the
//     only way back is a new base backup;
//   - pg_stat_replication reports replay positions late (wal_receiver_status_interval): ask the standby itself.

const fs = require('node:fs');
const path = require('node:path');
const { copyTree } = require('./files.js');
const { withConnection } = require('./sql.js');
const { until } = require('./until.js');

/** @typedef {import('./sql.js').SqlNode} SqlNode */
/** @typedef {{ host: string, port: number }} Address */
/** @typedef {import('./account.js').Account} Account */

/** @param {string[]} names */
function anyOneOf(names) {
  return names.length > 0 ? `ANY 1 (${names.join(', ')})` : '';
}

/**
 * @param {SqlNode} standby
 * @param {Address} upstream
 */
function connectionInfo(standby, { host, port }) {
  const { user, password } = standby.login;
  return `host=${host} port=${port} user=${user} password=${password} application_name=${standby.name} connect_timeout=5`;
}

/**
 * Turns a stopped data directory into a standby's. Settings of ALTER SYSTEM stay, except those of one node: its upstream, and a
 * fence.
 *
 * @param {SqlNode} standby
 * @param {string} dataDir
 * @param {Address} upstream
 * @param {Account | null} owner
 */
function writeStandbyFiles(standby, dataDir, upstream, owner) {
  const settingsFile = path.join(dataDir, 'postgresql.auto.conf');
  const kept = fs
    .readFileSync(settingsFile, 'utf8')
    .split('\n')
    .filter((line) => !/^(primary_conninfo|primary_slot_name|default_transaction_read_only)\b/.test(line));
  const settings = [...kept, `primary_conninfo = '${connectionInfo(standby, upstream)}'`, ''].join('\n');
  writeOwned(settingsFile, settings, owner);
  writeOwned(path.join(dataDir, 'standby.signal'), '', owner);
}

/**
 * @param {string} file
 * @param {string | Buffer} text
 * @param {Account | null} owner
 */
function writeOwned(file, text, owner) {
  fs.writeFileSync(file, text, { mode: 0o600 });
  if (owner) fs.chownSync(file, owner.uid, owner.gid);
}

/** Contents a base backup leaves out (PostgreSQL docs, "Making a Base Backup Using the Low Level API"). */
const EMPTIED = /^(pg_replslot|pg_subtrans|pg_notify|pg_serial|pg_snapshots|pg_dynshmem|pg_stat_tmp)\//;
/** Written here, or written last, or streamed: with `wal_keep_size` the primary still has all WAL since the start. */
const LEFT_OUT =
  /^(postmaster\.(pid|opts)|backup_label|tablespace_map|standby\.signal|global\/pg_control)$|^pg_wal\/[0-9A-F]{24}$/;

/**
 * Copies the running primary's data directory; `target` must not exist.
 *
 * @param {SqlNode & { dataDir: string }} primary
 * @param {string} target
 * @param {{ version: number, owner: Account | null }} options
 */
async function baseBackup(primary, target, { version, owner }) {
  const [begin, end] =
    version >= 15
      ? ["SELECT pg_backup_start('hyperion', true)", 'SELECT labelfile FROM pg_backup_stop(false)']
      : ["SELECT pg_start_backup('hyperion', true, false)", 'SELECT labelfile FROM pg_stop_backup(false, false)'];
  // One connection for both ends: a backup is aborted when the session that began it ends.
  const label = await withConnection(primary.login, async (query) => {
    await query(begin);
    const skip = (/** @type {string} */ relative) => EMPTIED.test(relative) || LEFT_OUT.test(relative);
    await copyTree(primary.dataDir, target, { owner, skip });
    const control = path.join('global', 'pg_control');
    writeOwnedCopy(path.join(primary.dataDir, control), path.join(target, control), owner);
    const [{ labelfile }] = await query(end);
    return labelfile;
  });
  writeOwned(path.join(target, 'backup_label'), label, owner);
}

/**
 * @param {string} from
 * @param {string} to
 * @param {Account | null} owner
 */
function writeOwnedCopy(from, to, owner) {
  fs.copyFileSync(from, to);
  if (owner) fs.chownSync(to, owner.uid, owner.gid);
}

/**
 * Waits until the primary streams to all of `standbys`, and counts them as synchronous when it is a synchronous cluster.
 *
 * @param {SqlNode} primary
 * @param {SqlNode[]} standbys
 */
async function waitUntilStreaming(primary, standbys) {
  const names = standbys.map(({ name }) => name).sort();
  await withConnection(primary.login, async (query) => {
    await until(`${primary.name} streams to ${names.join(', ')}`, async () => {
      const rows = await query(`
        SELECT application_name AS name FROM pg_stat_replication
        WHERE state = 'streaming'
          AND (sync_state IN ('sync', 'quorum') OR current_setting('synchronous_standby_names') = '')`);
      const found = new Set(rows.map(({ name }) => name));
      return names.every((name) => found.has(name));
    });
  });
}

/**
 * Waits until `standby` streams from `primary` and has replayed all that the primary has written by now.
 *
 * @param {SqlNode} standby
 * @param {SqlNode} primary
 */
async function waitUntilCaughtUp(standby, primary) {
  await waitUntilStreaming(primary, [standby]);
  const [{ target }] = await primary.sql('SELECT pg_current_wal_lsn()::text AS target');
  await withConnection(standby.login, (query) =>
    until(`${standby.name} has replayed ${target}`, async () => {
      const [row] = await query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done', [target]);
      return row.done;
    }),
  );
}

/**
 * How far a standby has got, in bytes of WAL: what it has received and flushed, or, after a restart without a primary, at least
 * what it has replayed.
 *
 * @param {SqlNode} standby
 * @returns {Promise<bigint>}
 */
async function position(standby) {
  const [row] = await standby.sql(`
    SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::text AS bytes`);
  return BigInt(row.bytes ?? 0);
}

exports.anyOneOf = anyOneOf;
exports.connectionInfo = connectionInfo;
exports.writeStandbyFiles = writeStandbyFiles;
exports.writeOwned = writeOwned;
exports.baseBackup = baseBackup;
exports.waitUntilStreaming = waitUntilStreaming;
exports.waitUntilCaughtUp = waitUntilCaughtUp;
exports.position = position;
