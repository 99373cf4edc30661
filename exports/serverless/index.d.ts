// Types of hyperiondb-client/serverless: for processes that are frozen with their connections open.

import type {
  EndOptions,
  Field,
  LeaseOptions,
  MonitorOptions,
  PoolOptions,
  QueryOptions,
  ReapResult,
  Rows,
  SlowEvent,
  Sql,
  TokenOptions,
  TokenRows,
  Transaction,
  TransactionOptions,
  createLease as createOfClient,
  verifyLease as verifyOfClient,
} from '../../client.js';

/**
 * Functions that are told what happens. They only observe: nobody waits for them, and what they throw, or reject with, is swallowed.
 * `onConnect`, `onHeartbeat`, `onHeartbeatFail`, `onReap` and `onClientDead` are of leases: without one (`leaseMode: 'optional'`) they
 * are not called.
 */
export interface ServerlessHooks {
  /** A session was opened, on this node (`host:port`). Default: none. */
  onConnect?: (payload: { node: string }) => unknown;
  /** No session could be opened: the next attempt, number `retries` from 1, is made after `delay` ms. Default: none. */
  onReconnect?: (payload: { retries: number; delay: number; err: Error }) => unknown;
  /** `query()` was called, at this time (ms since 1970). Default: none. */
  onQueryStart?: (payload: { startedAt: number }) => unknown;
  /** `query()` has succeeded, after `duration` ms, retries included. Default: none. */
  onQueryEnd?: (payload: { duration: number }) => unknown;
  /** `query()` has failed for good, after `duration` ms. Default: none. */
  onQueryError?: (payload: { err: Error; duration: number }) => unknown;
  /** A statement has failed and runs again: attempt number `retries` from 1, after `delay` ms. Default: none. */
  onQueryRetry?: (payload: { retries: number; delay: number; err: Error }) => unknown;
  /** The lease of a session was renewed. Default: none. */
  onHeartbeat?: (payload: { node: string }) => unknown;
  /** The lease of a session could not be renewed. Default: none. */
  onHeartbeatFail?: (payload: { err: Error }) => unknown;
  /**
   * A pass of the reaper has ended; `err`: it has failed; `locked: false`: another process was at it. Default: none.
   */
  onReap?: (payload: { locked: boolean; killed: number; durationMs: number; err?: Error }) => unknown;
  /** An attempt has taken `slowQueryMs` or longer. Default: none. */
  onSlowQuery?: (payload: SlowEvent) => unknown;
  /**
   * A session has ended that this client has not closed; `source` is `'error'` when there is a reason, which is
   * `err`. Default: none.
   */
  onClientDead?: (payload: { source: 'error' | 'end'; err?: Error; meta: { sqlstate: string | null } }) => unknown;
}

/**
 * Options of {@link ServerlessClient}: those of {@link PoolOptions}, with other defaults for a few, and those of {@link LeaseOptions}.
 * A mistake throws an {@link OptionError} that names the option.
 */
export interface ServerlessOptions extends Omit<PoolOptions, 'lease' | 'monitor' | 'poolSize'>, LeaseOptions {
  /** The most connections; each is one of max_connections while the process is frozen, too. Default: 1. */
  poolSize?: number;
  /**
   * How the nodes are watched, which takes a second session of each process; `false`: not at all. Without it a
   * statement on a node that falls silent waits for `tcpUserTimeoutMs` or its own `timeoutMs`. Default: `false`.
   */
  monitor?: boolean | MonitorOptions;
  /**
   * How often work is run again at most that has certainly changed nothing, or is declared `readOnly`. Also the
   * `retries` of each `transaction()` that names none: `transactionRetries` goes before it. A statement within a
   * transaction never runs again alone. Default: 3.
   */
  retries?: number;
  /** The shortest pause before a retry of `query()` and `connect()`, in ms. Default: 100. */
  minBackoff?: number;
  /** The longest pause, in ms; a pause is `min(maxBackoff, random(minBackoff, 3 * previous))`. Default: 2000. */
  maxBackoff?: number;
  /**
   * When no session can be had: so long after the call no other attempt is decided on. Each attempt waits for a
   * session for up to `acquireTimeoutMs`. Default: 15000.
   */
  maxConnectRetryTimeMs?: number;
  /** After any other failure: so long after the call no other attempt is decided on. Default: 15000. */
  maxQueryRetryTimeMs?: number;
  /** Functions that are told what happens. Default: `{}`. */
  hooks?: ServerlessHooks;
}

/** What {@link ServerlessClient.query} resolves to. */
export interface ServerlessResult<T = Record<string, unknown>, R = Rows<T>> {
  rows: R;
  /** Rows returned or changed. */
  rowCount: number;
  /** `'SELECT'`, `'INSERT'`, `'CREATE'`, ...; empty for an empty statement. */
  command: string;
  fields: ReadonlyArray<Field>;
}

/** Rows come as arrays. */
type AsArrays = { rowMode: 'array' };
/** Rows come as objects. */
type AsObjects = { rowMode?: 'object' };
type Parameters = ReadonlyArray<unknown> | null;

/**
 * A client for processes that are frozen with their sessions open (AWS Lambda and the like), one for each process. Each session has a
 * signed lease in its `application_name`; processes of the same service end the sessions whose lease has expired. It opens a session
 * when it is first used, and keeps no process alive that has nothing else to do. No `error` event ever ends the process.
 */
export class ServerlessClient {
  /** Throws an {@link OptionError}; nothing is connected. */
  constructor(options: ServerlessOptions);
  /**
   * Resolves when a session is open, at once when there is one. May be left out. Where no session can be had it tries again, as
   * `query()` does.
   */
  connect(): Promise<void>;
  /**
   * Runs a statement. It runs again, `retries` times at most, when it has certainly not been applied (`error.retryable`), or is declared
   * `readOnly` and its failure passes by itself ({@link isTransient}), but not after a time limit has ended it. `timeoutMs` is for each
   * attempt. What may have been applied is never sent twice: it rejects with `outcome: 'unknown'`.
   *
   * Within the callback of `transaction()`, of a client with `ambient`, it joins the transaction and never runs again alone.
   */
  query<T extends unknown[] = unknown[]>(
    sql: string | Sql,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays & TokenOptions,
  ): Promise<ServerlessResult<T, TokenRows<T>>>;
  query<T extends object = Record<string, unknown>>(
    sql: string | Sql,
    params: Parameters | undefined,
    options: QueryOptions & AsObjects & TokenOptions,
  ): Promise<ServerlessResult<T, TokenRows<T>>>;
  query<T extends unknown[] = unknown[]>(
    sql: string | Sql,
    params: Parameters | undefined,
    options: QueryOptions & AsArrays,
  ): Promise<ServerlessResult<T>>;
  query<T extends object = Record<string, unknown>>(
    sql: string | Sql,
    params?: Parameters,
    options?: QueryOptions & AsObjects,
  ): Promise<ServerlessResult<T>>;
  query(
    sql: string | Sql,
    params: Parameters | undefined,
    options: QueryOptions,
  ): Promise<ServerlessResult<Record<string, unknown> | unknown[]>>;
  /**
   * BEGIN, `callback`, COMMIT; ROLLBACK when it throws: {@link Pool.transaction}, with the client's `retries` where none are given. It
   * also begins again when no session can be had, as `query()` does.
   */
  transaction<T>(callback: (tx: Transaction) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
  /**
   * Ends sessions of this service whose lease has expired, now: {@link Pool.reap}. A pass that fails rejects only with
   * `reaperErrorMode: 'throw'`; without a lease it rejects with ERR_NO_LEASE.
   */
  reap(): Promise<ReapResult>;
  /**
   * Takes no more work ({@link PoolClosedError}), lets what runs finish (until `timeoutMs`, then it is cancelled), and closes the
   * sessions.
   */
  end(options?: EndOptions): Promise<void>;
  /** The same as {@link ServerlessClient.end}. */
  clean(options?: EndOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A signed lease, as the package itself has it. */
export const createLease: typeof createOfClient;
/** What a lease says, as the package itself has it. */
export const verifyLease: typeof verifyOfClient;

// Without it everything here would be exported, named so or not.
// biome-ignore lint/complexity/noUselessEmptyExport: see above
export {};
