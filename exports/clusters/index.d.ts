// Types of hyperiondb-client/clusters: many clusters as one database.

import type { Field, Host, HyperionError, PoolOptions, QueryOptions } from '../../client.js';

// --- Sharding

/** What a row is stored by: 1, 1n and '1' are the same key. A UUID is written in small letters, as PostgreSQL writes it. */
export type ShardKey = string | number | bigint;

/** Where the servers of a shard are: `primary` and `replicas`, or `hosts`, as for a cluster. */
export type ShardOptions =
  | { primary: string | Host; replicas?: ReadonlyArray<string | Host>; hosts?: undefined }
  | { hosts: PoolOptions['hosts']; primary?: undefined; replicas?: undefined };

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
   * How long an answer is kept, in ms; 0: not at all. Up to 100,000 answers are kept. A key that was not there is asked
   * for again. Default: 60000.
   */
  cacheMs?: number;
}

/** How a cluster is divided into shards. docs/sharding.md says when, and how a shard is added. */
export interface ShardingOptions {
  /** How a key leads to its shard. Default: must be given. */
  strategy: 'hash' | 'range' | 'directory';
  /** The column that every sharded table is divided by, for messages and expressions. Default: must be given. */
  key: string;
  /** Where each shard is: `{ primary, replicas }` or `{ hosts }`; its number is its place, from 0. Default: must be given. */
  shards: ReadonlyArray<ShardOptions>;
  /** How many shards there are, as a check: it must be the number of `shards`. Default: the number of `shards`. */
  partitions?: number;
  /** Of the strategy `range`: which keys each shard has. Default: none. */
  ranges?: ReadonlyArray<ShardRange>;
  /** Of the strategy `directory`: a function, or a table, that knows the shard of each key. Default: none. */
  directory?: ((key: ShardKey) => number | Promise<number>) | ShardDirectory;
}

/** How the results of all shards become one: options of a read without a `shardKey`. */
export interface MergeOptions<T = Record<string, unknown>> {
  /** The rows of one shard behind those of the one before. Default: `'concat'`. */
  merge?: 'concat';
  /** Sorts the rows, as Array.prototype.sort; rows that are equal stay in the order of shards. Default: none. */
  orderBy?: (a: T, b: T) => number;
  /** The most rows, counted after `orderBy`. Each shard sends its own: say LIMIT in the statement, too. Default: none. */
  limit?: number;
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

/** A server of a cluster, as the pool's monitor saw it last. */
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
export interface DecisionsOptions {
  /** The cluster that has the table of decisions; of a sharded one its first shard. Default: the first. */
  cluster?: string;
  /**
   * The table of decisions, also `'schema.table'`; both names as they are, without quotes. It is made when it is first needed.
   * Processes that share it finish the transactions of each other. Default: `'hyperiondb_decisions'`.
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
   * How long a call goes on asking for the decision, and after it, goes on trying to commit on each cluster. A cluster that
   * cannot be reached within this time is left to the recovery, and the call has succeeded. Default: 10000.
   */
  finishTimeoutMs?: number;
}

/** What a query of a transaction resolves with. */
export interface TransactionResult<T = Record<string, unknown>> {
  rows: T[];
  rowCount: number;
  command: string;
  fields: Field[];
  clusterId: string;
  /** `host:port` of the node that has answered. */
  node: string;
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
  query<T = Record<string, unknown>>(
    sql: string,
    params?: readonly unknown[],
    options?: TransactionQueryOptions,
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

/** What is to be applied, and for how long. */
export interface MigrationOptions {
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
   * EVALSHA, INFO, TIME, and those for strings and sorted sets. Default: none.
   */
  redis?: object;
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
