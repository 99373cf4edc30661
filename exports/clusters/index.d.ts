// Types of hyperiondb-client/clusters: many clusters as one database.

import type { Host, PoolOptions } from '../../client.js';

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
