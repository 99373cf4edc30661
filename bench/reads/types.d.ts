/** How the clients reach the cluster. */
export interface Opening {
  /** `host:port` of all nodes, the primary first. */
  hosts: string[];
  nodes: Node[];
  user: string;
  password: string;
  database: string;
}

export interface Node {
  host: string;
  port: number;
  /** Its processes have this as their working directory. */
  dataDir: string;
}

/** How long a part is measured in one round. */
export interface Time {
  /** So many turns for each way... */
  turns: number;
  /** ... of so many seconds. */
  seconds: number;
  /** Which round it is, from 0. */
  round: number;
}

/** What a child is asked for. */
export interface Job extends Time {
  part: string;
  opening: Opening;
}

/** What it answers. */
export interface Answer<Round> {
  library: string | undefined;
  versions: Record<string, string>;
  round: Round;
}

/** A file of bench/reads/: something that is measured. */
export interface Part<Round> {
  id: string;
  title: string;
  /** When the command line names none. */
  seconds: number;
  /** One round, in a process of its own. */
  execute(opening: Opening, time: Time): Promise<Round>;
  /** For people. */
  report(rounds: Round[]): string[];
}

/** What the proxy has counted. */
export interface Counts {
  statements: number;
  /** Answers that were held back. */
  held: number;
  cancels: number;
}

/** What one turn of a way measured. */
export interface ThroughputTurn {
  opsPerSecond: number;
  p99Ms: number;
  /** CPU time of the client's process, and of its JavaScript thread, for an operation. */
  cpuUsPerOp: number;
  mainUsPerOp: number;
  eventLoopUtilization: number;
  /** CPU time of each node for an operation; the primary first. Missing where the system does not tell. */
  serversUsPerOp?: number[];
}
/** Way to measurement, a member for each turn. */
export type ThroughputRound = Record<string, ThroughputTurn>[];

export interface HedgingWay extends Counts {
  reads: number;
  failures: number;
  /** The first failure. */
  failure?: string;
  p50Ms: number;
  p99Ms: number;
  p999Ms: number;
  /** How late a read was sent, median: a part of its latency. */
  lateMs: number;
}
/** Scenario to its two ways. */
export type HedgingRound = Record<string, { without: HedgingWay; with: HedgingWay }>;

export interface ConsistencyWay {
  reads: number;
  p50Ms: number;
  p99Ms: number;
  /** Shares of the reads. */
  byPrimary: number;
  stale: number;
  /** Of the write before the read. */
  writeP50Ms: number;
}
/** Operations in flight to way to measurement. */
export type ConsistencyRound = Record<string, Record<string, ConsistencyWay>>;
