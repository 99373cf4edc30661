'use strict';

// The peers. `without`: loads that a client cannot run, or that its option is not made for, and why. Limits take part in the
// loads that they were written for.

const NOT_FOR_PIPELINE = Object.fromEntries([
  ...['W1', 'W4', 'W9'].map((id) => [id, 'nothing to pipeline with one statement in flight']),
  ['W6', 'COPY and pipelining exclude each other'],
  ['W7', 'a transaction needs a connection of its own'],
  ['W11', 'cursors and pipelining exclude each other'],
]);

const hasCopy = () => 'copyFrom' in require('../../client.js').Pool.prototype;

/**
 * @typedef {object} Participant
 * @property {string} name its file in this folder
 * @property {'ours' | 'client' | 'limit'} kind
 * @property {Record<string, string>} [without]
 * @property {string[]} [only]
 * @property {string[]} [pipelined] loads that suit its pipelined mode
 */

/** @type {Participant[]} */
exports.PARTICIPANTS = [
  { name: 'hyperion', kind: 'ours', without: hasCopy() ? {} : { W6: 'pool.copyFrom is not there yet' } },
  { name: 'pg', kind: 'client' },
  { name: 'pg-pipeline', kind: 'client', without: NOT_FOR_PIPELINE },
  // Measured with both: pipelining doubles W2-1000 and adds a third to W5; in W2-64 it only makes p99 worse.
  { name: 'pg-native', kind: 'client', pipelined: ['W2-1000', 'W5', 'W10'], without: { W11: 'it has no cursors' } },
  { name: 'postgres', kind: 'client' },
  { name: 'tokio-postgres', kind: 'limit', only: ['W1', 'W2-64', 'W2-1000', 'W3', 'W4', 'W5', 'W7'] },
  { name: 'pgbench', kind: 'limit', only: ['W1', 'W2-64', 'W5', 'W7'] },
];

/** @param {Participant} participant @param {string} load */
exports.takesPart = ({ without = {}, only }, load) => !(load in without) && (only?.includes(load) ?? true);
