'use strict';

// The peers. `without`: loads that a client cannot run, or that its option is not made for, and why. Limits take part in the
// loads that they were written for.

const NOT_FOR_PIPELINE = Object.fromEntries([
  ...['W1', 'W4', 'W9'].map((id) => [id, 'nothing to pipeline with one statement in flight']),
  ['W6', 'COPY and pipelining exclude each other'],
  ...['W7', 'W7-commit'].map((id) => [id, 'a transaction needs a connection of its own']),
  ['W11', 'cursors and pipelining exclude each other'],
]);

/**
 * @typedef {object} Participant
 * @property {string} name
 * @property {string} title for the help
 * @property {'ours' | 'client' | 'limit'} kind
 * @property {string} [file] its file in this folder, if it is not called as the participant is
 * @property {string[]} [execArgv] flags of Node.js for its process
 * @property {Record<string, string>} [without]
 * @property {string[]} [only]
 * @property {string[]} [pipelined] loads that suit its pipelined mode
 */

/** Raw tokio-postgres, which shares are told of. */
const RAW = 'tokio-postgres';
/** The rows of W4 without a database. */
const FLOOR = 'floor';

/** @type {Participant[]} */
const PARTICIPANTS = [
  { name: 'hyperion', kind: 'ours', title: 'this client' },
  { name: 'pg', kind: 'client', title: 'node-postgres, pure JavaScript' },
  {
    name: 'pg-pipeline',
    kind: 'client',
    title: 'node-postgres with pipeline: true',
    without: NOT_FOR_PIPELINE,
  },
  {
    name: 'pg-native',
    kind: 'client',
    title: 'node-postgres on libpq',
    // Measured with both: pipelining doubles W2-1000 and adds a third to W5; in W2-64 it only makes p99 worse.
    pipelined: ['W2-1000', 'W5', 'W10'],
    without: { W11: 'it has no cursors' },
  },
  { name: 'postgres', kind: 'client', title: 'postgres.js' },
  {
    name: RAW,
    kind: 'limit',
    title: 'a program in Rust without JavaScript: 100 % in "of raw"',
    only: ['W1', 'W2-64', 'W2-1000', 'W3', 'W4', 'W5', 'W7', 'W7-commit'],
  },
  { name: 'pgbench', kind: 'limit', title: "PostgreSQL's own, in C", only: ['W1', 'W2-64', 'W5', 'W7'] },
  { name: FLOOR, kind: 'limit', title: 'the rows of W4, made without a database', only: ['W4'] },
  {
    name: 'floor-2mb',
    kind: 'limit',
    title: 'the same with node --max-semi-space-size=2',
    file: FLOOR,
    execArgv: ['--max-semi-space-size=2'],
    only: ['W4'],
  },
];

/** @param {Participant} participant @param {string} load */
const takesPart = ({ without = {}, only }, load) => !(load in without) && (only?.includes(load) ?? true);

module.exports = { FLOOR, PARTICIPANTS, RAW, takesPart };
