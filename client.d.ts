// The public API. Times are milliseconds (`Ms`), sizes are bytes. The README tells the same in prose.

import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/** Which nodes a pool may use. */
export type Mode =
  /** The primary, if it accepts writes. */
  | 'read-write'
  /** A node whose sessions are read-only: a standby, or a fenced primary. */
  | 'read-only'
  /** A standby when one is up, else the primary. */
  | 'prefer-standby'
  /** Any node. */
  | 'any'
  /** The node that is not in recovery, whether or not it accepts writes. */
  | 'primary'
  /** A node in recovery. */
  | 'standby';

/** A host with its port; both parts of `'host:port'`. */
export interface Host {
  /** A name, an IP address or the folder of a socket. */
  host: string;
  /** Its port. Default: the option `port`. */
  port?: number;
  /**
   * The IP address at which `host` is: nothing is looked up, and `host` is what a certificate must name. Default:
   * what its name leads to.
   */
  address?: string;
}

/** How much a connection is protected (PostgreSQL docs, 34.19). */
export type SslMode =
  /** No TLS. */
  | 'disable'
  /** TLS only if the server refuses a connection without it. */
  | 'allow'
  /** TLS if the server can: nobody is kept from reading by this. */
  | 'prefer'
  /** TLS, with anybody who has any certificate. */
  | 'require'
  /** A certificate of a CA that is trusted. */
  | 'verify-ca'
  /** And for the host's name. */
  | 'verify-full';

/** TLS in detail. What is missing here is taken from the connection string and the environment (`sslrootcert`, PGSSLCERT, ...). */
export interface SslOptions {
  /**
   * How much the connection is protected. Default: `'verify-full'`, whatever a connection string says; with
   * `rejectUnauthorized: false` `'require'`.
   */
  mode?: SslMode;
  /**
   * Whom to trust: PEM text, a path, or `'system'` for the system's roots (with verify-full alone). Where there is a
   * CA, the chain is verified in every mode. Default: the file ~/.postgresql/root.crt where it exists; for
   * verify-full, the system's roots.
   */
  ca?: string | Uint8Array;
  /** The certificate of the client: PEM text or a path. Default: ~/.postgresql/postgresql.crt where it exists. */
  cert?: string | Uint8Array;
  /**
   * The private key of the client, not encrypted: PEM text or a path. A file that others may read (more than 0600, or
   * 0640 if root owns it) is refused: {@link OptionError}. Default: ~/.postgresql/postgresql.key.
   */
  key?: string | Uint8Array;
  /** Certificates that were revoked: PEM text or a path. Default: ~/.postgresql/root.crl where it exists. */
  crl?: string | Uint8Array;
  /** The name that is sent and verified instead of the host's. Default: the host's. */
  servername?: string;
  /**
   * `false`: nothing is verified, and whoever is in between can read and change everything. Default: as `mode` says.
   */
  rejectUnauthorized?: boolean;
  /**
   * `'direct'`: TLS from the first byte, which saves a round trip; PostgreSQL 17+, mode `'require'` or stronger.
   * Default: `'postgres'`.
   */
  negotiation?: 'postgres' | 'direct';
  /** Whether the server's name is sent. Default: `true`. */
  sni?: boolean;
  /** The oldest version of TLS. Default: `'TLSv1.2'`, the least there is. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** The newest version of TLS. Default: `'TLSv1.3'`. */
  maxVersion?: 'TLSv1.2' | 'TLSv1.3';
}

/** How a server may ask who we are; `'none'`: not at all (trust, certificates). */
export type AuthMethod = 'password' | 'md5' | 'gss' | 'sspi' | 'scram-sha-256' | 'none';

/** TCP keepalives: a peer that is gone is found out after `idleMs` + `count` times `intervalMs`. */
export interface KeepAliveOptions {
  /** The silence before the first probe, from 1000, in whole seconds. Default: 10000. */
  idleMs?: number;
  /** The time between two probes, from 1000, in whole seconds. Default: 5000. */
  intervalMs?: number;
  /** How many probes may stay without an answer. Default: the kernel's. */
  count?: number;
}

/** How values arrive and are sent. Of the choices the first named is the default. */
export interface TypeChoices {
  int8?: 'bigint' | 'number' | 'string';
  /** `'number'` loses digits beyond a double's 15 to 17. */
  numeric?: 'string' | 'number';
  /** timestamptz, timestamp (taken as UTC) and date. A Date has no microseconds and no infinity (which stays a number). */
  date?: 'string' | 'date';
  json?: 'parse' | 'string';
  /**
   * Makes what arrives out of a value's text, as the server prints it (`DateStyle = ISO`, UTC); wins over the choices above.
   *
   * By the type's name in pg_type (`'int4'`, `'timestamptz'`, `'mood'`, `'schema.mood'`, arrays `'int4[]'`) or its oid. Also for
   * the type's values in arrays and composites; NULL stays null. The server announces a column of a domain as the domain's
   * base type. What a parser throws rejects the statement with ERR_PARSER (`outcome: 'applied'`). In the `types` of a call,
   * null takes the pool's parser away.
   */
  parsers?: Readonly<Record<string, ((text: string) => unknown) | null>>;
  /**
   * Makes the text that is sent (or null, for NULL) out of a parameter, by the name or oid of the parameter's type; also in
   * arrays, composites and rows of copyFrom(). null and undefined are NULL without it. The first run of a statement costs a
   * round trip more: the server is asked for the types of its parameters, and the serializer is called after that.
   */
  // biome-ignore lint/suspicious/noExplicitAny: whoever registers it knows what is passed to it
  serializers?: Readonly<Record<string, ((value: any) => string | null | undefined) | null>>;
}

/** What a function that is the option `logger` is told, once a statement. */
export interface LogEvent {
  /** Of copyFrom(): its target. */
  sql: string;
  durationMs: number;
  /** With the option `logParameters`: what the caller gave. Missing for scripts and copies, which have none. */
  parameters?: readonly unknown[];
  /** Rows returned or changed; missing when the statement failed. */
  rowCount?: number;
  error?: unknown;
  /** `host:port` of the node that answered; undefined when none did. */
  node: string | undefined;
}

/** What the event `slow` tells: a statement that took `slowQueryMs` or longer. */
export interface SlowEvent {
  /** Of copyFrom(): its target. */
  sql: string;
  operation: QueryMessage['operation'];
  /** From the call to the end of the answer: of a stream or a copy, to its last row. */
  durationMs: number;
  /** The part of it for which the statement has waited for a connection. */
  waitMs: number;
  /** `host:port` of the node that answered; undefined when none did. */
  node: string | undefined;
  /** Rows returned or changed; undefined when the statement failed, and for copyTo(). */
  rowCount: number | undefined;
  /** With the option `logParameters`. Missing for scripts and copies, which have none. */
  parameters?: readonly unknown[];
  /** If it failed. */
  error?: unknown;
}

/**
 * A logger with a function for each level: pino, winston, bunyan, console. pino and bunyan get fields and text, all others
 * text and fields.
 */
export interface Logger {
  // biome-ignore lint/suspicious/noExplicitAny: each kind of logger declares its own
  info(...args: any[]): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: each kind of logger declares its own
  warn(...args: any[]): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: each kind of logger declares its own
  error(...args: any[]): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: each kind of logger declares its own
  debug(...args: any[]): unknown;
}

/** A statement as {@link QueryMessage} tells of it; also each one of a batch. */
export interface StatementMessage {
  /** The text as the caller gave it. Of copyFrom(): its target; of a batch: all texts. */
  readonly sql: string;
  /**
   * What is sent in its place, if a subscriber to `start` sets it: `sql` with a comment behind it, for example. The name of a
   * statement of `hyperiondb-client/pg` keeps its text, and a COPY its own.
   */
  text: string | undefined;
  /** The array of the caller. Printing the message does not show it. */
  readonly parameters: readonly unknown[];
  /** `host:port` of the node that answered; undefined: none did. Known at `asyncStart`, as all that follows. */
  readonly node: string | undefined;
  /** Rows returned or changed; undefined when the statement failed, and for copyTo(). */
  readonly rowCount: number | undefined;
  /** How long it has waited for a connection. */
  readonly waitMs: number;
  readonly error: unknown;
}

/** What the TracingChannel `hyperiondb:query` of node:diagnostics_channel tells. Rows are no part of it. */
export interface QueryMessage extends StatementMessage {
  readonly operation: 'query' | 'read' | 'stream' | 'batch' | 'exec' | 'copyFrom' | 'copyTo';
  readonly pool: Pool;
  /** In which it runs, if that began while somebody listened. */
  readonly transaction: TransactionMessage | undefined;
  /** Those of a batch. */
  readonly statements: readonly StatementMessage[] | undefined;
}

/** What the TracingChannel `hyperiondb:transaction` of node:diagnostics_channel tells: from BEGIN to the end, with all attempts. */
export interface TransactionMessage
  extends Pick<TransactionOptions, 'isolation' | 'readOnly' | 'deferrable' | 'durability'> {
  readonly pool: Pool;
  /** How often it was begun. */
  readonly attempts: number;
  /** `host:port` of the node on which it has run, the last time that it was begun. */
  readonly node: string | undefined;
  /** Known at `asyncStart`. `'prepared'`: for two-phase commit. `'unknown'`: the answer to COMMIT was lost. */
  readonly outcome: 'committed' | 'rolled back' | 'prepared' | 'unknown' | undefined;
  readonly error: unknown;
}

/** What the channel `hyperiondb:failover` of node:diagnostics_channel tells: the event `failover`, and whose it is. */
export interface FailoverMessage extends Failover {
  readonly pool: Pool;
}

/** How the nodes are watched. */
export interface MonitorOptions {
  /**
   * The time between two looks at a node while all is well, ±10 %. At most a third of `nodeTimeoutMs`. While no
   * usable node is known it is 100; and whenever a connection breaks or a fence is seen, the nodes are looked at at
   * once. Default: 1000.
   */
  intervalMs?: number;
  /**
   * A node that has answered nothing for so long is down. Its connections are dropped, and the statements on them are
   * released. Default: 3000.
   */
  nodeTimeoutMs?: number;
}

/** How the nodes for {@link Pool.read} are chosen. docs/configuration.md has the other members of `reads`. */
export type Balance =
  /** One after the other. */
  | 'round-robin'
  /** Any of them. */
  | 'random'
  /** In proportion to `weights`. */
  | 'weighted'
  /** The one with the fewest statements in flight. */
  | 'least-connections'
  /** Of two random ones the one with the lower latency, as it was measured lately. */
  | 'response-time'
  /** The one with the best of latency, load, lag and errors, in one formula, with `weights`. */
  | 'health-aware';

/**
 * A strategy of your own: is given the nodes of {@link Pool.nodes} that are fit, at least one, and returns one of them, or its
 * `'host:port'`.
 */
export type BalanceFunction = (nodes: NodeStatus[]) => { host: string; port: number } | string;

/** How {@link Pool.read} chooses among the nodes. */
export interface ReadsOptions {
  /** The most connections to each standby, beside `poolSize`. They are made when they are first needed. Default: 10. */
  poolSize?: number;
  /**
   * Which of the fit nodes gets a read: the name of a strategy, or `(nodes) => node`. The function is called for each
   * read with the nodes of `nodes()` that are fit, and returns one of them or its `'host:port'`. When that node
   * fails, or is behind the bounds of the call, `least-connections` chooses another; when none is fit the function is
   * not called. A read rejects with what the function throws, and with a {@link ParameterError} when it returns
   * anything else. Default: `'least-connections'`.
   */
  balance?: Balance | BalanceFunction;
  /**
   * How much of the reads each node gets: `{ 'db2:5432': 3 }`, or by the host alone if one port of it is listed. Used
   * by `weighted` and `health-aware`. A node with 0 is used only when nothing else is fit. Default: 1 each.
   */
  weights?: Readonly<Record<string, number>>;
  /**
   * A standby that is further behind than this is not fit. Nor is one whose lag is not known: it may be cut off from
   * its primary. Default: none.
   */
  maxLagMs?: number;
  /** The same in bytes of the WAL. Default: none. */
  maxLagBytes?: number;
  /**
   * Where a read goes when no standby is fit; `'none'`: nowhere, `ERR_NO_STANDBY` after `acquireTimeoutMs`. Default:
   * `'primary'`.
   */
  fallback?: 'primary' | 'none';
  /** The longest wait for a standby to reach the token in `after`; then the read goes to the primary. Default: 500. */
  waitMs?: number;
  /**
   * A read that has no answer after this time is sent to a second node, too. The first answer wins, and the other
   * statement is cancelled. Default: none.
   */
  hedgeMs?: number;
  /** The most of all reads that may be sent twice, from 0 to 1. Default: 0.05. */
  hedgeShare?: number;
  /** A node that has come back gets its share of the reads back over this time. Default: 5000. */
  slowStartMs?: number;
  /**
   * A node of whose reads a smaller share has succeeded of late is used only when nothing else is fit, from 0 to 1.
   * Used by `health-aware`. Default: 0: no.
   */
  healthThreshold?: number;
}

/**
 * Signed leases for the sessions of a pool, for processes that are frozen with their sessions open (AWS Lambda and the like). A lease
 * is the `application_name` of a session, and says until when the session is in use. Whoever has the secret can end the sessions
 * whose lease has expired, by the server's clock, and never another.
 */
export interface LeaseOptions {
  /**
   * What the leases are signed with: at least 16 bytes, the same in all processes of the service, and not the
   * password. An array is for rotation: the first secret signs, all verify. It is never printed. Default: none, which
   * only `leaseMode: 'optional'` allows.
   */
  coordinationSecret?: string | Uint8Array | ReadonlyArray<string | Uint8Array> | null;
  /**
   * `'optional'`: without a secret, and behind a transaction pooler, the pool works without leases, and says so once.
   * Default: `'required'`.
   */
  leaseMode?: 'required' | 'optional';
  /**
   * Whose sessions these are: a process ends only expired sessions of its own service. Characters other than `A-Z a-z
   * 0-9 : _ -` become `_`; a name of more than 20 characters keeps its first 11, and ends in `-` and 8 digits of its
   * SHA-1. Default: `AWS_LAMBDA_FUNCTION_NAME`, `'sls_pg'`.
   */
  serviceName?: string;
  /** For how long a lease is valid after its last renewal. Default: 90000. */
  leaseTtlMs?: number;
  /**
   * With less than this left a lease is renewed in the background; less than `leaseTtlMs`. Default: 30000, or a third
   * of `leaseTtlMs` if that is less.
   */
  heartbeatSoftRemainingMs?: number;
  /**
   * With less than this left a lease is renewed before a statement is sent; at most `heartbeatSoftRemainingMs`.
   * Default: 5000, or a sixth of `heartbeatSoftRemainingMs` if that is less.
   */
  heartbeatHardWaitRemainingMs?: number;
  /** How long a renewal may take. Default: 2000. */
  heartbeatTimeoutMs?: number;
  /**
   * What a failed renewal does: the statement gets a new session, goes on in the old one, or fails with the error.
   * Default: `'reconnect'`.
   */
  heartbeatErrorMode?: 'reconnect' | 'swallow' | 'throw';
  /** Whether expired sessions are ended by themselves; `pool.reap()` works all the same. Default: `true`. */
  reaper?: boolean;
  /**
   * How likely a pass is after a connect, from 0 to 1. While the server has less than a fifth of its connections
   * left, or has refused a connect before for want of one (53300), each connect is followed by a pass, unless the
   * probability is 0 or `reaper` is false. Default: 0.1.
   */
  reaperRunProbability?: number;
  /**
   * The time between two passes of a process for a service, ±10 %; it grows while other processes run theirs.
   * Default: 30000.
   */
  reaperCooldownMs?: number;
  /** A session that has been idle for less than this is not ended, in seconds. Default: 180. */
  minConnectionIdleTimeSec?: number;
  /** How many sessions a pass ends at most on a node, those that expired first before others. Default: 10. */
  maxIdleConnectionsToKill?: number;
  /**
   * `'throw'`: `pool.reap()` rejects with the error of a pass; else only the event `lease` has it. Default:
   * `'swallow'`.
   */
  reaperErrorMode?: 'swallow' | 'throw';
}

/**
 * Options of {@link createPool}. A mistake throws an {@link OptionError} that names the option.
 *
 * What is missing is taken from the connection string, then the service file, then libpq's environment variables, then, for the
 * password alone, the password file; the defaults below come last. docs/configuration.md has every keyword and variable.
 */
export interface PoolOptions {
  /**
   * A URI or keyword=value string of libpq; `createPool('postgres://...')` is the same.
   * `'postgres://user:password@h1:5432,h2/database?sslmode=verify-full'` or `'host=h1,h2 user=...'`. What libpq knows
   * and this client cannot do is refused by name. Default: none.
   */
  connectionString?: string;
  /**
   * A section of the service file (`~/.pg_service.conf`, `PGSERVICEFILE`); one that is not there is an error.
   * Default: `PGSERVICE`.
   */
  service?: string;
  /**
   * `'h'`, `'h:port'`, `'[::1]:5432'`, `'/socket/dir'`, `{ host, port, address }`, or an array of these. A string may
   * list several, separated by commas. The option takes the place of libpq's `host` and `hostaddr`. The server of
   * this machine is the socket in /var/run/postgresql or /tmp, else `localhost`. Default: `PGHOST`, this machine.
   */
  hosts?: string | Host | ReadonlyArray<string | Host>;
  /** The port of hosts that name none. Default: `PGPORT`, 5432. */
  port?: number;
  /** Who logs in. Default: `PGUSER`, the operating system's user. */
  user?: string;
  /**
   * A string, or a function (also async) that is called for each new connection: for tokens that expire. What the
   * function throws is the `cause` of ERR_PASSWORD. Default: `PGPASSWORD`, the password file.
   */
  password?: string | (() => string | Promise<string>);
  /** The password file; it is ignored, with a warning, if others may read it. Default: `PGPASSFILE`, `~/.pgpass`. */
  passfile?: string;
  /** The database. Default: `PGDATABASE`, the user's name. */
  database?: string;
  /** Which nodes the pool uses. libpq's default is `'any'`. Default: `'read-write'`. */
  mode?: Mode;
  /** `'random'`: the pool tries the hosts in random order. Default: `'disable'`. */
  loadBalanceHosts?: 'disable' | 'random';
  /**
   * TLS: an sslmode, `true` (verify-full with the system's roots), `false` (none) or an object; never used for
   * sockets. Files are checked by createPool, and read anew when they change. Default: `PGSSLMODE`, `'prefer'`.
   */
  ssl?: boolean | SslMode | SslOptions;
  /**
   * Whether SCRAM is bound to the TLS connection; `'require'` refuses a server that cannot do it. Default:
   * `'prefer'`.
   */
  channelBinding?: 'disable' | 'prefer' | 'require';
  /**
   * How a server may ask for the identity of the client: `'scram-sha-256,none'`, or how it may not:
   * `'!password,!md5'`; or an array. Another method is ERR_AUTH. By default a password goes in clear text over TLS or
   * a socket only. Default: any method.
   */
  requireAuth?: string | ReadonlyArray<AuthMethod | `!${AuthMethod}`>;
  /** TCP keepalives, also `count`; `false`: none. Default: `{ idleMs: 10000, intervalMs: 5000 }`. */
  keepAlive?: false | KeepAliveOptions;
  /**
   * How long sent data may stay unacknowledged before the connection is closed (Linux); 0: the kernel's limit.
   * Default: 60000.
   */
  tcpUserTimeoutMs?: number;
  /** The most connections of the pool. Default: 10. */
  poolSize?: number;
  /**
   * So many connections are opened at once, and kept when they are idle, too. What cannot be opened is tried again
   * every few seconds, and nobody waits for it. Default: 0.
   */
  minPoolSize?: number;
  /** The limit for one attempt at one node: TCP, TLS, login and role check. Default: 2000. */
  connectTimeoutMs?: number;
  /** The longest wait for a usable connection, and so for a new primary; retries included. Default: 5000. */
  acquireTimeoutMs?: number;
  /** The server's `statement_timeout` on every connection. Default: none. */
  statementTimeoutMs?: number;
  /** An idle connection is closed after this time. Default: 600000. */
  idleTimeoutMs?: number;
  /** A connection is replaced at this age, or up to 10 % earlier. Default: 1800000. */
  maxLifetimeMs?: number;
  /** How many prepared statements a connection keeps; the least recently used one is closed first. Default: 256. */
  statementCacheSize?: number;
  /**
   * A larger result (of a stream: a larger row) fails with `ERR_RESULT_TOO_LARGE`. Counted are the bytes of the rows
   * as the server sends them; COPY is not bounded. The connection is kept: a statement that is alone on its
   * connection is cancelled, else the rest is thrown away. `outcome` says what came of the statement. Default: none.
   */
  maxResultBytes?: number;
  /**
   * `false`: statements have no names on the server, for PgBouncer in transaction mode. The text then goes with each
   * run, in the same flight. A `notice` event says once that a pooler was recognised. Default: `true`, `false` where
   * a pooler is recognised.
   */
  prepare?: boolean;
  /**
   * What is undone between two users of a connection: also `'none'`, `'discard'`, `{ sql }`. `'changes'`: settings,
   * whatever has changed them (`SET`, `set_config`, functions, triggers), in one message behind a statement that may
   * have. `'discard'`: each time all that a session can hold, temporary tables and advisory locks included, which
   * costs a round trip and the pipeline. `{ sql }`: the same with SQL of your own. `'none'`: nothing. A connection on
   * which this fails is closed, and an `error` event tells of it. Default: `'changes'`.
   */
  reset?: 'changes' | 'none' | 'discard' | { sql: string };
  /**
   * How many statements one connection may have in flight: `{ depth: 16 }`; `false`: one. An idle connection is
   * always preferred. Slow statements, statements in transactions and those with a timeout or a signal have a
   * connection to themselves. Default: `true`.
   */
  pipeline?: boolean | { depth?: number };
  /**
   * How the pool watches the nodes; `false`: not at all. It uses one light connection to each node, which all pools
   * with the same nodes, user, database and settings share. Without it roles are known from the connections of the
   * pool only, and a statement on a node that has fallen silent waits for the kernel (a minute or more) or its own
   * `timeoutMs`. Default: `{ intervalMs: 1000, nodeTimeoutMs: 3000 }`.
   */
  monitor?: boolean | MonitorOptions;
  /** The `retries` of each `transaction()` that names none. Default: 0. */
  transactionRetries?: number;
  /**
   * The table of `transaction()` with `exactlyOnce`, also `'schema.table'`; both names as they are, without quotes.
   * `npx hyperiondb-client setup exactly-once` makes it. Default: `'hyperiondb_outcome'`.
   */
  exactlyOnceTable?: string;
  /**
   * How long the rows of that table are kept, and so how long a key is known; 0: for ever. From 60000. The pools that
   * share a table should agree. What is older is deleted in small pieces, behind calls with `exactlyOnce`. Default:
   * 86400000.
   */
  exactlyOnceKeepMs?: number;
  /**
   * Whether calls of the pool within the callback of `transaction()` join that transaction; `'strict'`: they are
   * refused there. Through any depth of awaits, timers and libraries (AsyncLocalStorage). {@link Pool.outside} is the
   * way out. Default: `false`.
   */
  ambient?: boolean | 'strict';
  /** How `pool.read` chooses among the nodes. Default: `{}`. */
  reads?: ReadsOptions;
  /**
   * Signed leases for the sessions, so that those of a frozen process can be told and ended. The `application_name`
   * of a session of the pool is then its lease. Default: none.
   */
  lease?: LeaseOptions | null;
  /**
   * The name that the server shows; a connection that watches a node adds ` monitor`. Default: `'hyperiondb-client'`.
   */
  applicationName?: string;
  /**
   * What the pool is called in metrics and traces. The default is the lowest number that no open pool has. A name
   * that another open pool of the process has gets a number, too: `'orders#2'`. {@link Pool.name} is what it has
   * become. Default: `pool1`, `pool2`, ....
   */
  name?: string;
  /**
   * Session settings, which are sent at startup: `{ work_mem: '64MB' }`. What would be ignored (`client_encoding`,
   * `application_name`) or would break the client is refused by name. Default: `{}`.
   */
  options?: Readonly<Record<string, string | number | boolean>>;
  /**
   * How values arrive and are sent: `{ int8, numeric, date, json, parsers, serializers }`. By default int8 is a
   * BigInt, numeric and times are strings, json is parsed. Default: `{}`.
   */
  types?: TypeChoices;
  /**
   * From this duration on, in ms, a statement is slow: the event `slow` and the logger tell of it; 0: each one. The
   * time for which it has waited for a connection counts. Default: none.
   */
  slowQueryMs?: number;
  /**
   * Pino, winston, bunyan, console or the like; or a function, called once for each statement. What it throws is
   * swallowed. A function is told of statements alone. Default: none.
   */
  logger?: ((event: LogEvent) => void) | Logger;
  /**
   * Whether the logger and the event `slow` get the `parameters`, too. They are what users have typed. (The `detail`
   * of a server's error may quote values all the same.) Default: `false`.
   */
  logParameters?: boolean;
}

/**
 * What the server accepts as a parameter; docs/types.md says how each value is sent. A Map is its entries by name, a Set an array, an
 * ArrayBuffer or a view of one is bytea. What holds something that cannot be sent (a Promise, a WeakMap) is refused by its name.
 */
export type Parameter = unknown;

/** A column of a result. */
export interface Field {
  name: string;
  typeOid: number;
  /** As pg_type has it (`'int8'`, `'_int4'`). `'unknown'` in a result of a script at whose end nothing is known of the type. */
  typeName: string;
  /** As pg_attribute has it: what `(10)` in `varchar(10)` comes to; -1 for none. */
  typeModifier: number;
  /** Of the table the column comes from; null when it comes from none. */
  tableOid: number | null;
  /** Its number in that table, from 1. */
  columnNumber: number | null;
}

/** The rows of a result: an ordinary array. `rowCount`, `command`, `fields`, `node` and `token` are not enumerable. */
export type Rows<T = Record<string, unknown>> = T[] & {
  /** Rows returned or changed. */
  readonly rowCount: number;
  /** `'SELECT'`, `'INSERT'`, `'CREATE'`, ...; empty for an empty statement. */
  readonly command: string;
  readonly fields: ReadonlyArray<Field>;
  /** `'host:port'` of the node that answered; null when none was asked. */
  readonly node: string | null;
};

/** The rows of a call with the option `token`. */
export type TokenRows<T = Record<string, unknown>> = Rows<T> & {
  /** A consistency token: whoever reads with `{ after: token }` sees this statement. See {@link Pool.token}. */
  readonly token: string;
};

export interface QueryOptions {
  /**
   * After this the statement is cancelled on the server: {@link QueryTimeoutError}; waiting for a connection counts.
   * Default: none.
   */
  timeoutMs?: number;
  /** When it fires the statement is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /**
   * The caller's promise that nothing is changed: what loses its connection may run again. Within a transaction it
   * changes nothing, because no statement of one runs again alone. Default: `false`.
   */
  readOnly?: boolean;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
}

/** Of query() and many() on a pool; one(), maybeOne() and value() refuse it: what they return could not have it. */
export interface TokenOptions {
  /**
   * The result has a consistency token, `rows.token`, at no round trip of its own: whoever reads with it sees this
   * statement. Of a pool whose `mode` is `'read-write'` or `'primary'`. A transaction refuses it: a position is known
   * only after COMMIT, so ask {@link Pool.token} then.
   */
  token: true;
}

/** Of query() of a transaction. */
export interface CommitOptions {
  /**
   * The statement is the last one of its transaction: COMMIT goes with it, at no round trip of its own. The promise
   * resolves when both were answered. The transaction is over then, also if the statement or COMMIT fails: nothing of
   * it is applied, unless the error has another `outcome`. A savepoint and a nested transaction refuse it, and so
   * does `exactlyOnce`. Default: `false`.
   */
  commit?: boolean;
}

/** Options of {@link Pool.read}. What is not given is as the pool's `reads` says. */
export interface ReadOptions {
  /** A standby that is further behind than this is not fit. Default: the pool's `reads.maxLagMs`. */
  maxLagMs?: number;
  /** The same in bytes of the WAL. Default: the pool's `reads.maxLagBytes`. */
  maxLagBytes?: number;
  /**
   * A consistency token: the read sees all that the primary had committed when the token was made. A standby that has
   * not replayed so much is waited for, `waitMs` at most. A token of another cluster is a {@link ParameterError}; one
   * of a timeline that was left behind is answered by the primary. Default: none.
   */
  after?: string;
  /**
   * The longest wait for a standby to reach the token; then the read goes to the primary. Default: the pool's
   * `reads.waitMs`.
   */
  waitMs?: number;
  /**
   * Where the read goes when no standby is fit; `'none'`: nowhere, {@link NoStandbyError}. Default: the pool's
   * `reads.fallback`.
   */
  fallback?: 'primary' | 'none';
  /** After this the read is cancelled on the server: {@link QueryTimeoutError}; all waiting counts. Default: none. */
  timeoutMs?: number;
  /** When it fires the read is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
  /**
   * If there is no answer after this time, the read is sent to a second node, too. Default: the pool's
   * `reads.hedgeMs`.
   */
  hedgeMs?: number;
}

/** Options of `read.stream`. A stream is never sent to a second node. */
export interface ReadStreamOptions {
  /** A standby that is further behind than this is not fit. Default: the pool's `reads.maxLagMs`. */
  maxLagMs?: number;
  /** The same in bytes of the WAL. Default: the pool's `reads.maxLagBytes`. */
  maxLagBytes?: number;
  /**
   * A consistency token: the read sees all that the primary had committed when the token was made. A standby that has
   * not replayed so much is waited for, `waitMs` at most. A token of another cluster is a {@link ParameterError}; one
   * of a timeline that was left behind is answered by the primary. Default: none.
   */
  after?: string;
  /**
   * The longest wait for a standby to reach the token; then the read goes to the primary. Default: the pool's
   * `reads.waitMs`.
   */
  waitMs?: number;
  /**
   * Where the read goes when no standby is fit; `'none'`: nowhere, {@link NoStandbyError}. Default: the pool's
   * `reads.fallback`.
   */
  fallback?: 'primary' | 'none';
  /** After this the read is cancelled on the server: {@link QueryTimeoutError}; all waiting counts. Default: none. */
  timeoutMs?: number;
  /** When it fires the read is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
  /** The most rows of a piece; a piece ends at 32 KiB in any case. Default: 1000. */
  batchSize?: number;
}

export interface ExecOptions {
  /**
   * After this the script is cancelled on the server: {@link QueryTimeoutError}; waiting for a connection counts.
   * Default: none.
   */
  timeoutMs?: number;
  /** When it fires the script is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
}

/** SQL with its parameters, made by {@link sql}. Does not change. */
export interface Sql {
  /** With `$1`, `$2`, ... for the values. */
  readonly text: string;
  readonly values: unknown[];
}

/** What makes SQL out of names, lists and objects. A mistake is a {@link ParameterError}. */
export interface SqlHelpers {
  /** A quoted name: `id('schema', 'table')`. Each part has 1 to 63 bytes. */
  id(...names: string[]): Sql;
  /** Values or fragments with `separator` (default `, `) between them; at least one. */
  join(parts: ReadonlyArray<unknown>, separator?: Sql): Sql;
  /** Rows for an INSERT: `($1, $2), ($3, $4)`. */
  values(rows: ReadonlyArray<ReadonlyArray<unknown>>): Sql;
  /** The same with the columns ahead: `("a", "b") values ($1, $2)`; those of the first row, which all rows must have. */
  values(rows: ReadonlyArray<Readonly<Record<string, unknown>>>, columns?: ReadonlyArray<string>): Sql;
  /** `"a" = $1, "b" = $2`, for an UPDATE. */
  set(object: Readonly<Record<string, unknown>>): Sql;
  /** Text as it is. Nothing in it is escaped: never from outside. */
  raw(text: string): Sql;
}

/**
 * A fragment of SQL: what is interpolated is a parameter, never text; a fragment becomes part of the text. An array is one
 * parameter (`= any(${[1, 2]})`), not a list: that is `join`.
 */
export const sql: SqlHelpers & ((strings: TemplateStringsArray, ...parts: unknown[]) => Sql);

/** Runs a template: ``await pool.sql`select * from t where id = ${id}` ``. It runs at once. */
export type SqlRunner = SqlHelpers &
  (<T extends object = Record<string, unknown>>(
    strings: TemplateStringsArray,
    ...parts: unknown[]
  ) => Promise<Rows<T>>);

export interface StreamOptions {
  /**
   * After this the statement is cancelled on the server: {@link QueryTimeoutError}; waiting for a connection counts.
   * Default: none.
   */
  timeoutMs?: number;
  /** When it fires the statement is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /**
   * The caller's promise that nothing is changed: what loses its connection may run again. Within a transaction it
   * changes nothing, because no statement of one runs again alone. Default: `false`.
   */
  readOnly?: boolean;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
  /** The most rows of a piece; a piece ends at 32 KiB in any case. Default: 1000. */
  batchSize?: number;
}

/** The rows of a statement as they come. It begins with the first next(); leaving the loop cancels what still runs. */
export interface RowStream<T = Record<string, unknown>> extends AsyncIterableIterator<T> {
  next(): Promise<IteratorResult<T, undefined>>;
  return(): Promise<IteratorResult<T, undefined>>;
  [Symbol.asyncIterator](): RowStream<T>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A statement of a batch. */
export type BatchStatement = string | Sql | readonly [sql: string | Sql, params?: ReadonlyArray<Parameter> | null];

export interface BatchOptions {
  /**
   * `true`, or options of BEGIN: all in one transaction, see {@link TransactionBatchOptions}; `false`: each for
   * itself. Default: `false`.
   */
  transaction?: false;
  /** For the whole batch: what has not ended after this is cancelled on the server. Default: none. */
  timeoutMs?: number;
  /** For the whole batch: what has not ended when it fires is cancelled on the server. Default: none. */
  signal?: AbortSignal;
  /**
   * The caller's promise that nothing is changed: what loses its connection may run again. Within a transaction it
   * changes nothing, because no statement of one runs again alone. Default: `false`.
   */
  readOnly?: boolean;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
}

export interface TransactionBatchOptions extends Omit<BatchOptions, 'transaction' | 'readOnly'> {
  transaction: true | Pick<BeginOptions, 'isolation' | 'readOnly' | 'deferrable' | 'durability'>;
}

/** The options of {@link Pool.dashboard}. */
export interface DashboardOptions {
  /**
   * What a browser must show, once: open the page with `?token=...`. The page keeps it as a cookie that scripts
   * cannot read; programs send `Authorization: Bearer ...`. Without it whoever reaches the handler sees the page:
   * guard it as the other internal pages of the service are guarded. Default: none.
   */
  token?: string;
  /**
   * Where the page is, with a slash at both ends. Any other path is not found then. Without it the page is wherever
   * the handler is mounted. Default: any.
   */
  path?: string;
  /**
   * The hosts under which the page may be asked for; the port may be left out. For a page on loopback without a
   * token: another site whose name resolves to 127.0.0.1 (DNS rebinding) sends its own name, and is refused. Default:
   * any.
   */
  allowedHosts?: string[];
}

/** Options of Pool.end(). */
export interface EndOptions {
  /** After this what still runs is cancelled on the server. Default: none. */
  timeoutMs?: number;
}

/** A row of a load: its values in the order of the columns, or by their names. Values are as parameters are. */
export type CopyRow = ReadonlyArray<Parameter> | Readonly<Record<string, Parameter>>;

/** Data that is in one of COPY's formats already; a string is sent as UTF-8. */
export type CopyData = string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/** How far a load has come. */
export interface CopyProgress {
  /** Rows that have gone to the server; 0 for data that was ready. */
  rows: number;
  /** Bytes that have gone to the server. */
  bytes: number;
}

export interface CopyFromOptions {
  /**
   * After this the load is undone: {@link QueryTimeoutError}; waiting for a connection and for the source counts.
   * Default: none.
   */
  timeoutMs?: number;
  /** When it fires the load is undone: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /**
   * Called after each piece of about 64 KiB; what it throws ends the load and is what the load rejects with. Default:
   * none.
   */
  onProgress?: (progress: CopyProgress) => void;
}

export interface CopyResult {
  /** Rows the server says it has loaded. */
  rowCount: number;
  /** Bytes sent to the server. */
  bytes: number;
}

export interface CopyToOptions {
  /**
   * After this the unload is cancelled on the server: {@link QueryTimeoutError}; the reader's time counts, too.
   * Default: none.
   */
  timeoutMs?: number;
  /** When it fires the unload is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /** The Readable's, in bytes; up to three pieces of 64 KiB may be on their way besides. Default: Node's. */
  highWaterMark?: number;
}

export type Isolation = 'read uncommitted' | 'read committed' | 'repeatable read' | 'serializable';

export interface BeginOptions {
  /** What the transaction sees of others. Default: the server's default_transaction_isolation. */
  isolation?: Isolation;
  /** READ ONLY or READ WRITE. Default: the server's default_transaction_read_only. */
  readOnly?: boolean;
  /**
   * Of a serializable, read-only transaction: it waits until it cannot fail. Default: the server's
   * default_transaction_deferrable.
   */
  deferrable?: boolean;
  /**
   * What COMMIT waits for: `synchronous_commit` of this transaction, which goes with BEGIN at no round trip of its
   * own. Default: the session's synchronous_commit.
   */
  durability?: 'remote_apply' | 'on' | 'remote_write' | 'local' | 'off';
  /** For the whole transaction: after this its statements fail with {@link QueryTimeoutError}. Default: none. */
  timeoutMs?: number;
  /** For the whole transaction: when it fires its statements fail with {@link AbortError}. Default: none. */
  signal?: AbortSignal;
}

/** How the work of a transaction is done once for all who call with its key. */
export interface ExactlyOnceOptions {
  /**
   * What is done once: no two transactions with the same key commit, in this process or another. A second call waits
   * for the first. If that has committed, the second resolves without running its callback; if it has not, the second
   * runs. At most 1024 bytes.
   */
  key: string;
  /**
   * Keeps what the callback returns, as JSON; a later call with `remember` and the same key resolves with it. What
   * JSON cannot hold is a {@link ParameterError} before COMMIT. Without it a later call resolves with `undefined`.
   * Default: `false`.
   */
  remember?: boolean;
}

export interface TransactionOptions {
  /** What the transaction sees of others. Default: the server's default_transaction_isolation. */
  isolation?: Isolation;
  /** READ ONLY or READ WRITE. Default: the server's default_transaction_read_only. */
  readOnly?: boolean;
  /**
   * Of a serializable, read-only transaction: it waits until it cannot fail. Default: the server's
   * default_transaction_deferrable.
   */
  deferrable?: boolean;
  /**
   * What COMMIT waits for: `synchronous_commit` of this transaction, which goes with BEGIN at no round trip of its
   * own. Default: the session's synchronous_commit.
   */
  durability?: 'remote_apply' | 'on' | 'remote_write' | 'local' | 'off';
  /** For the whole transaction: after this its statements fail with {@link QueryTimeoutError}. Default: none. */
  timeoutMs?: number;
  /** For the whole transaction: when it fires its statements fail with {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /**
   * A lost answer to COMMIT is found out instead of reported as unknown; with a `key` the work is done once for all
   * callers. Needs the table that `npx hyperiondb-client setup exactly-once` makes: without it {@link HyperionError}
   * `ERR_EXACTLY_ONCE_TABLE`, before the callback runs. What had not been committed is run again (`retries`, 3 unless
   * given). docs/exactly-once.md has the proof and the limits. Default: `false`.
   */
  exactlyOnce?: boolean | ExactlyOnceOptions;
  /**
   * How often the callback is run again after a failure that is `retryable`: 40001, 40P01, a connection lost before
   * COMMIT. The pauses between the tries are random, 5 to 500 ms, and all together no longer than `acquireTimeoutMs`.
   * For a connection (ERR_NO_PRIMARY, ERR_ACQUIRE_TIMEOUT) the pool has waited already: these are not tried again.
   * Default: the pool's `transactionRetries`; with `exactlyOnce` at least 3.
   */
  retries?: number;
  /**
   * Within another transaction of a pool with `ambient`: `'join'` runs the callback in that one, `'savepoint'` in a
   * savepoint of it. `'error'` refuses it (ERR_TRANSACTION_OPEN). Other options must be those of the open
   * transaction, or are refused by name. Default: `'join'`.
   */
  nested?: 'join' | 'savepoint' | 'error';
}

/** SQL text, or what {@link sql} made. */
type Statement = string | Sql;
type Parameters = ReadonlyArray<Parameter> | null;
/** Rows come as arrays. */
type AsArrays = { rowMode: 'array' };
/** Rows come as objects. */
type AsObjects = { rowMode?: 'object' };
/** A row of which nothing is known but that it is one. */
type AnyRow = Record<string, unknown> | unknown[];

/**
 * Runs statements: what a {@link Pool} and a {@link Transaction} have in common. In a transaction concurrent calls run in their
 * order, and a failure spoils it.
 *
 * A method's type parameter is the row: an object (default `Record<string, unknown>`), or with `rowMode: 'array'` a tuple
 * (default `unknown[]`). It is your word: nothing is checked at run time.
 */
export interface Runner {
  /** Runs a statement. With `{ token: true }`, on a pool, `rows.token` is a consistency token. */
  query<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays & TokenOptions,
  ): Promise<TokenRows<T>>;
  query<T extends object = Record<string, unknown>>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsObjects & TokenOptions,
  ): Promise<TokenRows<T>>;
  query<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays,
  ): Promise<Rows<T>>;
  query<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: QueryOptions & AsObjects,
  ): Promise<Rows<T>>;
  query(sql: Statement, params: Parameters | undefined, options: QueryOptions): Promise<Rows<AnyRow>>;

  /** Runs a template. */
  readonly sql: SqlRunner;

  /** The only row. {@link NoRowsError} or {@link TooManyRowsError} when there is none or are more: the statement has run. */
  one<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays,
  ): Promise<T>;
  one<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: QueryOptions & AsObjects,
  ): Promise<T>;
  one(sql: Statement, params: Parameters | undefined, options: QueryOptions): Promise<AnyRow>;

  /** The only row, or null. {@link TooManyRowsError} when there are more. */
  maybeOne<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays,
  ): Promise<T | null>;
  maybeOne<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: QueryOptions & AsObjects,
  ): Promise<T | null>;
  maybeOne(sql: Statement, params: Parameters | undefined, options: QueryOptions): Promise<AnyRow | null>;

  /** At least one row, else {@link NoRowsError}. */
  many<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays & TokenOptions,
  ): Promise<TokenRows<T>>;
  many<T extends object = Record<string, unknown>>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsObjects & TokenOptions,
  ): Promise<TokenRows<T>>;
  many<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays,
  ): Promise<Rows<T>>;
  many<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: QueryOptions & AsObjects,
  ): Promise<Rows<T>>;
  many(sql: Statement, params: Parameters | undefined, options: QueryOptions): Promise<Rows<AnyRow>>;

  /** The only value of the only row; {@link TooManyRowsError} with ERR_TOO_MANY_COLUMNS when the result has not one column. */
  value<T = unknown>(sql: Statement, params?: Parameters, options?: QueryOptions): Promise<T>;

  /**
   * Runs a script, several statements by the simple protocol (migrations, dumps), and resolves to the rows of each. A script
   * without a statement resolves to []. It takes no parameters, and all results are held in memory until its end.
   *
   * On a pool the server runs it as one transaction, unless it says BEGIN and COMMIT itself: when one statement fails,
   * `statementIndex` says which (not where the script could not be parsed and nothing ran), and `position` counts from the
   * script's beginning. `outcome` is then `'not-applied'`, but `'unknown'` when a COMMIT or PREPARE TRANSACTION had been completed
   * in it, and when the connection was lost (ERR_OUTCOME_UNKNOWN). It is run again on another node only while nothing of it can
   * have run, or where the pool's mode only allows standbys. It has a connection to itself that is closed afterwards: what it does
   * to its session (SET, temporary tables) concerns nobody else. A transaction that it leaves open is rolled back:
   * ERR_TRANSACTION_OPEN. COPY FROM STDIN and TO STDOUT are not possible: ERR_COPY_IN_SCRIPT. `command` is the first word of
   * the server's command tag.
   *
   * In a transaction BEGIN, COMMIT and ROLLBACK in it are a {@link ParameterError} before anything is sent; one that ends the
   * transaction in a way that is not seen in the text rejects with ERR_TRANSACTION_ENDED, `outcome: 'unknown'`, and the
   * transaction is over. When it ends, its connection is closed.
   */
  exec<T extends unknown[] = unknown[]>(script: string, options: ExecOptions & AsArrays): Promise<Rows<T>[]>;
  exec<T extends object = Record<string, unknown>>(
    script: string,
    options?: ExecOptions & AsObjects,
  ): Promise<Rows<T>[]>;
  exec(script: string, options: ExecOptions): Promise<Rows<AnyRow>[]>;

  /**
   * Loads rows into a table by COPY: all of them or, after any failure, none.
   *
   * `target` is `'table'` (every column that is not generated) or `'schema.table (a, "B")'`; names fold to lower case unless
   * quoted. A row that does not fit rejects with `row` (from 1) and, where one is to blame, `column`: a
   * {@link ParameterError} of ours or a {@link DatabaseError} of the server, `outcome: 'not-applied'`. The source is asked
   * for its first row when the server is ready; whatever ends the load early also calls its `return()`.
   */
  copyFrom(
    target: string,
    rows: Iterable<CopyRow> | AsyncIterable<CopyRow>,
    options?: CopyFromOptions,
  ): Promise<CopyResult>;
  /** Loads data that is ready: `target` is `COPY ... FROM STDIN ...`, and its options say how it is written. */
  copyFrom(target: string, data: CopyData, options?: CopyFromOptions): Promise<CopyResult>;
  /**
   * What `COPY ... TO STDOUT ...` sends, unchanged; for `'table (a, b)'` COPY's text format. It begins when it is read;
   * destroying it cancels it on the server. Errors are errors of the stream.
   */
  copyTo(target: string, options?: CopyToOptions): Readable;
}

/** Options of {@link Transaction.transaction}: those of BEGIN belong to the transaction as a whole, and are refused by name. */
export interface SavepointOptions {
  /** For this part of the transaction: after this it is undone: {@link QueryTimeoutError}. Default: none. */
  timeoutMs?: number;
  /** For this part of the transaction: when it fires it is undone: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
}

/** Options of {@link Transaction.batch}. */
export interface JoinedBatchOptions {
  /** For the whole batch: after this it is undone: {@link QueryTimeoutError}. Default: none. */
  timeoutMs?: number;
  /** For the whole batch: when it fires it is undone: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
}

/** query() of a transaction, whose last statement may bring COMMIT with it. */
interface QueryWithCommit {
  <T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & CommitOptions & AsArrays,
  ): Promise<Rows<T>>;
  <T extends object = Record<string, unknown>>(
    sql: Statement,
    params: Parameters | undefined,
    options: QueryOptions & CommitOptions & AsObjects,
  ): Promise<Rows<T>>;
  (sql: Statement, params: Parameters | undefined, options: QueryOptions & CommitOptions): Promise<Rows<AnyRow>>;
}

/**
 * A transaction, or a part of one (of a nested transaction or a savepoint). It ends exactly once; after that every call rejects with
 * ERR_TRANSACTION_ENDED. Calls side by side run in their order. A part ends with its callback: its commit() and rollback() are refused.
 *
 * While a savepoint is open, a call that comes from inside of its callback runs in it, also if it is made on the outer transaction;
 * a call from elsewhere waits for its end, because it would be undone with it.
 */
export interface Transaction extends Runner {
  query: Runner['query'] & QueryWithCommit;
}
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the methods of Runner, written once
export class Transaction {
  private constructor();
  /**
   * Runs `callback` in a savepoint, and returns what it returns. When it throws, what it has done is undone alone, the error goes on,
   * and the transaction may go on, too. Savepoints side by side run one after the other as a whole. After a failure that only the
   * whole transaction can repair (`retryable`: 40001, 40P01, a lost connection) every call of the transaction rejects with it, COMMIT
   * included, also if the callback swallows it.
   */
  transaction<T>(callback: (tx: Transaction) => Promise<T> | T, options?: SavepointOptions): Promise<T>;
  /** A result in pieces. A later call in the transaction, for which there is one connection, brings the rest of it into memory. */
  stream<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: StreamOptions & AsArrays,
  ): RowStream<T>;
  stream<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: StreamOptions & AsObjects,
  ): RowStream<T>;
  stream(sql: Statement, params: Parameters | undefined, options: StreamOptions): RowStream<AnyRow>;
  /**
   * Runs statements in their order, all or none, in a savepoint: when one fails the rest does not run, what was done is undone, and the
   * error has `statementIndex`. It takes a round trip for each statement.
   */
  batch<T extends unknown[] = unknown[]>(
    statements: ReadonlyArray<BatchStatement>,
    options: JoinedBatchOptions & AsArrays,
  ): Promise<Rows<T>[]>;
  batch<T extends object = Record<string, unknown>>(
    statements: ReadonlyArray<BatchStatement>,
    options?: JoinedBatchOptions & AsObjects,
  ): Promise<Rows<T>[]>;
  /**
   * Resolves when the server has confirmed; ERR_OUTCOME_UNKNOWN when its answer was lost. Waits for savepoints that were begun before;
   * within one it is refused (ERR_TRANSACTION_OPEN).
   */
  commit(): Promise<void>;
  rollback(): Promise<void>;
  /** Whether commit() or rollback() was called, or a statement with the option `commit`. */
  readonly ended: boolean;
  /** Rolls back if neither commit() nor rollback() was called. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PoolStatus {
  maxSize: number;
  size: number;
  available: number;
  inUse: number;
  /** Statements that wait for a connection. */
  waiting: number;
  /** How many statements were sent down a connection that had others under way, since the pool was opened. */
  pipelined: number;
}

/** How long something took, in milliseconds. Percentiles are right to a tenth, up to 100 s. */
export interface Durations {
  count: number;
  sum: number;
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

/** What one node has done for a pool. */
export interface NodeStats {
  /** `'host:port'`. */
  node: string;
  /** Statements that it has not answered yet; an open transaction, and a session that is checked out, counts as one. */
  inFlight: number;
  /** Connections of the pool to it. */
  connections: number;
  /** From the sending of a statement, script, COMMIT or ROLLBACK to the end of its answer, as the I/O thread sees it. */
  latencyMs: Durations;
  /** Of the pool's connections: of the protocol without TLS, from the end of the login on. Not those of connections that watch or listen. */
  bytes: { in: number; out: number };
}

/** The timeline of a failover, or of a time in which the primary was away and came back. */
export interface Failover {
  /** The primary before it, `'host:port'`. */
  from: string;
  /** The primary after it; the same as `from` if that came back; null while none is found. */
  to: string | null;
  /** The first sign of it. */
  noticed: Date;
  /**
   * What the first sign was: a statement whose connection broke or that was refused, an attempt to connect, the monitor, or another
   * node that is the primary on a higher timeline (`'fence'`).
   */
  by: { source: 'statement' | 'connection' | 'monitor' | 'fence'; node: string; reason: string };
  /** What the nodes have said of themselves until a primary was found: each answer once, at most 64. */
  asked: { at: Date; node: string; answer: 'primary' | 'standby' | 'fenced' | 'down'; reason: string | null }[];
  /** When the new primary was chosen; null while none is found. */
  found: Date | null;
  /** When the new primary acknowledged the first write of this pool; null while it has not, or if none came within 60 s. */
  firstWrite: Date | null;
  /** Calls that waited for a connection when the new primary was found. */
  held: number;
  /** Statements that were run again, from the first sign on. */
  retried: number;
  /** The timeline of the new primary; null while none is found, or if it may not tell. */
  timeline: number | null;
  /** Calls that ended with an unknown outcome, from the first sign on. */
  unknown: number;
}

/** What a pool has counted since it was opened. The counts only grow, and stay when the pool has ended. */
export interface PoolStats {
  since: Date;
  /**
   * Statements of callers that have ended, failed ones included: each query, read and stream, each statement of a batch, each
   * exec(), copyFrom() and copyTo(), each query of hyperiondb-client/pg. A statement that was run again counts once. Not the
   * client's own BEGIN, COMMIT, ROLLBACK and SAVEPOINT, and not what was refused at once: a value that no type takes, a signal that
   * had fired before. With `exactlyOnce` also the statements that keep its table. The pool of hyperiondb-client/pg runs a query that
   * was not applied again itself: each run counts, with its error.
   */
  queries: number;
  /** Rows that those which succeeded have returned or changed; exec() and copyTo() have none. */
  rows: number;
  /**
   * Errors of statements, of BEGIN and of COMMIT by the class of their SQLSTATE (`'23'`), those without one by their code
   * (`'ERR_NO_PRIMARY'`); classes that PostgreSQL does not have are `'other'`. A batch in a transaction that fails has one.
   */
  errors: Record<string, number>;
  /** Errors after which nobody knows whether the work was applied. */
  unknownOutcomes: number;
  /** Of begin() and transaction(), those with a statement; one that was lost with its connection is `rolledBack`. */
  transactions: { begun: number; committed: number; rolledBack: number };
  /**
   * How often work was run again, by cause: `connectionLost`, `sessionEnded` (by the server), `fenced` (the node accepted no
   * writes), `standby` (it lagged behind, or replay cancelled the read); transactions with `retries`, and queries that the pool of
   * hyperiondb-client/pg runs again, by the code of the error (`'40001'`), if it has one.
   */
  retries: Record<string, number>;
  /** How often a connection was asked for. */
  acquires: number;
  /** How often none was free at once, and how long those calls waited. */
  waits: number;
  waitMs: Durations;
  /** The last 16, oldest first. The last one may be under way: `found` or `firstWrite` is null. */
  failovers: Failover[];
  /** How often another node became the primary. */
  failoverCount: number;
  /** Connections that were given up because their node was fenced or deposed. */
  fenceEvictions: number;
  /** Reads that were sent to a second node, and those that the second node answered first. */
  hedges: number;
  hedgesWon: number;
  /** The connections' caches of prepared statements: a miss is a statement that had to be prepared. */
  prepared: { hits: number; misses: number; evictions: number };
  /** In the order of `hosts`. */
  nodes: NodeStats[];
}

export interface NodeStatus {
  host: string;
  port: number;
  role: 'primary' | 'standby' | 'unknown';
  state: 'up' | 'down' | 'fenced';
  /** The timeline a primary writes. A standby's is the one it follows as far as it tells, which may lag behind. */
  timeline: number | null;
  /** A primary's write position, a standby's replay position: `'0/3000148'`. */
  lsn: string | null;
  /** Round trip of the last look at it; null when there was none. */
  latencyMs: number | null;
  /** A standby's replay position behind the primary's as it was seen last before; null when either is unknown. */
  lagBytes: number | null;
  /** How long ago the primary had already passed that position; 0 for one that has replayed all. */
  lagMs: number | null;
  /** Why it is not used, or what the last attempt to reach it met. */
  lastError: string | null;
  /** Its weight in {@link ReadsOptions.weights}. */
  weight: number;
  /** How many statements of this pool it has not answered yet. */
  inFlight: number;
  /** Whether {@link Pool.read} may use it, by the bounds of the pool's `reads`. */
  fit: boolean;
  /** Why not; null for one that is fit. */
  reason: string | null;
}

/** What a handler of {@link Pool.listen} is told beside the payload. */
export interface Notification {
  channel: string;
  payload: string;
  /** Of the session that notified. */
  processId: number;
  /** `host:port` of the primary. */
  node: string;
}

/** One handler on one channel. */
export interface Subscription {
  readonly channel: string;
  /** The handler is not called any more. */
  unlisten(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Between `since` and `until` (this machine's clock) notifications may have been missed. */
export interface Gap {
  channels: string[];
  /** When the old session last proved that it was alive on a primary. */
  since: Date;
  /** When the server confirmed the new LISTEN. */
  until: Date;
  /** `host:port` of the old and of the new session; they may be the same. */
  from: string;
  to: string;
  reason: string;
}

/** What the server has to say that is no error. Only what it sent is there. */
export interface Notice {
  /** `'NOTICE'`, `'WARNING'`, `'INFO'`, `'DEBUG'`, `'LOG'`, in the language of the server's lc_messages. */
  severity: string;
  /** The SQLSTATE. */
  code: string;
  message: string;
  detail?: string;
  hint?: string;
  /** Character of the statement, from 1. */
  position?: number;
  internalPosition?: number;
  internalQuery?: string;
  /** The calls that led there, the innermost first. */
  where?: string;
  schema?: string;
  table?: string;
  column?: string;
  dataType?: string;
  constraint?: string;
  file?: string;
  line?: number;
  routine?: string;
  /** `host:port`; none for what the pool itself has to say. */
  node?: string;
}

/** What the event `lease` tells of. `node` is `'host:port'`. */
export type LeaseEvent =
  /**
   * A session was opened. `refused`: the server had refused one before, because it had no connection left (53300); `crowded`: less than a
   * fifth of its connections was left.
   */
  | { type: 'connect'; node: string; refused: boolean; crowded: boolean }
  /** A lease was renewed. */
  | { type: 'heartbeat'; node: string }
  /** A lease could not be renewed; `heartbeatErrorMode` says what comes of it. */
  | { type: 'heartbeat-failed'; node: string; error: HyperionError }
  /** A session ended that nobody here had closed. `sqlstate`: what the server said, if it said something. */
  | { type: 'dead'; node: string; reason: string; sqlstate: string | null }
  /** A connection pooler was recognised, so that with `leaseMode: 'optional'` there are no leases. Told once. */
  | { type: 'off'; node: string }
  /** The process had been frozen for longer than a lease is valid. */
  | { type: 'thaw'; frozenMs: number }
  /** A pass over the expired sessions has ended. */
  | ({ type: 'reap'; durationMs: number; error?: unknown } & ReapResult);

/** What a pass over the expired sessions did. */
export interface ReapResult {
  /** Whether the pass was this process's to run: `false` while another process runs one for the same service, and when it failed. */
  locked: boolean;
  /** How many sessions were ended, on all nodes together. */
  killed: number;
}

/** The events of a {@link Pool}. */
export interface PoolEvents {
  /** Another node is the primary now. `downMs`: how long none was known. */
  primary: [{ host: string; port: number; from: string | null; to: string; downMs: number }];
  /** A node's state or role changed. */
  node: [{ host: string; port: number; state: NodeStatus['state']; role: NodeStatus['role'] }];
  /**
   * A failover is over: the new primary has acknowledged the first write of this pool, or none came within 60 s (with `monitor: false`
   * that is seen late). Also told when the primary was away and came back.
   */
  failover: [Failover];
  /** A statement took as long as the option `slowQueryMs` says, or longer. Told after its promise has settled. */
  slow: [SlowEvent];
  /** A primary accepts no more writes. */
  fenced: [{ host: string; port: number }];
  /** The session that listened was replaced: of what was notified between the two, nobody can tell what is missing. */
  gap: [Gap];
  /**
   * A notice on one of the pool's connections (RAISE NOTICE, warnings of the server and of logins), or of the pool itself. Those
   * of a statement come in their order and before its promise settles. While nobody listens they cost nothing; while JavaScript
   * is behind, the connection that raises them waits.
   */
  notice: [Notice];
  /** Of a pool with the option `lease`: its sessions, their leases, and the passes over expired ones. */
  lease: [LeaseEvent];
  /** Something in the background failed (the password function). Never ends the process, listener or not. */
  error: [unknown];
}

/**
 * Declared reads: statements that change nothing, so that they may run on a standby, and again on another node when one fails. Nobody
 * looks at the SQL: a standby refuses a write ({@link DatabaseError} 25006), and it is not sent to the primary instead. Without
 * a primary reads go on. Type parameters are as those of {@link Runner}.
 */
export interface Read {
  /** Runs a read; `rows.node` says where. */
  <T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: ReadOptions & AsArrays,
  ): Promise<Rows<T>>;
  <T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: ReadOptions & AsObjects,
  ): Promise<Rows<T>>;
  (sql: Statement, params: Parameters | undefined, options: ReadOptions): Promise<Rows<AnyRow>>;

  /** Runs a template. */
  readonly sql: SqlRunner;

  /** The only row, as {@link Runner.one}. */
  one<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: ReadOptions & AsArrays,
  ): Promise<T>;
  one<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: ReadOptions & AsObjects,
  ): Promise<T>;
  one(sql: Statement, params: Parameters | undefined, options: ReadOptions): Promise<AnyRow>;

  /** The only row, or null, as {@link Runner.maybeOne}. */
  maybeOne<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: ReadOptions & AsArrays,
  ): Promise<T | null>;
  maybeOne<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: ReadOptions & AsObjects,
  ): Promise<T | null>;
  maybeOne(sql: Statement, params: Parameters | undefined, options: ReadOptions): Promise<AnyRow | null>;

  /** At least one row, as {@link Runner.many}. */
  many<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: ReadOptions & AsArrays,
  ): Promise<Rows<T>>;
  many<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: ReadOptions & AsObjects,
  ): Promise<Rows<T>>;
  many(sql: Statement, params: Parameters | undefined, options: ReadOptions): Promise<Rows<AnyRow>>;

  /** The only value of the only row, as {@link Runner.value}. */
  value<T = unknown>(sql: Statement, params?: Parameters, options?: ReadOptions): Promise<T>;

  /** A result of any size in bounded memory, as {@link Pool.stream}. The node is chosen when the stream begins. */
  stream<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: ReadStreamOptions & AsArrays,
  ): RowStream<T>;
  stream<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: ReadStreamOptions & AsObjects,
  ): RowStream<T>;
  stream(sql: Statement, params: Parameters | undefined, options: ReadStreamOptions): RowStream<AnyRow>;
}

/** The nodes of a cluster, and connections to those that suit it. Statements run on any of them. */
export interface Pool extends Runner {}
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the methods of Runner, written once
export class Pool extends EventEmitter<PoolEvents> {
  constructor(options?: PoolOptions | string);
  /** {@link PoolOptions.name}, or what it has become: what the pool is called in metrics and traces. */
  readonly name: string;
  /**
   * Runs statements in their order, in one round trip where that is possible: a statement that needs what an earlier one
   * makes (a table, a search_path) is prepared when its turn comes. Results come in the same order.
   *
   * Each for itself, a result is as Promise.allSettled has it: what fails does not stop the others. With `transaction`
   * it is all or nothing: it resolves to the rows of each once COMMIT has succeeded, and rejects with the first error,
   * whose `statementIndex` says which statement it came from.
   *
   * A batch that joins a transaction (`ambient`) is all or nothing in either form, as {@link Transaction.batch} is.
   */
  batch<T extends unknown[] = unknown[]>(
    statements: ReadonlyArray<BatchStatement>,
    options: TransactionBatchOptions & AsArrays,
  ): Promise<Rows<T>[]>;
  batch<T extends object = Record<string, unknown>>(
    statements: ReadonlyArray<BatchStatement>,
    options: TransactionBatchOptions & AsObjects,
  ): Promise<Rows<T>[]>;
  batch<T extends unknown[] = unknown[]>(
    statements: ReadonlyArray<BatchStatement>,
    options: BatchOptions & AsArrays,
  ): Promise<PromiseSettledResult<Rows<T>>[]>;
  batch<T extends object = Record<string, unknown>>(
    statements: ReadonlyArray<BatchStatement>,
    options?: BatchOptions & AsObjects,
  ): Promise<PromiseSettledResult<Rows<T>>[]>;
  /** A result of any size in bounded memory: `for await (const row of pool.stream(sql)) ...`. */
  stream<T extends unknown[] = unknown[]>(
    sql: Statement,
    params: Parameters | undefined,
    options: StreamOptions & AsArrays,
  ): RowStream<T>;
  stream<T extends object = Record<string, unknown>>(
    sql: Statement,
    params?: Parameters,
    options?: StreamOptions & AsObjects,
  ): RowStream<T>;
  stream(sql: Statement, params: Parameters | undefined, options: StreamOptions): RowStream<AnyRow>;
  /**
   * Runs a statement that only reads on a standby, or on the primary when no standby is fit: `pool.read(sql, params, options)`, and
   * `read.one`, `.maybeOne`, `.many`, `.value`, `.sql`, `.stream`. See {@link Read}, and {@link ReadsOptions} for the choice of the node.
   */
  readonly read: Read;
  /**
   * A consistency token, asked of the primary: whoever reads with `{ after: token }` sees everything that this primary had committed
   * when it was asked. A short string (system, timeline, LSN) for a header or a cookie; another process and another pool may use it.
   * `query(sql, params, { token: true })` has one at no round trip of its own. Rejects as query() does: {@link NoPrimaryError}.
   */
  token(): Promise<string>;
  /**
   * Calls `fn`, and returns what it returns: within it, through awaits and timers (AsyncLocalStorage), reads see the writes that this
   * session has made through this pool. A query() has its token with its answer; after any other write (batch, exec, copyFrom, stream, a
   * transaction) and after one that may have been applied, the next read asks for one, which costs a round trip to the primary.
   * Statements that are declared `readOnly` are no writes. A session that has not written costs nothing. A write that has not ended
   * when a read begins is not waited for. A session within one of the same pool is the same session; those of several pools are
   * independent. {@link ParameterError} when `fn` is no function.
   */
  session<T>(fn: () => Promise<T> | T): Promise<T>;
  /**
   * BEGIN, `callback`, COMMIT; ROLLBACK when it throws, and the error goes on. The callback is called at once: its first
   * statement waits for the connection, and takes BEGIN with it.
   *
   * With `exactlyOnce` a COMMIT whose answer was lost is found out: it resolves with what the callback has returned when the
   * transaction was committed, and runs the callback again when it was not. With a `key` it resolves without running the callback
   * when a transaction with this key was committed before: with `undefined`, or with what that callback has returned (`remember`).
   *
   * Of a pool with `ambient`, every call on the pool within the callback, through awaits, timers, events and libraries, joins the
   * transaction: query, sql, one, maybeOne, many, value, batch, stream, exec, copyFrom, copyTo, notify and read (which then runs on the
   * primary), and a nested transaction() as its option `nested` says. begin() and token() are refused there (ERR_TRANSACTION_OPEN), and
   * what outlives the transaction is, too (ERR_TRANSACTION_ENDED). listen() stays outside.
   */
  transaction<T>(
    callback: (tx: Transaction) => Promise<T> | T,
    options: TransactionOptions & { exactlyOnce: ExactlyOnceOptions },
  ): Promise<T | undefined>;
  transaction<T>(callback: (tx: Transaction) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
  /**
   * Calls `fn`, and returns what it returns: its calls are outside of the transaction in whose context it is called. They need a
   * connection of their own while the transaction keeps its one. Without `ambient` it only calls `fn`.
   */
  outside<T>(fn: () => T): T;
  /** Whether a call on the pool would join an open transaction here. Without `ambient`: false. */
  readonly inTransaction: boolean;
  /**
   * Begins a transaction that the caller ends. Resolves when it has a connection; BEGIN goes with its first statement. A
   * forgotten one is rolled back.
   */
  begin(options?: BeginOptions): Promise<Transaction>;
  /**
   * Calls `handler` for each notification on `channel`, in their order, through every failover; resolves when the server
   * has confirmed. All channels of a pool share one connection of their own to the primary, whatever the pool's mode. When
   * it has to be replaced the event `gap` says since when notifications may have been missed. What a handler throws is an
   * `error` event. Somebody who listens keeps the process alive, until unlisten() or end().
   *
   * `channel` is the name as it is, not folded to lower case, of at most 63 bytes.
   */
  listen(channel: string, handler: (payload: string, notification: Notification) => unknown): Promise<Subscription>;
  /** Ends the subscriptions of one handler on a channel, of a channel, or all. */
  unlisten(channel?: string, handler?: (payload: string, notification: Notification) => unknown): Promise<void>;
  /** Notifies whoever listens to `channel`; `payload` has at most 7999 bytes. It is a write: it goes to the primary. */
  notify(channel: string, payload?: string): Promise<void>;
  /**
   * Ends sessions whose lease has expired: of this pool's service, database and user, idle for `minConnectionIdleTimeSec`, on the
   * primary and each standby that can be reached, `maxIdleConnectionsToKill` on each. It heeds neither `reaperRunProbability` nor
   * `reaperCooldownMs`. Without the option `lease` it rejects with ERR_NO_LEASE; a pass that fails rejects only with
   * `reaperErrorMode: 'throw'`.
   */
  reap(): Promise<ReapResult>;
  status(): PoolStatus;
  /** Counts since the pool was opened. */
  stats(): PoolStats;
  nodes(): NodeStatus[];
  /**
   * What {@link Pool.stats}, `status()` and `nodes()` tell, in the text format of Prometheus, version 0.0.4. The label `pool` is the
   * name of the pool. `hyperiondb-client/metrics` has the metrics of all open pools, and a handler that serves them.
   */
  metrics(): string;
  /**
   * A page in the browser that shows this pool, live: nodes, charts of the last 15 minutes, failovers, errors. It is a handler
   * for a server of node:http, or for `app.use('/admin/database', pool.dashboard())` of express and its like, under any path. It
   * answers GET and HEAD alone, changes nothing, and shows no SQL, no parameters and no passwords. From the first call on the pool is
   * looked at once a second, however many viewers there are. When the pool ends, so does the page: it keeps the last figures.
   */
  dashboard(options?: DashboardOptions): (request: IncomingMessage, response: ServerResponse) => void;
  /**
   * Takes no more work ({@link PoolClosedError}), lets what runs finish (until `timeoutMs`, then it is cancelled), rolls
   * back open transactions of begin(), and closes every connection.
   */
  end(options?: EndOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a pool over the nodes of a cluster, given by options or a connection string. The monitor looks at
 * them from now on; connections for statements are made when they are needed. Listeners that are added at once hear of the first primary, too.
 */
export function createPool(options?: PoolOptions | string): Pool;

/** Whether a statement that failed changed something. */
export type Outcome = 'not-applied' | 'applied' | 'unknown';

/** The codes of our own errors; docs/errors.md says of each what to do. */
export type ErrorCode =
  | 'ABORT_ERR'
  | 'ERR_ACQUIRE_TIMEOUT'
  | 'ERR_AUTH'
  | 'ERR_BINDING_VERSION'
  | 'ERR_CONNECTION_LOST'
  | 'ERR_COPY_IN_SCRIPT'
  | 'ERR_DECODE'
  | 'ERR_EXACTLY_ONCE_TABLE'
  | 'ERR_HEARTBEAT'
  | 'ERR_INTERNAL'
  | 'ERR_INVALID_OPTION'
  | 'ERR_INVALID_PARAM'
  | 'ERR_LEASE_POOLER'
  | 'ERR_NO_BINDING'
  | 'ERR_NO_LEASE'
  | 'ERR_NO_PRIMARY'
  | 'ERR_NO_ROWS'
  | 'ERR_NO_SQLITE'
  | 'ERR_NO_STANDBY'
  | 'ERR_OUTCOME_UNKNOWN'
  | 'ERR_PARSER'
  | 'ERR_PASSWORD'
  | 'ERR_POOL_CLOSED'
  | 'ERR_PROTOCOL'
  | 'ERR_RESET'
  | 'ERR_RESULT_TOO_LARGE'
  | 'ERR_TLS'
  | 'ERR_TOO_MANY_COLUMNS'
  | 'ERR_TOO_MANY_ROWS'
  | 'ERR_TRANSACTION_ENDED'
  | 'ERR_TRANSACTION_OPEN';

/** Five characters, PostgreSQL docs, Appendix A: `'23505'`. (Written so that editors still complete {@link ErrorCode}.) */
export type SqlState = string & {};

/** Base of all errors of this package. Those without a class of their own are told apart by `code`. */
export class HyperionError extends Error {
  constructor(message: string, code: string, options?: { cause?: unknown });
  readonly code: ErrorCode | SqlState;
  /**
   * Whether the same statement, or the same transaction from its begin, may run again without being applied twice, and may
   * succeed then: it was not applied, and the cause passes by itself.
   */
  readonly retryable: boolean;
  /** For a statement: whether it changed something. */
  readonly outcome?: Outcome;
  /** For a statement: how often it was tried. */
  readonly attempts?: number;
  /** For a batch in a transaction and for a script: which of its statements failed, from 0. */
  readonly statementIndex?: number;
}

/** The server said no. `code` is the SQLSTATE (PostgreSQL docs, Appendix A). */
export class DatabaseError extends HyperionError {
  readonly code: SqlState;
  readonly severity: string;
  readonly detail?: string;
  readonly hint?: string;
  /** Character of the statement, from 1. */
  readonly position?: number;
  readonly internalPosition?: number;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly dataType?: string;
  readonly constraint?: string;
  readonly file?: string;
  readonly line?: number;
  readonly routine?: string;
  /** Of a load: the number of the row, from 1. */
  readonly row?: number;
}

/** No node that suits the pool could be used within acquireTimeoutMs. */
export class NoPrimaryError extends HyperionError {
  readonly code: 'ERR_NO_PRIMARY';
  /** What each host last said. */
  readonly nodes: ReadonlyArray<{ host: string; port: number; reason: string }>;
}

/** No standby was fit within acquireTimeoutMs for a read with `fallback: 'none'`. */
export class NoStandbyError extends HyperionError {
  readonly code: 'ERR_NO_STANDBY';
  /** Why each host was not fit. */
  readonly nodes: ReadonlyArray<{ host: string; port: number; reason: string }>;
}

/** No TLS with a server: it has none, its certificate is not one that is trusted, or it refused ours. Not tried again. */
export class TlsError extends HyperionError {
  readonly code: 'ERR_TLS';
  readonly host: string;
  readonly port: number;
  /** Of the certificate that the server showed; missing when it showed none. */
  readonly subject?: string;
  readonly reason: string;
}

/** All connections were busy for acquireTimeoutMs. */
export class AcquireTimeoutError extends HyperionError {
  readonly code: 'ERR_ACQUIRE_TIMEOUT';
}

/** The connection was lost under a statement; ERR_OUTCOME_UNKNOWN when it may have been applied. */
export class ConnectionLostError extends HyperionError {
  readonly code: 'ERR_CONNECTION_LOST' | 'ERR_OUTCOME_UNKNOWN';
}

/** timeoutMs passed, and the statement was cancelled on the server. */
export class QueryTimeoutError extends HyperionError {
  readonly code: '57014';
}

/** The signal fired, and the statement was cancelled on the server. `cause` is the signal's reason. */
export class AbortError extends HyperionError {
  readonly code: 'ABORT_ERR';
}

/** end() was called. */
export class PoolClosedError extends HyperionError {
  constructor(message?: string);
  readonly code: 'ERR_POOL_CLOSED';
}

/** An option of createPool is unknown, of the wrong type or impossible. */
export class OptionError extends HyperionError {
  constructor(message: string);
  readonly code: 'ERR_INVALID_OPTION';
}

/** A statement, parameter or call option is wrong, and nothing was sent; or a row of a load is, and nothing of it stays. */
export class ParameterError extends HyperionError {
  constructor(message: string, options?: { cause?: unknown });
  /** Of a load: the number of the row, from 1. */
  readonly row?: number;
  /** Of a load: the column whose value does not fit. */
  readonly column?: string;
  readonly code: 'ERR_INVALID_PARAM';
}

/** A statement returned no row where one was expected. It has run. */
export class NoRowsError extends HyperionError {
  constructor(message: string);
  readonly code: 'ERR_NO_ROWS';
  readonly outcome: 'applied';
}

/** A statement returned more rows (or not one column) than were expected. It has run. */
export class TooManyRowsError extends HyperionError {
  constructor(message: string, code?: 'ERR_TOO_MANY_ROWS' | 'ERR_TOO_MANY_COLUMNS');
  readonly code: 'ERR_TOO_MANY_ROWS' | 'ERR_TOO_MANY_COLUMNS';
  readonly outcome: 'applied';
}

/**
 * Whether the failed work may run again without being applied twice, and may succeed then. For an error of this package this is
 * its `retryable`. For an error of another client, `pg` for example, it is `true` only where the code proves that nothing was
 * applied: a connection that broke under a statement is never retryable. docs/errors.md has the table.
 *
 * The work is the whole transaction, or the statement if it was outside of one: nobody knows what ran before it.
 *
 * This and the other functions that ask about an error take any value and answer `false` (`undefined`) where nothing is known of
 * it. They look at the `cause` of an error that says nothing itself; of an AggregateError holds what holds of each of its errors.
 */
export function isRetryable(error: unknown): boolean;

/**
 * Whether the cause may pass by itself: connections, locks, load, timeouts, failovers. It does not say that the work may run
 * again: see {@link isRetryable}. What is retryable is transient, too.
 */
export function isTransient(error: unknown): boolean;

/** Whether the connection, or the way to the server, has failed, and not the statement. */
export function isConnectionError(error: unknown): boolean;

/** A kind of constraint; `'foreign_key'` includes the RESTRICT of PostgreSQL 18 (23001). */
export type ConstraintKind = 'unique' | 'foreign_key' | 'not_null' | 'check' | 'exclusion';

/**
 * Whether a constraint was violated (class 23). An unknown kind is a {@link ParameterError}.
 *
 * No type guard: where the error is wrapped, `constraint` and the other fields are those of its `cause`.
 *
 * @param kind Only this kind of constraint. Default: any of class 23.
 */
export function isConstraintViolation(error: unknown, kind?: ConstraintKind): boolean;

/**
 * The name that the SQLSTATE of an error has in PostgreSQL's documentation, Appendix A: `'unique_violation'` for 23505.
 * `undefined` for an error without a SQLSTATE, and for a SQLSTATE that is not in Appendix A.
 */
export function sqlState(error: unknown): string | undefined;

/** Options of {@link retry}. */
export interface RetryOptions {
  /** How often the function is called at most, the first call included. Default: 3. */
  attempts?: number;
  /** The shortest pause between two calls. Default: 50. */
  minMs?: number;
  /** The longest pause between two calls. Default: 2000. */
  maxMs?: number;
  /**
   * When it fires a pause ends at once and the function is not called again: {@link AbortError}. A call that is
   * running is not ended by it: give it to the statements of the function, too. Default: none.
   */
  signal?: AbortSignal;
  /**
   * Whether the function is called again after this error; it must answer at once, without a promise. Default:
   * `isRetryable`.
   */
  when?: (error: unknown) => boolean;
  /**
   * Called before each pause: `attempt` is the one that failed with `error`, from 1. It only observes: it is not
   * waited for, and what it throws, or rejects with, is swallowed. Default: none.
   */
  onRetry?: (retry: { attempt: number; pauseMs: number; error: unknown }) => void;
}

/**
 * Calls a function, and calls it again while its failures allow that (`when`) and `attempts` are left. Then it rejects with the last
 * error as it came. `work` gets the number of the attempt, from 1.
 *
 * The pause between two calls is `min(maxMs, random(minMs, 3 * previous))`, where the first `previous` is `minMs` (decorrelated
 * jitter). A pause keeps the process alive.
 *
 * The function must be one statement or one transaction, or fit to run twice: what it did before the statement that failed is done
 * again. For one transaction on a pool, the option `retries` of `transaction()` does the same.
 *
 * Rejects with {@link AbortError} when `signal` fires before the first call or in a pause (`cause` is its reason; `outcome` is
 * `'not-applied'` if no call can have changed anything), and with {@link ParameterError} for a wrong option.
 */
export function retry<T>(work: (attempt: number) => Promise<T> | T, options?: RetryOptions): Promise<T>;

/** What a lease says. */
export interface Lease {
  /** As it stands in the lease. */
  serviceName: string;
  /** Of one process. */
  instance: string;
  /** Milliseconds since 1970, by the server's clock. */
  expiresAt: number;
}

/**
 * A signed lease, for the `application_name` of a session that this package did not open.
 *
 * @param options `secret` has at least 16 bytes; of an array the first signs. `serviceName` is changed as that of {@link LeaseOptions}
 *   is. `instance` has only `A-Z a-z 0-9 : _ -`; default: 8 random characters. A mistake throws a {@link ParameterError}.
 */
export function createLease(options: {
  secret: string | Uint8Array | ReadonlyArray<string | Uint8Array>;
  serviceName: string;
  instance?: string;
  expiresAt: number | Date;
}): string;

/**
 * What a lease says; null for what is no lease, or is signed with none of the secrets. It may have expired.
 *
 * @param applicationName Anything; nothing throws.
 */
export function verifyLease(
  applicationName: unknown,
  secret: string | Uint8Array | ReadonlyArray<string | Uint8Array>,
): Lease | null;

/** Options of {@link openDatabase}, for SQLite. */
export interface DatabaseOptions {
  /**
   * What runs SQLite; one that is not there rejects with ERR_NO_SQLITE. Default: the first that is there,
   * `node:sqlite` before `better-sqlite3`.
   */
  driver?: 'node:sqlite' | 'better-sqlite3';
  /** Opens a file that is there, and refuses writes with 25006. Default: `false`. */
  readOnly?: boolean;
  /** How long work waits while another process writes to the file, before it rejects with 55P03. Default: 5000. */
  busyTimeoutMs?: number;
}

/** Options of {@link Database.tx}. */
export interface DatabaseTransactionOptions {
  /**
   * What it is within another transaction of the same database; `'savepoint'`: its failure is undone alone, and the
   * outer one lives. Default: `'join'`.
   */
  nested?: 'join' | 'savepoint';
}

/** What {@link DatabaseStatement.run} resolves to. */
export interface RunResult {
  /** How many rows were inserted, updated or deleted. */
  changes: number;
  /** Always null: PostgreSQL has no such number. `INSERT ... RETURNING id` works on both. */
  lastInsertRowid: null;
}

/**
 * A parameter of {@link DatabaseStatement}: anything but undefined. docs/sqlite-and-postgres.md has the table of values for both
 * databases.
 */
export type DatabaseParameter = NonNullable<unknown> | null;

/** A statement of {@link Database.prepare}. Parameters are given one by one. */
export interface DatabaseStatement<T extends object = Record<string, unknown>> {
  /** The first row, or undefined. */
  get(...params: DatabaseParameter[]): Promise<T | undefined>;
  /** All rows; an empty array for none. */
  all(...params: DatabaseParameter[]): Promise<T[]>;
  /** How many rows were changed. */
  run(...params: DatabaseParameter[]): Promise<RunResult>;
}

/** PostgreSQL or SQLite, behind one small face. */
export interface Database {
  readonly engine: 'postgres' | 'sqlite';
  /**
   * A statement, at once: nothing is sent. Its parameters are `?` in their order, or `$1` (`?1`), not both in one statement:
   * {@link ParameterError}. In strings, comments and quoted names they are text. `??` is the operator `?` of jsonb.
   *
   * The type parameter is the row. It is your word: nothing is checked at run time.
   */
  prepare<T extends object = Record<string, unknown>>(sql: string): DatabaseStatement<T>;
  /** Runs a script of any number of statements, as one transaction unless it says BEGIN and COMMIT itself. It has no parameters. */
  exec(script: string): Promise<void>;
  /**
   * BEGIN, `fn`, COMMIT; ROLLBACK when `fn` throws, which is what it rejects with. What `fn` does through the same database joins,
   * through any depth of awaits and timers, and runs in the order of the calls. A call that outlives the transaction rejects with
   * ERR_TRANSACTION_ENDED. `fn` is called again where a pool has `transactionRetries`.
   */
  tx<T>(fn: (db: Database) => Promise<T> | T, options?: DatabaseTransactionOptions): Promise<T>;
  /** Takes no more calls, waits for those that were made, and closes what {@link openDatabase} opened: not a pool that was handed in. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens PostgreSQL or SQLite behind the same face, for programs that run on either.
 *
 * @param target A pool, the options of a pool, `'postgres://...'`, `'sqlite:file.db'` or `'sqlite::memory:'`. A pool connects when it
 *   is first used. SQLite runs in the thread of the caller, by `node:sqlite` (Node 22.16 or later), else by the package
 *   `better-sqlite3`; without both it rejects with ERR_NO_SQLITE.
 */
export function openDatabase(target: string | Pool | PoolOptions, options?: DatabaseOptions): Promise<Database>;

// Without it everything here would be exported, named so or not.
// biome-ignore lint/complexity/noUselessEmptyExport: see above
export {};
