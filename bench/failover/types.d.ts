/** How a client reaches the cluster. */
export interface Opening {
  /** `host:port`, in the order the variant asks for. */
  hosts: string[];
  user: string;
  password: string;
  database: string;
  connections: number;
}

/** What the load needs of a client: the interface of the files in clients/. Failures reject. */
export interface Client {
  /** An autocommit statement that changes something; resolves when it is acknowledged. */
  write(sql: string, params: readonly unknown[]): PromiseLike<unknown>;
  /** A statement that the caller declares to change nothing, where the client has a way to say so. */
  read(sql: string, params: readonly unknown[]): PromiseLike<{ length: number }>;
}

export interface ClientModule {
  version(): string;
  open(opening: Opening, settings: Settings): Client;
}

/** Of a variant; each client knows its own. */
export interface Settings {
  /** pg: limit of every statement. */
  queryTimeoutMs?: number;
  /** postgres.js: target_session_attrs. */
  attrs?: 'read-write' | 'primary';
  /** postgres.js: max_lifetime, in seconds. */
  maxLifetime?: number;
}

/** One way to set up a client. */
export interface Variant {
  /** Where the first primary stands in the list of hosts. */
  primary: 'first' | 'last';
  settings: Settings;
}

/** A member of clients/index.js. */
export interface Participant {
  name: string;
  label: string;
  /** The variant that counts. */
  best: string;
  variants: Record<string, Variant>;
}

export interface Job {
  client: string;
  opening: Opening;
  settings: Settings;
}

/** What a child tells, in the order it happened. Times are milliseconds of the machine's clock. */
export type Message =
  | { kind: 'ready'; version: string }
  | { kind: 'failed'; error: string }
  | { kind: 'told'; events: Told[] };
export type Told =
  | { kind: 'begun'; n: number; type: 'write' | 'read'; id: number; at: number }
  | { kind: 'ended'; n: number; at: number; error?: string; outcome?: string; stale?: boolean };

/** A statement, as far as it is known. */
export interface Statement {
  type: 'write' | 'read';
  id: number;
  begunAt: number;
  /** Missing while it runs. */
  endedAt?: number;
  /** Code or message; missing when it succeeded. */
  error?: string;
  /** What the client said about a failed statement, where it says something. */
  outcome?: string;
  /** A read that did not find a row its caller knew to be written. */
  stale?: boolean;
}

/** When what happened to the cluster. */
export interface Timeline {
  faultAt: number;
  /** The new primary was promoted... */
  promotedAt: number;
  /** ... and acknowledged a write of the harness. */
  healedAt: number;
  /** Nothing more was done to any node. */
  overAt: number;
}

/** An entry of scenarios.js. */
export interface Scenario {
  id: string;
  title: string;
  synchronous: boolean;
  play(cluster: import('../../test/support/cluster').Cluster): Promise<Timeline>;
}

/** What became of the load, of a client under a scenario. */
export interface Figures {
  statements: number;
  acknowledged: number;
  failedWrites: number;
  failedReads: number;
  /** Errors of failed statements: how often each. */
  errors: Record<string, number>;
  /** Writes that failed and are there all the same. */
  failedButThere: number;
  /** Writes of which the client said 'not-applied', and which are there. */
  denied: number;
  hung: number;
  lost: number;
  doubled: number;
  /** Acknowledged by the old primary after there was a new one; these are among the lost. */
  deposed: number;
  /** Reads that did not find what their caller had written before. */
  staleReads: number;
  /** The longest time without an acknowledged write that is there in the end. */
  pauseMs: number;
  /** How long the harness itself could not write. */
  clusterPauseMs: number;
  recovered: 'yes' | 'partly' | 'no';
  /** Why the process of the client ended by itself, if it did. */
  died?: string;
}

/** scenario -> client (with its variant) -> a Figures for each round */
export type Measured = Record<string, Record<string, Figures[]>>;

/** What a run saves. */
export interface Result {
  at: string;
  minutes: number;
  rounds: number;
  node: string;
  postgresql: number;
  cpu: string;
  versions: Record<string, string>;
  measured: Measured;
}
