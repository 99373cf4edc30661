'use strict';

// The settings of the cluster: Patroni's clock, the roles that may log in, and PostgreSQL's settings.

const path = require('node:path');
const { secretOf } = require('../../../exports/testing/cluster/secret.js');

/** @typedef {import('./install').Programs} Programs */
/** @typedef {{ ttl: number, loop_wait: number, retry_timeout: number }} Clock seconds */

const SUPERUSER = Object.freeze({
  user: 'postgres',
  get password() {
    return secretOf('postgres');
  },
  database: 'postgres',
});
const REPLICATION = Object.freeze({
  username: 'replicator',
  get password() {
    return secretOf('replicator');
  },
});
/** A role without special rights, as applications have. */
const APP = Object.freeze({
  user: 'app',
  get password() {
    return secretOf('app');
  },
  database: 'app',
});
const SCOPE = 'hyperion';

/**
 * As fast as possible, so that a round is short. From 3.2 on Patroni insists on a ttl of 20 seconds.
 *
 * @param {string} version
 * @returns {Clock}
 */
function clockFor(version) {
  const [major, minor] = version.split('.').map(Number);
  const quick = major < 3 || (major === 3 && minor < 2);
  return quick ? { ttl: 5, loop_wait: 1, retry_timeout: 2 } : { ttl: 20, loop_wait: 1, retry_timeout: 3 };
}

/**
 * Patroni's configuration of a member, as JSON, which is YAML, too.
 *
 * @param {object} member
 * @param {string} member.name
 * @param {string} member.host
 * @param {number} member.port
 * @param {number} member.restPort
 * @param {string} member.dir
 * @param {{ host: string, port: number }} etcd
 * @param {Programs} programs
 */
function configurationOf({ name, host, port, restPort, dir }, etcd, { patroni, postgres }) {
  return {
    scope: SCOPE,
    name,
    restapi: { listen: `${host}:${restPort}`, connect_address: `${host}:${restPort}` },
    etcd3: { host: `${etcd.host}:${etcd.port}` },
    bootstrap: {
      dcs: {
        ...clockFor(patroni.version),
        maximum_lag_on_failover: 1024 ** 2,
        synchronous_mode: true,
        postgresql: { use_pg_rewind: true, use_slots: true, parameters: SERVER },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C.UTF-8' }, 'data-checksums'],
    },
    postgresql: {
      listen: `${host}:${port}`,
      connect_address: `${host}:${port}`,
      data_dir: path.join(dir, 'data'),
      bin_dir: postgres.bin,
      pgpass: path.join(dir, 'pgpass'),
      authentication: {
        superuser: { username: SUPERUSER.user, password: SUPERUSER.password },
        replication: REPLICATION,
      },
      pg_hba: ['host replication replicator 127.0.0.0/8 scram-sha-256', 'host all all 127.0.0.0/8 scram-sha-256'],
      // Socket names depend on the port alone, and all members have the same port: each has a folder of its own.
      parameters: { unix_socket_directories: dir },
      remove_data_directory_on_rewind_failure: true,
      remove_data_directory_on_diverged_timelines: true,
    },
    watchdog: { mode: 'off' },
  };
}

const SERVER = {
  max_connections: 120,
  shared_buffers: '32MB',
  max_wal_size: '256MB',
  wal_keep_size: '128MB',
  wal_init_zero: 'off',
  wal_retrieve_retry_interval: '500ms',
  password_encryption: 'scram-sha-256',
  // Only processes crash here, and what they have written is in the page cache: fsync would only take time.
  fsync: 'off',
  dynamic_shared_memory_type: 'mmap', // a killed server leaves nothing outside its folder
  logging_collector: 'off',
  log_line_prefix: '%m [%p] %q%u %a ',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

module.exports = { APP, SUPERUSER, clockFor, configurationOf };
