// Types of hyperiondb-client/clusters: many clusters as one database.

import { EventEmitter } from 'node:events';
import type {
  EndOptions,
  Field,
  Host,
  HyperionError,
  Isolation,
  PoolOptions,
  QueryOptions,
  SlowEvent,
  Sql,
  TypeChoices,
} from '../../client.js';

// --- Configuration

/** A host of a cluster. `user`, `password` and `database` are those of the whole cluster, and must be the same where they stand twice. */
export type ClusterHost = string | (Host & Pick<PoolOptions, 'user' | 'password' | 'database'>);

/** `'round_robin'` and the like are those of {@link ReadsOptions.balance} by other names. */
export type LoadBalancingStrategy = 'round_robin' | 'weighted' | 'least_connections' | 'response_time' | 'health_aware';

export interface LoadBalancingOptions {
  /** How a read chooses among the nodes that are fit. Default: `'round_robin'`. */
  strategy?: LoadBalancingStrategy;
  /**
   * How much of the reads each node gets, by `'host:port'`, or by `replica_1`, `replica_2` in the order of
   * `replicas`. Of the strategies `weighted` and `health_aware`. Default: 1 each.
   */
  weights?: Readonly<Record<string, number>>;
  /**
   * A node of whose reads a smaller share has succeeded of late is used only when nothing else is fit, from 0 to 1.
   * Of the strategy `health_aware`. Default: 0: no.
   */
  healthThreshold?: number;
}

export interface ConnectionPoolOptions {
  /** So many connections to the primary are opened at once, and kept when they are idle, too. Default: 0. */
  min?: number;
  /** The most connections to the primary. Default: 10. */
  max?: number;
}

/** A cluster: what is its own, and any option of a pool but `mode`, `ambient` and `name`. */
export interface ClusterOptions extends Omit<PoolOptions, 'hosts' | 'mode' | 'ambient' | 'name'> {
  /**
   * The schemas that the cluster has: a call that names one of them goes here. They only route: the search_path of
   * the sessions is an option of the pool, `options: { search_path }`.
   */
  schemas: readonly string[];
  /**
   * The first host: `'host:port'` or `{ host, port }`, with `user`, `password` and `database` if they stand here. It
   * need not be the primary: the pool finds that among all hosts, and follows it. Default: none.
   */
  primary?: ClusterHost;
  /** The other hosts. Default: none. */
  replicas?: readonly ClusterHost[];
  /**
   * All hosts, instead of `primary` and `replicas`. A string may list several, separated by commas. The option takes
   * the place of libpq's `host` and `hostaddr`. The server of this machine is the socket in /var/run/postgresql or
   * /tmp, else `localhost`. Default: `PGHOST`, this machine.
   */
  hosts?: string | Host | ReadonlyArray<string | Host>;
  /**
   * Where a call goes that names no `operation`. `'replica'`: a statement is tried on a standby, whose sessions
   * cannot write; if it is refused there it runs on the primary, and its text is remembered as a write. `'nearest'`:
   * the same, and on the primary when that answers sooner than every standby. Default: `'primary'`.
   */
  readPreference?: 'primary' | 'replica' | 'nearest';
  /**
   * What a read must see: `'strong'`: everything, so it goes to the primary; `'session'`: what this object has
   * written before. `'eventual'`: what a standby has, within `reads.maxLagMs` if that is set. `'strong'` goes before
   * `readPreference` and `operation`, so what is not given is `'session'` where these ask for standbys. Default:
   * `'session'` for what goes to standbys, else `'strong'`.
   */
  consistencyLevel?: 'strong' | 'session' | 'eventual';
  /** How reads are spread over the standbys. Default: `{ strategy: 'round_robin' }`. */
  loadBalancing?: LoadBalancingOptions;
  /**
   * How many connections there are: `minPoolSize` and `poolSize` of a pool by other names. Default: `{ min: 0, max:
   * 10 }`.
   */
  connectionPool?: ConnectionPoolOptions;
  /** The cluster is several, each with a part of the rows: its shards have the hosts then. Default: none. */
  sharding?: ShardingOptions;
}

/** The clusters by their ids: 1 to 63 letters, digits, and any of `_ . -`. */
export type ClusterConfiguration = Readonly<Record<string, ClusterOptions>>;

/** How clusters are watched. */
export interface HealthOptions {
  /**
   * The time between two health checks of a cluster; 0: only healthCheck() looks. A check that has not ended when the
   * next one is due takes its place. Default: 5000.
   */
  healthCheckIntervalMs?: number;
  /**
   * A primary that has not answered a health check after this time has failed it. Waiting for a connection counts.
   * Default: 3000.
   */
  healthTimeoutMs?: number;
  /**
   * After so many failed health checks in a row, those by healthCheck() included, a cluster is down. The event
   * `clusterDown` tells of it once, and `clusterRecovered` of the first check that succeeds. Default: 3.
   */
  maxFailuresBeforeMarkDown?: number;
}

/** Options of {@link MultiClusterPostgres}. A mistake throws an {@link OptionError} that names the option. */
export interface MultiClusterOptions {
  /** `false`: a call with `cache: true` goes to the database, and there is no cache. Default: `true`. */
  enableCache?: boolean;
  /** `false`: nothing is counted, and `getMetrics()` is refused. Default: `true`. */
  enableMetrics?: boolean;
  /** `false`: no transaction spans clusters, so no table of decisions is made or looked at. Default: `true`. */
  enableTransactions?: boolean;
  /** The cache of results. Default: `{}`. */
  cache?: CacheOptions;
  /** How the clusters are watched. Default: `{}`. */
  cluster?: HealthOptions;
  /** Transactions that span clusters, and what finishes them after a crash. Default: `{}`. */
  decisions?: DecisionOptions;
}

// --- Calls

/** Options of {@link MultiClusterPostgres.query}. A mistake is a {@link ParameterError}, and nothing is sent. */
export interface ClusterQueryOptions<T = Record<string, unknown>> {
  /** The schema whose cluster the statement goes to. Default: none. */
  schema?: string;
  /** The cluster, instead of a schema. Default: the only cluster. */
  clusterId?: string;
  /**
   * Of a sharded cluster: the key whose shard the statement goes to; without it a read goes to all shards. Default:
   * none.
   */
  shardKey?: ShardKey;
  /**
   * `'read'`: the caller's promise that nothing is changed; `'write'`: on the primary. A read that writes all the
   * same is refused by the server, whichever node it went to. With the consistency level `strong` it is an ordinary
   * statement on the primary. Default: by `readPreference`.
   */
  operation?: 'read' | 'write';
  /** What the statement must see if it reads. Default: the schema's or cluster's. */
  consistencyLevel?: 'strong' | 'session' | 'eventual';
  /** Whether the result may come from the cache, and goes there; the statement must be a read. Default: `false`. */
  cache?: boolean;
  /** How long the entry is served, in ms. Default: the cache's `ttl`. */
  cacheTtl?: number;
  /** A name by which invalidateCache() finds the entry. Default: none. */
  cacheKey?: string;
  /** More names, which entries may share. Default: none. */
  tags?: readonly string[];
  /** Of a read of all shards: the rows of one shard behind those of the one before. Default: `'concat'`. */
  merge?: 'concat';
  /** Sorts the rows, as Array.prototype.sort; rows that are equal stay in the order of shards. Default: none. */
  orderBy?: (a: T, b: T) => number;
  /**
   * The most rows, counted after `orderBy`; each shard sends its own: say LIMIT in the statement, too. Default: none.
   */
  limit?: number;
  /**
   * After this the statement is cancelled on the server: {@link QueryTimeoutError}; waiting for a connection counts.
   * Default: none.
   */
  timeoutMs?: number;
  /** When it fires the statement is cancelled on the server: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
  /** `'array'`: each row is an array of its values in the order of the columns. Default: `'object'`. */
  rowMode?: 'object' | 'array';
  /**
   * What differs from the pool's `types`, for this call. Keep the object: equal ones are told apart by their
   * functions. Default: the pool's.
   */
  types?: TypeChoices;
}

/** Options of {@link MultiClusterPostgres.withTransaction}. */
export interface ClusterTransactionOptions {
  /** What the transaction sees of others. Default: the server's default_transaction_isolation. */
  isolation?: Isolation;
  /** For the whole transaction: after this its statements fail with {@link QueryTimeoutError}. Default: none. */
  timeoutMs?: number;
}

/** What the calls of a schema have that name nothing else. */
export interface RegisterSchemaOptions {
  /** Where a call of this schema goes that names no `operation`. Default: the cluster's. */
  readPreference?: 'primary' | 'replica' | 'nearest';
  /** What a read of this schema must see. Default: the cluster's. */
  consistencyLevel?: 'strong' | 'session' | 'eventual';
}

/** What a statement resolves with. It is the caller's own to change. */
export interface ClusterResult<T = Record<string, unknown>> {
  rows: T[];
  /** Rows returned or changed; of a read of all shards those of `rows`. */
  rowCount: number;
  /** `'SELECT'`, `'INSERT'`, `'CREATE'`, ...; empty for an empty statement. */
  command: string;
  fields: ReadonlyArray<Field>;
  /** The cluster that has answered. */
  clusterId: string;
  /** `host:port` of the node that has answered; of all shards their nodes, with commas between them. */
  node: string;
  /** Whether it comes from the cache; `clusterId` and `node` are those of the original then. */
  cached: boolean;
}

// --- Sharding

/** What a row is stored by: 1, 1n and '1' are the same key. A UUID is written in small letters, as PostgreSQL writes it. */
export type ShardKey = string | number | bigint;

/** Where the servers of a shard are: `primary` and `replicas`, or `hosts`, as for a cluster. */
export type ShardOptions =
  | { primary: ClusterHost; replicas?: readonly ClusterHost[]; hosts?: undefined }
  | { hosts: string | Host | ReadonlyArray<string | Host>; primary?: undefined; replicas?: undefined };

/**
 * The keys from `from` to below `to`; null: without an end. All bounds are numbers and bigints, or all are strings, whose order is that
 * of COLLATE "C". A key in no range is a {@link ParameterError}.
 */
export interface ShardRange {
  from: string | number | bigint | null;
  to: string | number | bigint | null;
  shard: number;
}

/** A table that knows the shard of each key. */
export interface ShardDirectory {
  /** The table, also `'schema.table'`; both names as they are, without quotes. */
  table: string;
  /** Its column with the key, which is unique. Default: `'key'`. */
  keyColumn?: string;
  /** Its column with the number of the shard. Default: `'shard'`. */
  shardColumn?: string;
  /** The shard that has the table. Default: 0. */
  shard?: number;
  /**
   * How long an answer is kept, in ms; 0: not at all. Up to 100,000 answers are kept. A key that was not there is
   * asked for again. Default: 60000.
   */
  cacheMs?: number;
}

/** How a cluster is divided into shards. docs/sharding.md says when, and how a shard is added. */
export interface ShardingOptions {
  /** How a key leads to its shard. */
  strategy: 'hash' | 'range' | 'directory';
  /** The column that every sharded table is divided by, for messages and expressions. */
  key: string;
  /** Where each shard is: `{ primary, replicas }` or `{ hosts }`; its number is its place, from 0. */
  shards: ReadonlyArray<ShardOptions>;
  /** How many shards there are, as a check: it must be the number of `shards`. Default: the number of `shards`. */
  partitions?: number;
  /** Of the strategy `range`: which keys each shard has. Default: none. */
  ranges?: ReadonlyArray<ShardRange>;
  /** Of the strategy `directory`: a function, or a table, that knows the shard of each key. Default: none. */
  directory?: ((key: ShardKey) => number | Promise<number>) | ShardDirectory;
}

/** The slot of a key, from 0 to 1,023: the strategy `hash` gives each slot to a shard. */
export function slotOf(key: ShardKey): number;

/**
 * SQL for the same slot: an int, for a column of type text, varchar, uuid, int2, int4, int8, or numeric without fractions. `column` is
 * its name as it is, without quotes. PostgreSQL 11 and later.
 */
export function slotExpression(column: string): string;

// --- Metrics

/** What `cache` of {@link MultiClusterMetrics} has. */
export interface CacheMetrics {
  /** Calls that ran no statement of their own. */
  hits: number;
  misses: number;
  /** `hits` of all lookups, from 0 to 1; 0 while there was none. */
  hitRate: number;
  /** With Redis those of all processes, as it last said. */
  entries: number;
  /** As they are stored; null with Redis, which counts them itself. */
  bytes: number | null;
}

/** What `transactions` of {@link MultiClusterMetrics} has: those of `withTransaction()`. */
export interface TransactionMetrics {
  started: number;
  committed: number;
  aborted: number;
  /** How many are decided and not yet finished on all clusters, as far as this process knows. */
  inDoubt: number;
  /** How many prepared transactions were finished by `recover()`. */
  recovered: number;
}

/** What was counted of one cluster since it was added. */
export interface ClusterMetrics {
  /** Queries that have ended, failed ones included. */
  queries: number;
  /** Those of them that were reads. */
  reads: number;
  /** Those that were writes. */
  writes: number;
  /** Those that have failed. */
  errors: number;
  /** How long a query took on average, failed ones included, in ms; 0 while there was none. */
  avgResponseTime: number;
  /** What 95 % of the queries did not exceed, in ms, to 3.2 %; 0 while there was none. */
  p95: number;
  /** Open connections to its primary, or to the primaries of its shards; those of reads to standbys are not among them. */
  connections: number;
  /** How many queries took no longer than each bound, the last of which is Infinity. Not enumerable. */
  readonly histogram: ReadonlyArray<{ leMs: number; count: number }>;
}

/** What `getMetrics()` returns. The totals are counted since the object was made, and include clusters that were removed. */
export interface MultiClusterMetrics {
  totalQueries: number;
  /** Of all queries, in ms; 0 while there was none. */
  avgResponseTime: number;
  /** The share of the queries that have failed, from 0 to 1. */
  errorRate: number;
  cache: CacheMetrics;
  transactions: TransactionMetrics;
  clusters: Record<string, ClusterMetrics>;
}

/**
 * What `prometheus()` returns: the numbers of {@link MultiClusterMetrics} in the text format of Prometheus, version 0.0.4, for a response
 * with `Content-Type: text/plain; version=0.0.4`.
 *
 * | name | type | labels | |
 * | --- | --- | --- | --- |
 * | `hyperiondb_clusters_queries_total` | counter | cluster, kind (`read`, `write`) | queries that have ended, failed ones included |
 * | `hyperiondb_clusters_query_errors_total` | counter | cluster | queries that have failed |
 * | `hyperiondb_clusters_query_duration_seconds` | histogram | cluster, le (0.000125 to 32.768, each twice the one before) | how long they took |
 * | `hyperiondb_clusters_connections` | gauge | cluster | open connections to its primaries |
 * | `hyperiondb_clusters_cache_hits_total` | counter | | queries that the cache has answered |
 * | `hyperiondb_clusters_cache_misses_total` | counter | | queries with `cache: true` that were not in the cache |
 * | `hyperiondb_clusters_cache_entries` | gauge | | entries in the cache |
 * | `hyperiondb_clusters_cache_bytes` | gauge | | their size |
 * | `hyperiondb_clusters_transactions_started_total` | counter | | transactions that were begun |
 * | `hyperiondb_clusters_transactions_committed_total` | counter | | those that were committed |
 * | `hyperiondb_clusters_transactions_aborted_total` | counter | | those that were rolled back |
 * | `hyperiondb_clusters_transactions_in_doubt` | gauge | | those that are decided and not yet finished on all clusters |
 * | `hyperiondb_clusters_transactions_recovered_total` | counter | | prepared transactions that `recover()` has finished |
 */
export type PrometheusText = string;

// --- Health

/** A server of a cluster, as the pool's monitor saw it last; with `monitor: false` as the connections of the pool met it last. */
export interface NodeHealth {
  /** `host:port`. */
  node: string;
  /** Of a sharded cluster: whose server it is. */
  shard?: number;
  role: 'primary' | 'standby' | 'unknown';
  healthy: boolean;
  /** The round trip of the last look at it, in ms; null when there was none. */
  responseTime: number | null;
  /** How far it is behind its primary, in bytes of the WAL; null when that is not known. */
  lagBytes: number | null;
  /** How many looks in a row have found it unhealthy. */
  failureCount: number;
  /** Why it is not healthy; null for one that is. */
  error: string | null;
}

export interface ClusterHealth {
  /** Whether it accepts writes: each primary has answered within `healthTimeoutMs`, and its sessions are not read-only. */
  healthy: boolean;
  /** `host:port` of the node that accepts writes; null when there is none, and of a sharded cluster, which has several. */
  primary: string | null;
  nodes: NodeHealth[];
}

/** What `healthCheck()` returns. */
export interface HealthReport {
  /** Whether all clusters are healthy. */
  healthy: boolean;
  clusters: Record<string, ClusterHealth>;
}

/** After `maxFailuresBeforeMarkDown` failed checks in a row, once. */
export interface ClusterDownEvent {
  clusterId: string;
  /** Why the last of them failed. */
  reason: string;
}

/** After the first check that succeeds again. */
export interface ClusterRecoveredEvent {
  clusterId: string;
  /** How long ago the first of the failed checks began, in ms. */
  downtime: number;
}

/** Another node is the primary. */
export interface FailoverEvent {
  clusterId: string;
  /** Of a sharded cluster: the shard whose primary it is. */
  shard?: number;
  /** `host:port` of the old primary. */
  from: string;
  /** `host:port` of the new one. */
  to: string;
}

// --- Two-phase commit

/** Where decisions on transactions that span clusters are kept, and what finishes them. docs/two-phase-commit.md says more. */
export interface DecisionOptions {
  /** The cluster that has the table of decisions; of a sharded one its first shard. Default: the first. */
  cluster?: string;
  /**
   * The table of decisions, also `'schema.table'`; both names as they are, without quotes. It is made when it is
   * first needed. Processes that share it finish the transactions of each other. Default: `'hyperiondb_decisions'`.
   */
  table?: string;
  /** The time between two searches for transactions that a crash has left in doubt. Default: 30000. */
  recoverIntervalMs?: number;
  /**
   * What has been prepared for longer than this without a decision is rolled back; also the longest wait for PREPARE
   * TRANSACTION. Default: 60000.
   */
  graceMs?: number;
  /**
   * How long a call goes on asking for the decision, and after it, goes on trying to commit on each cluster. A
   * cluster that cannot be reached within this time is left to the recovery, and the call has succeeded. Default:
   * 10000.
   */
  finishTimeoutMs?: number;
}

/** What a query of a transaction resolves with. */
export interface TransactionResult<T = Record<string, unknown>> extends ClusterResult<T> {
  cached: false;
}

/** Which cluster a statement of a transaction goes to; the other options are those of a query in a transaction. */
export interface TransactionQueryOptions extends Pick<QueryOptions, 'timeoutMs' | 'signal' | 'rowMode' | 'types'> {
  /** One of the schemas of the transaction; if it has only one, that. */
  schema?: string;
  /** The key that leads to a shard. */
  shardKey?: ShardKey;
  clusterId?: string;
}

/** What the callback of `withTransaction` is given when several clusters may take part. */
export interface ClusterTransaction {
  /** Under this id its decision and its prepared parts are found: they are called `hdb:<coordinator>:<id>.<number>`. */
  readonly id: string;
  /**
   * When the call has resolved: the clusters that could not yet be told to commit what is decided. They are tried again for
   * `decisions.finishTimeoutMs`, then by the recovery. Empty in nearly all cases.
   */
  readonly pending: string[];
  query<T extends unknown[] = unknown[]>(
    sql: string | Sql,
    params: Parameters | undefined,
    options: TransactionQueryOptions & AsArrays,
  ): Promise<TransactionResult<T>>;
  query<T extends object = Record<string, unknown>>(
    sql: string | Sql,
    params?: Parameters,
    options?: TransactionQueryOptions & AsObjects,
  ): Promise<TransactionResult<T>>;
}

/** What `recover()` resolves with. */
export interface Recovered {
  /** Transactions that were decided, and are committed on all of their clusters now. */
  committed: number;
  /** Transactions that were not decided, and are rolled back on all clusters that have answered. */
  rolledBack: number;
  /** Transactions that stay in doubt: see `problems`. */
  pending: number;
  /** Transactions without a decision that are prepared for less than `graceMs`: they may be at work. */
  inProgress: number;
  /** Prepared transactions of others, in the databases of the clusters. They are left alone. */
  foreign: number;
  /** What could not be done; `id: null`: the cluster could not be asked what is prepared there. */
  problems: Array<{ id: string | null; cluster: string; reason: string }>;
}

/** Of the events `transactionStarted`, `transactionCommitted`, `transactionAborted` and `inDoubt`. */
export interface TransactionEvent {
  id: string;
  /**
   * `transactionStarted`: the clusters that may take part; `transactionCommitted`, `transactionAborted`: those that have; `inDoubt`:
   * those that have not committed yet, or, when the decision is not known, all that are prepared. A shard is `'users/2'`.
   */
  clusters: string[];
}

// --- Migrations

/** One migration: its number orders it, and `sql` is what a file `NNN_name.sql` has. */
export interface Migration {
  /** `'001_accounts'`, also with `.sql`. */
  name: string;
  sql: string;
}

/** What happens in migrate(), as it happens. `unit` is a cluster, or a shard as `'users/2'`. */
export type MigrationEvent =
  /** Another process applies migrations to this database; it is waited for. */
  | { type: 'waiting'; unit: string; name: null }
  | { type: 'begun'; unit: string; name: string }
  | { type: 'applied'; unit: string; name: string; durationMs: number };

/** What is to be applied, where, and for how long. */
export interface MigrationOptions {
  /** The ids of clusters. With `schemas`: all that either names. Default: all clusters. */
  clusters?: readonly string[];
  /** Schemas, whose clusters are meant. */
  schemas?: readonly string[];
  /** The folder with the files `NNN_name.sql`: this or `migrations` must be given. */
  directory?: string;
  /** The migrations themselves. */
  migrations?: ReadonlyArray<Migration>;
  /** Where each database has what was applied, also `'schema.table'`. Default: `'hyperiondb_migrations'`. */
  table?: string;
  /** For all of it: after this what runs is undone: {@link QueryTimeoutError}. Default: none. */
  timeoutMs?: number;
  /** When it fires what runs is undone: {@link AbortError}. Default: none. */
  signal?: AbortSignal;
}

export interface MigrateOptions extends MigrationOptions {
  /** Nothing is applied: `pending` says what would be. Default: `false`. */
  dryRun?: boolean;
  /** It only observes: what it throws is swallowed. Default: none. */
  onEvent?: (event: MigrationEvent) => void;
}

export interface MigrateResult {
  /** What this call has applied, in the order of time. */
  applied: { unit: string; name: string; durationMs: number }[];
  /** How many migrations were there already, of all units together. */
  skipped: number;
  /** With `dryRun`: what would be applied, in the order of numbers. */
  pending: { unit: string; name: string }[];
}

/** What is applied to a unit. */
export interface MigrationStatus {
  unit: string;
  /** Why it could not be asked. */
  error: Error | null;
  migrations: {
    name: string;
    /**
     * `'begun'`: it runs, or has not ended well, outside of a transaction. `'changed'`, `'missing'` and `'out of order'`: what
     * migrate() refuses. `'ahead'`: it was applied by a newer release.
     */
    state: 'applied' | 'pending' | 'begun' | 'changed' | 'missing' | 'out of order' | 'ahead';
    /** `'2026-01-31T12:00:00Z'`; null when it was not applied. */
    appliedAt: string | null;
    durationMs: number | null;
  }[];
}

/** The codes of migrations. */
export type MigrationErrorCode =
  /** A file has no number, two have one, or there is none. */
  | 'ERR_MIGRATION_FILES'
  /** A unit does not say what is applied; nothing was applied on any. `cause` is why. */
  | 'ERR_MIGRATION_UNREACHABLE'
  /** A migration was applied with another text, or under another name. */
  | 'ERR_MIGRATION_CHANGED'
  /** A migration was applied that is not here, and others follow it. */
  | 'ERR_MIGRATION_MISSING'
  /** A migration was not applied, and one that follows it was. */
  | 'ERR_MIGRATION_ORDER'
  /** A migration without a transaction was begun, and it is not known what of it was done. */
  | 'ERR_MIGRATION_BEGUN'
  /** A migration has failed and is undone, unless `outcome` is `'unknown'`. `cause` is the error of the server. */
  | 'ERR_MIGRATION_FAILED';

/** The error of a migration: of migrate(), and of no other method. */
export interface MigrationError extends HyperionError {
  readonly code: MigrationErrorCode & HyperionError['code'];
  /** The unit it comes from; missing for ERR_MIGRATION_FILES. */
  readonly unit?: string;
  /** The migration it comes from; null when there is none. */
  readonly migration?: string | null;
  /** Of ERR_MIGRATION_FAILED: where in its text, both from 1. */
  readonly line?: number;
  readonly column?: number;
  /** Of ERR_MIGRATION_FAILED: what this call had applied. */
  readonly applied?: MigrateResult['applied'];
  /** Of ERR_MIGRATION_FAILED: the errors of other units that failed at the same time. */
  readonly others?: MigrationError[];
  /** All that was found, for errors that come before anything is applied. */
  readonly problems?: { unit: string; name: string | null; code: MigrationErrorCode; message: string }[];
}

// --- Cache

/** A Redis that processes share. */
export interface CacheRedis {
  /**
   * A client of the package `ioredis` or `redis`, which stays yours to close. Its user needs the commands EVAL,
   * EVALSHA, INFO, TIME, and those for strings and sorted sets.
   */
  redis: object;
  /**
   * All keys begin with `{prefix}:`, braces included, so that they share a slot of Redis Cluster. Processes with the
   * same prefix share their entries. Default: `'hyperiondb'`.
   */
  prefix?: string;
  /** How long a command may take; after a failure Redis is left alone for a second. Default: 250. */
  timeoutMs?: number;
}

/** The option `cache`: where results are kept that were asked for with `cache: true`. */
export interface CacheOptions {
  /** The most entries in memory; the least recently used one goes first. Default: 1000. */
  maxSize?: number;
  /** The most bytes of all entries in memory, as they are stored. Default: 67108864. */
  maxBytes?: number;
  /** How long an entry is served, in ms, unless a call has its own `cacheTtl`. Default: 300000. */
  ttl?: number;
  /** Whether entries from `compressionThreshold` on are stored deflated. Default: `false`. */
  enableCompression?: boolean;
  /** The smallest entry that is deflated, in bytes. Default: 1024. */
  compressionThreshold?: number;
  /**
   * Where entries are: `'memory'` of this process, or `{ redis: client }`, which processes share. While Redis is away
   * queries go to the database. Default: `'memory'`.
   */
  provider?: 'memory' | CacheRedis;
  /**
   * Whether invalidations reach the memory of other processes, by NOTIFY on the first cluster's database. They arrive
   * a moment later there. When the session that listens was lost, the whole cache of the process is emptied. With
   * Redis there is nothing to tell. Default: `false`.
   */
  broadcast?: boolean;
}

/** What is invalidated: entries with any of the tags, of a schema, of a cluster, or with a `cacheKey`, which a pattern of `*` and `?` may select. */
export type Invalidation =
  | { schema: string }
  | { tags: readonly string[] }
  | { cluster: string }
  | { pattern: string }
  | { key: string };

// --- The class

/** Rows come as arrays. */
type AsArrays = { rowMode: 'array' };
/** Rows come as objects. */
type AsObjects = { rowMode?: 'object' };
type Parameters = ReadonlyArray<unknown> | null;

/** The codes of {@link MultiClusterPostgres} that a single pool does not have; docs/clusters.md says of each what to do. */
export type ClusterErrorCode =
  /** initialize(): at least one cluster could not be reached; nothing is open. `failures` has the error of each. */
  | 'ERR_INITIALIZE'
  /** initialize() was not called, has not ended, or was called twice. */
  | 'ERR_NOT_INITIALIZED'
  /** The method needs an option of the constructor that is false: its message names it. */
  | 'ERR_NOT_ENABLED'
  /** A cluster of a transaction has max_prepared_transactions = 0. */
  | 'ERR_NO_PREPARED_TRANSACTIONS'
  /** The table of decisions cannot be made or used. */
  | 'ERR_DECISION_TABLE'
  /** A transaction over several clusters was rolled back on all of them; it may run again. */
  | 'ERR_TRANSACTION_ABORTED'
  /** A directory has answered with a shard that there is not, or has a key twice. */
  | 'ERR_UNKNOWN_SHARD'
  /** A read of all shards has got other columns from one of them. */
  | 'ERR_SHARDS_DIFFER'
  | MigrationErrorCode;

/** The error of {@link MultiClusterPostgres.initialize} when a cluster could not be reached. */
export interface InitializeError extends HyperionError {
  readonly code: 'ERR_INITIALIZE' & HyperionError['code'];
  /** By the ids of the clusters that could not be reached. */
  readonly failures: Readonly<Record<string, Error>>;
}

/** The events of {@link MultiClusterPostgres}. What a listener throws is an uncaught exception; it disturbs no query. */
export interface MultiClusterEvents {
  clusterDown: [event: ClusterDownEvent];
  clusterRecovered: [event: ClusterRecoveredEvent];
  failover: [event: FailoverEvent];
  /** `duration` in ms. A result from the cache is a `cacheHit`, and not told here. */
  queryExecuted: [event: { clusterId: string; node: string; duration: number; rowCount: number }];
  queryError: [event: { clusterId: string; error: unknown; duration: number }];
  /** A statement has taken as long as the option `slowQueryMs` of its cluster says, or longer. */
  slow: [event: SlowEvent & { clusterId: string; shard?: number }];
  cacheHit: [event: { key: string; schema: string }];
  cacheMiss: [event: { key: string; schema: string }];
  cacheEviction: [event: { key: string; schema: string; reason: 'size' | 'bytes' | 'expired' }];
  schemaRegistered: [event: { schema: string; clusterId: string }];
  transactionStarted: [event: TransactionEvent];
  transactionCommitted: [event: TransactionEvent];
  transactionAborted: [event: TransactionEvent];
  inDoubt: [event: TransactionEvent];
  /** Something in the background of a pool failed (the password function). Never ends the process, listener or not. */
  error: [error: unknown];
}

/**
 * Many clusters as one database: each statement goes to the cluster that has its schema, and there to the primary or to a standby.
 * docs/clusters.md is the guide.
 */
export class MultiClusterPostgres extends EventEmitter<MultiClusterEvents> {
  /** Throws an {@link OptionError}; nothing is connected. */
  constructor(options?: MultiClusterOptions);
  /**
   * Opens all clusters side by side. Resolves when the primary of each has answered. When one has not, none is left open, and it rejects
   * with an {@link InitializeError}; it may be called again then. A mistake in the configuration is an {@link OptionError}.
   */
  initialize(configuration: ClusterConfiguration): Promise<void>;
  /**
   * Runs a statement on the cluster of its `schema`, or on `clusterId`; without both on the only cluster. Where it goes there:
   * `operation`, else `readPreference`; docs/clusters.md tells how "the server decides" what is a read.
   */
  query<T extends unknown[] = unknown[]>(
    sql: string | Sql,
    params: Parameters | undefined,
    options: ClusterQueryOptions<T> & AsArrays,
  ): Promise<ClusterResult<T>>;
  query<T extends object = Record<string, unknown>>(
    sql: string | Sql,
    params?: Parameters,
    options?: ClusterQueryOptions<T> & AsObjects,
  ): Promise<ClusterResult<T>>;
  query(
    sql: string | Sql,
    params: Parameters | undefined,
    options: ClusterQueryOptions,
  ): Promise<ClusterResult<Record<string, unknown> | unknown[]>>;
  /**
   * Runs the callback in a transaction on the clusters of `schemas`. On one cluster it is that of a pool; where several have written it
   * is a two-phase commit, all or nothing, of which docs/two-phase-commit.md tells. What the callback throws rolls all of it back.
   */
  withTransaction<T>(
    schemas: readonly string[],
    callback: (tx: ClusterTransaction) => Promise<T> | T,
    options?: ClusterTransactionOptions,
  ): Promise<T>;
  /** Routes a schema to a cluster from now on, or changes how its calls are read. */
  registerSchema(schema: string, clusterId: string, options?: RegisterSchemaOptions): void;
  /** Opens one more cluster. */
  addCluster(id: string, configuration: ClusterOptions): Promise<void>;
  /** Takes a cluster away. Resolves when what was in flight on it has ended. */
  removeCluster(id: string): Promise<void>;
  /**
   * Takes another configuration: what is the same goes on, what differs is opened anew, and the old pools end when what was in flight has
   * ended. When something cannot be opened, nothing changes.
   */
  reload(configuration: ClusterConfiguration): Promise<void>;
  /** Whether each cluster accepts writes, and what is known of its nodes. */
  healthCheck(): Promise<HealthReport>;
  /** What was counted so far. */
  getMetrics(): MultiClusterMetrics;
  /** The same as text for Prometheus (format 0.0.4); docs/clusters.md has the names. */
  prometheus(): string;
  /** Removes entries from the cache; resolves with their number. */
  invalidateCache(selector: Invalidation): Promise<number>;
  /**
   * Applies migrations to clusters, and to each of their shards: in the order of their numbers, each once, and nothing anywhere unless all
   * can be asked and agree with the files. Rejects with a {@link MigrationError}.
   */
  migrate(options: MigrateOptions): Promise<MigrateResult>;
  /** What is applied where. Nothing is changed. A cluster or shard that cannot be asked has an `error`. */
  migrationStatus(options: MigrationOptions): Promise<MigrationStatus[]>;
  /**
   * Finishes two-phase commits that a crash has left in doubt. It runs at initialize() and every `decisions.recoverIntervalMs`, too.
   * Rejects when the decisions cannot be read; what else could not be done is in `problems`.
   */
  recover(): Promise<Recovered>;
  /** Takes no more work ({@link PoolClosedError}), waits for what is in flight as {@link Pool.end} does, and closes everything. */
  close(options?: EndOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** Whether close() was called. */
  readonly isClosed: boolean;
  /** The state, the schemas and the hosts; no password. */
  toJSON(): {
    state: 'new' | 'opening' | 'open' | 'closed';
    clusters: Record<string, { schemas: string[]; hosts: string[] }>;
  };
}

// Without it everything here would be exported, named so or not.
// biome-ignore lint/complexity/noUselessEmptyExport: see above
export {};
