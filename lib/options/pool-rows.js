'use strict';

// The options of createPool, a row each, and those that are objects. docs/configuration.md and client.d.ts are written from
// these rows: `npm run options` (scripts/options.js), and a test compares them. The rows of `ssl` are in tls-options.js, those of
// a host in hosts.js, those of `reads` in read-rows.js, those of `lease` in lease-rows.js, those of `types` in values/types.js, those of single calls in call-options.js.

const { DEFAULT_TYPES } = require('../values/types.js');
const { parseConninfo } = require('./conninfo.js');
const { OUTCOMES } = require('./exactly-once-rows.js');
const { port } = require('./hosts.js');
const { lease } = require('./lease-rows.js');
const { CHANNEL_BINDINGS, LOAD_BALANCING, MODES } = require('./keywords.js');
const { loggerOf } = require('./logger.js');
const { READS } = require('./read-rows.js');
const { requireAuth } = require('./require-auth.js');
const { settingsOf } = require('./session-settings.js');
const { boolean, choice, count, filled, later, members, ms, nonEmpty, oneOf, string, text } = require('./validate.js');

/** @typedef {import('./validate.js').Rows} Rows */

/** @satisfies {Rows} */
const MONITOR = {
  intervalMs: {
    type: 'number',
    value: 1_000,
    check: ms(10),
    text: 'the time between two looks at a node while all is well, ±10 %',
    more:
      'At most a third of `nodeTimeoutMs`. While no usable node is known it is 100; and whenever a connection breaks or a fence ' +
      'is seen, the nodes are looked at at once.',
  },
  nodeTimeoutMs: {
    type: 'number',
    value: 3_000,
    check: ms(100),
    text: 'a node that has answered nothing for so long is down',
    more: 'Its connections are dropped, and the statements on them are released.',
  },
};

/** The range of Linux, in whole seconds. */
const keepAliveMs = count(1_000, 32_767_000);

/** The defaults find a lost peer after half a minute instead of two hours. @satisfies {Rows} */
const KEEP_ALIVE = {
  idleMs: {
    type: 'number',
    value: 10_000,
    check: keepAliveMs,
    text: 'the silence before the first probe, from 1000, in whole seconds',
  },
  intervalMs: {
    type: 'number',
    value: 5_000,
    check: keepAliveMs,
    text: 'the time between two probes, from 1000, in whole seconds',
  },
  count: {
    type: 'number',
    value: null,
    preset: "the kernel's",
    check: count(1, 127),
    text: 'how many probes may stay without an answer',
  },
};

/** @satisfies {Rows} */
const PIPELINE = {
  depth: {
    type: 'number',
    // With a thousand in flight the server takes 13 % less time for a statement than with 8, and 2 % more than with 32. What is
    // behind a statement that turns out to be slow waits for it.
    value: 16,
    check: count(1, 1_000),
    text: 'how many statements one connection may have in flight',
  },
};

/** @satisfies {Rows} */
const RESET = {
  sql: { type: 'string', check: filled, preset: 'none', text: 'what undoes everything that a caller may have changed' },
};

/** @param {Rows} rows */
const presets = (rows) =>
  `{ ${Object.entries(rows)
    .filter(([, { value }]) => value !== null && value !== undefined)
    .map(([name, { value }]) => `${name}: ${value}`)
    .join(', ')} }`;

/** @param {unknown} value @returns {{ depth: number }} */
function pipeline(value) {
  if (typeof value === 'boolean') return { depth: value ? PIPELINE.depth.value : 1 };
  return /** @type {any} */ (members('pipeline', value, PIPELINE));
}

/** @param {unknown} value null: the nodes are not watched at all */
const monitor = (value) => (value === false ? null : members('monitor', value === true ? {} : value, MONITOR));

/** What is undone between two users of a connection, as the core reads it. @param {unknown} value */
function reset(value) {
  if (typeof value === 'string') return { mode: oneOf('reset', value, ['changes', 'none', 'discard']), sql: null };
  const { sql } = members('reset', value, RESET);
  return { mode: 'sql', sql: nonEmpty('reset.sql', sql) };
}

/** The weights are checked again when the hosts are known. @param {unknown} value */
const reads = (value) => members('reads', value, READS);

/** @param {unknown} value */
const password = (value) => (typeof value === 'function' ? value : string('password', value));

/** @param {unknown} value @param {string} name */
const ambient = (value, name) => (value === 'strict' ? value : boolean(value, name));

/** @type {Rows} */
const POOL = {
  connectionString: {
    type: 'string',
    preset: 'none',
    check: (/** @type {unknown} */ value, /** @type {string} */ name) => parseConninfo(nonEmpty(name, value)),
    text: "a URI or keyword=value string of libpq; `createPool('postgres://...')` is the same",
    more:
      "`'postgres://user:password@h1:5432,h2/database?sslmode=verify-full'` or `'host=h1,h2 user=...'`. What libpq knows and " +
      'this client cannot do is refused by name.',
  },
  service: {
    type: 'string',
    preset: '`PGSERVICE`',
    check: filled,
    text: 'a section of the service file (`~/.pg_service.conf`, `PGSERVICEFILE`); one that is not there is an error',
  },
  hosts: {
    type: 'string | Host | ReadonlyArray<string | Host>',
    preset: '`PGHOST`, this machine',
    check: later,
    text: "`'h'`, `'h:port'`, `'[::1]:5432'`, `'/socket/dir'`, `{ host, port, address }`, or an array of these",
    more:
      "A string may list several, separated by commas. The option takes the place of libpq's `host` and `hostaddr`. The server " +
      'of this machine is the socket in /var/run/postgresql or /tmp, else `localhost`.',
  },
  port: { type: 'number', preset: '`PGPORT`, 5432', check: port, text: 'the port of hosts that name none' },
  user: { type: 'string', preset: "`PGUSER`, the operating system's user", check: filled, text: 'who logs in' },
  password: {
    type: 'string | (() => string | Promise<string>)',
    preset: '`PGPASSWORD`, the password file',
    check: password,
    text: 'a string, or a function (also async) that is called for each new connection: for tokens that expire',
    more: 'What the function throws is the `cause` of ERR_PASSWORD.',
  },
  passfile: {
    local: true,
    type: 'string',
    preset: '`PGPASSFILE`, `~/.pgpass`',
    check: filled,
    text: 'the password file; it is ignored, with a warning, if others may read it',
  },
  database: { type: 'string', preset: "`PGDATABASE`, the user's name", check: filled, text: 'the database' },
  mode: {
    type: 'Mode',
    value: 'read-write',
    check: choice(MODES),
    text: 'which nodes the pool uses',
    link: '[README](../README.md#reading-from-standbys)',
    more: "libpq's default is `'any'`.",
  },
  loadBalanceHosts: {
    type: "'disable' | 'random'",
    value: 'disable',
    check: choice(LOAD_BALANCING),
    text: "`'random'`: the pool tries the hosts in random order",
  },
  ssl: {
    type: 'boolean | SslMode | SslOptions',
    preset: "`PGSSLMODE`, `'prefer'`",
    check: later,
    text: "TLS: an sslmode, `true` (verify-full with the system's roots), `false` (none) or an object; never used for sockets",
    link: '[TLS](#tls)',
    more: 'Files are checked by createPool, and read anew when they change.',
  },
  channelBinding: {
    type: "'disable' | 'prefer' | 'require'",
    value: 'prefer',
    check: choice(CHANNEL_BINDINGS),
    text: "whether SCRAM is bound to the TLS connection; `'require'` refuses a server that cannot do it",
  },
  requireAuth: {
    type: 'string | ReadonlyArray<AuthMethod | `!${AuthMethod}`>',
    value: '',
    preset: 'any method',
    check: requireAuth,
    text: "how a server may ask for the identity of the client: `'scram-sha-256,none'`, or how it may not: `'!password,!md5'`; or an array",
    more: 'Another method is ERR_AUTH. By default a password goes in clear text over TLS or a socket only.',
  },
  keepAlive: {
    type: 'false | KeepAliveOptions',
    preset: `\`${presets(KEEP_ALIVE)}\``,
    check: later,
    text: 'TCP keepalives, also `count`; `false`: none',
  },
  tcpUserTimeoutMs: {
    type: 'number',
    value: 60_000,
    check: ms(0),
    text: "how long sent data may stay unacknowledged before the connection is closed (Linux); 0: the kernel's limit",
  },
  poolSize: { type: 'number', value: 10, check: count(1, 10_000), text: 'the most connections of the pool' },
  minPoolSize: {
    type: 'number',
    value: 0,
    check: count(0, 10_000),
    text: 'so many connections are opened at once, and kept when they are idle, too',
    more: 'What cannot be opened is tried again every few seconds, and nobody waits for it.',
  },
  connectTimeoutMs: {
    type: 'number',
    value: 2_000,
    check: ms(1),
    text: 'the limit for one attempt at one node: TCP, TLS, login and role check',
  },
  acquireTimeoutMs: {
    type: 'number',
    value: 5_000,
    check: ms(1),
    text: 'the longest wait for a usable connection, and so for a new primary; retries included',
  },
  statementTimeoutMs: {
    type: 'number',
    preset: 'none',
    check: ms(1),
    text: "the server's `statement_timeout` on every connection",
  },
  idleTimeoutMs: { type: 'number', value: 600_000, check: ms(1), text: 'an idle connection is closed after this time' },
  maxLifetimeMs: {
    type: 'number',
    value: 1_800_000,
    check: ms(1),
    text: 'a connection is replaced at this age, or up to 10 % earlier',
  },
  statementCacheSize: {
    type: 'number',
    value: 256,
    check: count(1, 100_000),
    text: 'how many prepared statements a connection keeps; the least recently used one is closed first',
  },
  maxResultBytes: {
    type: 'number',
    preset: 'none',
    check: count(1, Number.MAX_SAFE_INTEGER),
    text: 'a larger result (of a stream: a larger row) fails with `ERR_RESULT_TOO_LARGE`',
    more:
      'Counted are the bytes of the rows as the server sends them; COPY is not bounded. The connection is kept: a statement ' +
      'that is alone on its connection is cancelled, else the rest is thrown away. `outcome` says what came of the statement.',
  },
  prepare: {
    type: 'boolean',
    preset: '`true`, `false` where a pooler is recognised',
    check: boolean,
    text: '`false`: statements have no names on the server, for PgBouncer in transaction mode',
    link: '[pgbouncer.md](pgbouncer.md)',
    more: 'The text then goes with each run, in the same flight. A `notice` event says once that a pooler was recognised.',
  },
  reset: {
    type: "'changes' | 'none' | 'discard' | { sql: string }",
    value: 'changes',
    check: reset,
    text: "what is undone between two users of a connection: also `'none'`, `'discard'`, `{ sql }`",
    more:
      "`'changes'`: settings, whatever has changed them (`SET`, `set_config`, functions, triggers), in one message behind a " +
      "statement that may have. `'discard'`: each time all that a session can hold, temporary tables and advisory locks included, which " +
      "costs a round trip and the pipeline. `{ sql }`: the same with SQL of your own. `'none'`: nothing. A connection on which " +
      'this fails is closed, and an `error` event tells of it.',
  },
  pipeline: {
    type: 'boolean | { depth?: number }',
    value: true,
    check: pipeline,
    text: `how many statements one connection may have in flight: \`{ depth: ${PIPELINE.depth.value} }\`; \`false\`: one`,
    more:
      'An idle connection is always preferred. Slow statements, statements in transactions and those with a timeout or a signal ' +
      'have a connection to themselves.',
  },
  monitor: {
    type: 'boolean | MonitorOptions',
    value: true,
    preset: `\`${presets(MONITOR)}\``,
    check: monitor,
    text: 'how the pool watches the nodes; `false`: not at all',
    more:
      'It uses one light connection to each node, which all pools with the same nodes, user, database and settings share. ' +
      'Without it roles are known from the connections of the pool only, and a statement on a node that has fallen silent ' +
      'waits for the kernel (a minute or more) or its own `timeoutMs`.',
  },
  transactionRetries: {
    local: true,
    type: 'number',
    value: 0,
    check: count(0, 1_000_000),
    text: 'the `retries` of each `transaction()` that names none',
  },
  ...OUTCOMES,
  ambient: {
    local: true,
    type: "boolean | 'strict'",
    value: false,
    check: ambient,
    text: "whether calls of the pool within the callback of `transaction()` join that transaction; `'strict'`: they are refused there",
    link: '[transactions.md](transactions.md#ambient-transactions)',
    more: 'Through any depth of awaits, timers and libraries (AsyncLocalStorage). {@link Pool.outside} is the way out.',
  },
  reads: {
    type: 'ReadsOptions',
    value: {},
    preset: '`{}`',
    check: reads,
    text: 'how `pool.read` chooses among the nodes',
    link: '[reads](#reads)',
  },
  lease: {
    type: 'LeaseOptions | null',
    value: null,
    preset: 'none',
    check: lease,
    text: 'signed leases for the sessions, so that those of a frozen process can be told and ended',
    link: '[leases](#leases)',
    more: 'The `application_name` of a session of the pool is then its lease.',
  },
  applicationName: {
    type: 'string',
    value: 'hyperiondb-client',
    check: text,
    text: 'the name that the server shows; a connection that watches a node adds ` monitor`',
  },
  name: {
    local: true,
    type: 'string',
    preset: '`pool1`, `pool2`, ...',
    check: filled,
    text: 'what the pool is called in metrics and traces',
    link: '[Prometheus](observability.md#prometheus)',
    more:
      'The default is the lowest number that no open pool has. A name that another open pool of the process has gets a number, ' +
      "too: `'orders#2'`. {@link Pool.name} is what it has become.",
  },
  options: {
    type: 'Readonly<Record<string, string | number | boolean>>',
    value: {},
    preset: '`{}`',
    check: settingsOf,
    text: "session settings, which are sent at startup: `{ work_mem: '64MB' }`",
    link: '[session settings](#session-settings)',
    more: 'What would be ignored (`client_encoding`, `application_name`) or would break the client is refused by name.',
  },
  types: {
    type: 'TypeChoices',
    value: {},
    preset: '`{}`',
    check: (/** @type {unknown} */ value) => DEFAULT_TYPES.with(value),
    text: 'how values arrive and are sent: `{ int8, numeric, date, json, parsers, serializers }`',
    link: '[types.md](types.md#choices)',
    more: 'By default int8 is a BigInt, numeric and times are strings, json is parsed.',
  },
  slowQueryMs: {
    local: true,
    type: 'number',
    preset: 'none',
    check: ms(0),
    text: 'from this duration on, in ms, a statement is slow: the event `slow` and the logger tell of it; 0: each one',
    link: '[slow statements](observability.md#slow-statements)',
    more: 'The time for which it has waited for a connection counts.',
  },
  logger: {
    local: true,
    type: '((event: LogEvent) => void) | Logger',
    preset: 'none',
    check: loggerOf,
    text: 'pino, winston, bunyan, console or the like; or a function, called once for each statement',
    link: '[logs](observability.md#logs)',
    more: 'What it throws is swallowed. A function is told of statements alone.',
  },
  logParameters: {
    local: true,
    type: 'boolean',
    value: false,
    check: boolean,
    text: 'whether the logger and the event `slow` get the `parameters`, too',
    more: "They are what users have typed. (The `detail` of a server's error may quote values all the same.)",
  },
};

module.exports = { KEEP_ALIVE, MONITOR, POOL };
