/** How to reach the cluster. `primary` is for clients that know one host. */
export interface Opening {
  hosts: string[];
  primary: { host: string; port: number };
  user: string;
  password: string;
  database: string;
  connections: number;
}

/** What a load needs of a client. */
export interface Db {
  /** A statement to be run many times; parameters are $1, $2, ... in this order, each once. */
  statement(name: string, sql: string): (params: unknown[]) => PromiseLike<object[]>;
  close(): Promise<void>;
}

/** A file of bench/peers/. */
export interface Peer {
  version(): string;
  library?(): string | undefined;
  open(opening: Opening): Promise<Db>;
}

/** An entry of bench/loads.js. */
export interface Load {
  id: string;
  title: string;
  inFlight: number;
  connections: number;
  /** Run once, before the first round; `teardown` after the last. */
  setup: string[];
  teardown: string[];
  /** Rows every operation has to return. */
  rows: number;
  /** The operation; `n` counts from 0, and the same n asks for the same. */
  open(db: Db): (n: number) => PromiseLike<object[]>;
}

/** What one child process measured. */
export interface Measurement {
  operations: number;
  opsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  cpuUsPerOp: number;
  mainUsPerOp: number;
  mainSource: 'threadCpuUsage' | 'schedstat' | 'event loop';
  eventLoopUtilization: number;
  peakRssMb: number;
}

/** What a child is asked for, and what it answers. */
export interface Job {
  peer: string;
  load: string;
  opening: Opening;
  seconds: number;
}
export interface Answer {
  version: string;
  library: string | undefined;
  /** Values in a form that does not depend on the client's mapping. */
  values: string;
  measured: Measurement;
}
