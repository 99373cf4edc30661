'use strict';

// What each server reports of itself, over one connection to each. Nothing is changed there.

const net = require('node:net');
const { label } = require('./format.js');
const { openNode, reasonOf } = require('./one-node.js');

/** @typedef {import('../../client.js').PoolOptions} PoolOptions */
/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {import('./one-node.js').Host} Host */

/**
 * One statement that any role may run. What a role may not see is null.
 *
 * Every role sees all connections in pg_stat_database, but not those of others in pg_stat_activity. A role always sees its own
 * session in pg_stat_ssl.
 */
const QUESTION = `
  SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
    current_setting('server_version_num')::int4 AS "versionNumber",
    current_user::text AS "user",
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS "isSuperuser",
    (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user) AS "connectionLimit",
    pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute') AS "seesIdentity",
    pg_catalog.pg_has_role('pg_monitor', 'usage') AS "isMonitor",
    pg_catalog.inet_server_port() AS "serverPort",
    (SELECT version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()) AS tls,
    (SELECT sum(numbackends)::int4 FROM pg_catalog.pg_stat_database) AS connections,
    (SELECT status FROM pg_catalog.pg_stat_wal_receiver LIMIT 1) AS "walReceiver",
    (SELECT string_agg(concat_ws(' ', application_name, sync_state), ', ' ORDER BY application_name)
       FROM pg_catalog.pg_stat_replication) AS standbys,
    (SELECT json_object_agg(name, setting) FROM pg_catalog.pg_settings WHERE name = ANY ($1)) AS settings`;

/** Settings that matter to a client, or to what a failover loses. */
const SETTINGS = [
  'default_transaction_read_only',
  'fsync',
  'full_page_writes',
  'idle_session_timeout',
  'max_connections',
  'reserved_connections',
  'superuser_reserved_connections',
  'synchronous_commit',
  'synchronous_standby_names',
  'wal_level',
];

/** The clock is read so many times; the fastest answer is the most exact. */
const CLOCK_READS = 3;

/**
 * @typedef {object} Server
 * @property {string} node `host:port`
 * @property {string | null} error why it could not be asked
 * @property {Record<string, any>} said the columns of QUESTION
 * @property {string[]} notices of the server and the pool, e.g. that there is a pooler
 * @property {{ aheadMs: number, exactMs: number } | null} clock how far it is ahead of this machine's, and the possible error
 */

/**
 * Asks a server for its settings and its clock.
 * @param {(options: PoolOptions) => Pool} createPool
 * @param {PoolOptions} options
 * @param {Host} host
 * @param {number} timeoutMs
 * @returns {Promise<Server>}
 */
async function examineServer(createPool, options, host, timeoutMs) {
  const node = label(host);
  const pool = openNode(createPool, options, host, timeoutMs);
  /** @type {string[]} */
  const notices = [];
  pool.on('notice', ({ message }) => notices.push(message));
  try {
    const call = { timeoutMs, readOnly: true };
    const said = await pool.one(QUESTION, [SETTINGS], call);
    let clock = null;
    for (let read = 0; read < CLOCK_READS; read++) {
      const before = Date.now();
      const at = await pool.value('SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::float8', [], call);
      const after = Date.now();
      const exactMs = (after - before) / 2;
      if (clock === null || exactMs < clock.exactMs) clock = { aheadMs: Number(at) - before - exactMs, exactMs };
    }
    return { node, error: null, said, clock, notices };
  } catch (error) {
    return { node, error: reasonOf(error), said: {}, clock: null, notices };
  } finally {
    await pool.end();
  }
}

/**
 * Whether a port accepts connections: all that can be found out without the add-on.
 * @param {Host} host
 * @param {number} timeoutMs
 * @returns {Promise<{ node: string, error: string | null }>}
 */
function checkPort({ host, port, address }, timeoutMs) {
  const node = label({ host, port });
  const to = host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host: address ?? host, port };
  return new Promise((resolve) => {
    const socket = net.connect(to);
    const end = (/** @type {string | null} */ error) => {
      socket.destroy();
      resolve({ node, error });
    };
    socket.setTimeout(timeoutMs, () => end(`no answer within ${timeoutMs} ms`));
    socket.once('connect', () => end(null));
    socket.once('error', (/** @type {NodeJS.ErrnoException} */ error) => end(error.code ?? error.message));
  });
}

module.exports = { checkPort, examineServer };
