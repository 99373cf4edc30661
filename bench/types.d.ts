/** How to reach the cluster. `primary` is for clients that know one host. */
export interface Opening {
  hosts: string[];
  primary: { host: string; port: number };
  user: string;
  password: string;
  database: string;
  connections: number;
  /** TLS, verified by this CA (PEM); false: none. Not given: what the client does by itself. */
  tls?: { ca: string } | false;
  /** For a client that can do both: whether this load suits its pipelined mode. */
  pipelined?: boolean;
}

export type Row = Record<string, unknown>;

/**
 * Runs its statement, on any connection or within the given transaction. `commit`: it is the last one, so a client that can sends
 * COMMIT with it; the others ignore it, and commit when the body has ended.
 */
export type Statement = (
  params: readonly unknown[],
  transaction?: unknown,
  how?: { commit: boolean },
) => PromiseLike<Row[]>;

/** A bulk load: resolves to the number of rows. */
export type Bulk = (table: string, columns: readonly Column[], rows: readonly unknown[][]) => Promise<number>;

export interface Column {
  name: string;
  type: string;
}

/** What a load needs of a client: the adapter interface of bench/peers/. */
export interface Db {
  /** A statement to be run many times; parameters are $1, $2, ... in this order, each once. */
  statement(name: string, sql: string): Statement;
  /** BEGIN, `body`, COMMIT, on one connection. `body` hands what it gets to its statements. */
  transaction<T>(body: (transaction: unknown) => Promise<T>): Promise<T>;
  /** The client's ways to load many rows; the fastest counts. */
  bulk: Record<string, Bulk>;
  /** A result too large to hold: every row is handed over and forgotten. */
  stream?(sql: string, params: readonly unknown[], onRow: (row: Row) => void): Promise<void>;
  close(): Promise<void>;
}

/** A file of bench/peers/: a client of Node.js (`open`) or a program of its own (`run`). */
export interface Peer {
  version(): string;
  library?(): string | undefined;
  open(opening: Opening): Promise<Db>;
}
export interface Limit {
  /** Gets it ready; a text says why it cannot be. */
  prepare(): Promise<string | undefined>;
  version(): string;
  run(load: Load, opening: Opening, how: Measuring): Promise<Measurement>;
}

export interface Time {
  seconds: number;
  warmupSeconds: number;
}

export interface Measuring extends Time {
  /** Of the server, if it is one of this machine: for its CPU time. */
  dataDir?: string;
}

/** How an operation is measured. */
export type Way =
  /** `inFlight` of them all the time, for as many seconds as the run says. */
  | { kind: 'steady'; inFlight: number }
  /** One after another, so many times; what is between them does not count. */
  | { kind: 'repeated'; warmups: number; times: number }
  /** Once in each of so many new processes, from before `require` to the result. */
  | { kind: 'cold'; processes: number };

/** What an operation resolves to; `length` has to be the load's `rows(n)`. */
export type Result = ArrayLike<unknown>;

/** An entry of bench/loads.js. */
export interface Load {
  id: string;
  title: string;
  /** For the chart. */
  short: string;
  connections: number;
  way: Way;
  /** What is counted: an operation, or each of its rows. */
  unit: 'operation' | 'row';
  /** Tables that have to be there. */
  setup: readonly string[];
  teardown: readonly string[];
  /** Run by the harness before each measurement. */
  before?: readonly string[];
  /** Run by the client before each repetition, not measured. */
  reset?: { statement: string };
  /** The statements, for the limits; pgbench takes `script`. */
  statements: readonly string[];
  script?: string;
  /** Parameters of the Rust program: what to do, and over how many rows. */
  rust?: { task: string; size: number };
  /** A round trip through the harness's proxy takes that much longer. */
  latencyMs?: number;
  /** Rows that operation `n` has to return. */
  rows(n: number): number;
  /** Operations whose result is compared between the peers. Default 5. */
  samples?: number;
  /** What is compared of a result. Default: all of it. */
  sample?(result: Result, db: Db): unknown;
  /** Operations whose latency and number do not count. */
  ignored?(n: number): boolean;
  /** Names of the variants that a client has; the fastest counts. */
  variants?(db: Db): string[];
  /** The figure that ratios are about. */
  headline: 'opsPerSecond' | 'p50Ms' | 'p99Ms';
  /** The operation; `n` counts from 0, and the same n asks for the same. */
  open(db: Db, variant?: string): (n: number) => PromiseLike<Result>;
}

/** What one process measured. Figures that make no sense for a load, or that a limit cannot tell, are missing. */
export interface Measurement {
  /** Of the load's units. */
  operations: number;
  opsPerSecond: number;
  p50Ms?: number;
  p99Ms?: number;
  /** CPU time in microseconds: of the whole client... */
  cpuUsPerOp?: number;
  /** ... its JavaScript thread... */
  mainUsPerOp?: number;
  /** ... its other threads, garbage collection and libuv's included... */
  otherUsPerOp?: number;
  /** ... and all processes of the server. */
  serverUsPerOp?: number;
  mainSource?: 'threadCpuUsage' | 'schedstat';
  eventLoopUtilization?: number;
  /** The longest time the event loop did not come round. */
  stallMs?: number;
  peakRssMb?: number;
  /** Which of the client's ways was the fastest. */
  variant?: string;
  /** How busy the proxy was, 0 to 1. */
  proxyUtilization?: number;
}

/** Load to rounds to peer; a peer that failed in a round is missing there. */
export type Measured = Record<string, Partial<Record<string, Measurement>>[]>;

/** A figure over all rounds. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** What all rounds of a load say of one peer. */
export interface Summary {
  figures: Partial<Record<keyof Measurement, Spread>>;
  /** The load's headline figure as a share of raw tokio-postgres, in the same rounds: 1 is as good. */
  ofRaw?: Spread;
  /** CPU time of an operation in the client, as times that of raw tokio-postgres. */
  cpuOfRaw?: Spread;
  /** So many times better is ours. */
  oursIs?: Spread;
}

/** What a child is asked for, and what it answers. */
export interface Job extends Measuring {
  /** Its file in bench/peers/, without `.js`. */
  peer: string;
  load: string;
  opening: Opening;
}
export interface Answer {
  version: string;
  library: string | undefined;
  /** Values in a form that does not depend on the client's mapping. */
  values: string;
  measured: Measurement;
}
