import type { Opening } from '../types';

/** Figures of one measurement by name: `usPerOp`, `peakRssMb`; a curve tells what they mean. */
export type Figures = Record<string, number | undefined>;

/** A figure of a curve: a panel of its chart, and a column of its table. */
export interface Figure {
  key: string;
  /** With its unit: 'us a row'. */
  label: string;
  /** The same in few letters, for a table. */
  head: string;
  /** A knee is looked for. Not given: it is. */
  knee?: boolean;
  /** It has a panel in the chart. Not given: it has. */
  chart?: boolean;
}

/** A line of a curve: one client in one way of use. */
export interface Series {
  name: string;
  label: string;
  /** A file of bench/peers/, or 'hyperion'. */
  peer: string;
  /** The raw limit: a program of its own. */
  isLimit?: boolean;
  /** Steps from and to which it is measured. */
  from?: number;
  to?: number;
  /** What the curve wants to know of it. */
  way?: Record<string, unknown>;
}

export interface Curve {
  name: string;
  title: string;
  /** What grows: 'rows of a result'. */
  axis: string;
  steps: number[];
  /** Steps of `--quick`. */
  quick: number[];
  /** From this step on one round is enough, because a round takes long. */
  onceFrom?: number;
  series: Series[];
  figures: Figure[];
  /** What the limit is asked to do: the part of a load that bench/peers/tokio-postgres.js reads. */
  raw?(step: number): object;
  /** In a process of its own. */
  measure(job: Job): Promise<Figures>;
}

/** Where the nodes of the cluster are, and their data directories when they are on this machine. */
export interface Place extends Opening {
  dataDirs: string[];
  maxConnections: number;
  /** Real standbys. */
  standbys: string[];
  /** Listeners that look like standbys, for the curve that wants them. */
  fakes?: string[];
  systemIdentifier: string;
}

export interface Job {
  curve: string;
  series: Series;
  step: number;
  place: Place;
  seconds: number;
  warmupSeconds: number;
}

/** What was measured: for each step the figures of each series, a list of rounds. */
export type Rounds = Record<string, Record<string, Figures[]>>;

export interface Result {
  at: string;
  curve: string;
  rounds: number;
  seconds: number;
  quick: boolean;
  node: string;
  postgresql: number;
  cpu: string;
  versions: Record<string, string>;
  measured: Rounds;
}
