// Which charts there are, and which lines each can show.

import { Chart } from './chart.mjs';
import { byId } from './dom.mjs';
import { bytes, count, duration, rate } from './format.mjs';

/** @typedef {import('./chart.mjs').Definition} Definition */
/** @typedef {import('./store.mjs').Store} Store */

/** A line for each node. @param {string} name of the line in the history */
const byNode = (name) => (/** @type {Store} */ store) =>
  store.nodeNames.flatMap((node, index) => {
    const values = store.nodes.get(node)?.[name];
    return values === undefined ? [] : [{ key: node, title: node, index, values }];
  });

/** Lines of the pool. @param {Record<string, string>} titles by the names of the lines in the history */
const lines = (titles) => (/** @type {Store} */ store) =>
  Object.entries(titles).map(([key, title], index) => ({ key, title, index, values: store.lines[key] ?? [] }));

/** @param {Store} store */
function outcomes({ lines: { statements = [], errors = [] } }) {
  const good = statements.map((value, index) => (value === null ? null : Math.max(0, value - (errors[index] ?? 0))));
  return [
    { key: 'good', title: 'succeeded', index: 2, values: good },
    { key: 'errors', title: 'failed', index: 4, values: errors },
  ];
}

/** @type {Definition[]} */
const CHARTS = [
  {
    id: 'statements',
    title: 'Statements a second',
    empty: 'No statements in this time.',
    views: [
      { id: 'nodes', title: 'By node', format: rate, summary: 'mean', lines: byNode('statements') },
      { id: 'outcome', title: 'By outcome', format: rate, summary: 'mean', lines: outcomes },
    ],
  },
  {
    id: 'latency',
    title: 'Latency',
    empty: 'No statements in this time.',
    views: [
      {
        id: 'all',
        title: 'All nodes',
        format: duration,
        summary: 'max',
        lines: lines({ p50: 'p50', p95: 'p95', p99: 'p99' }),
      },
      { id: 'p50', title: 'p50 by node', format: duration, summary: 'max', lines: byNode('p50') },
      { id: 'p99', title: 'p99 by node', format: duration, summary: 'max', lines: byNode('p99') },
    ],
  },
  {
    id: 'lag',
    title: 'Replication lag',
    empty: 'No node has told its lag in this time.',
    views: [
      { id: 'time', title: 'Time', format: duration, summary: 'max', lines: byNode('lagMs') },
      { id: 'bytes', title: 'Bytes', format: bytes, summary: 'max', lines: byNode('lagBytes') },
    ],
  },
  {
    id: 'waits',
    title: 'Waits for a connection',
    empty: 'No statement had to wait in this time.',
    views: [
      { id: 'time', title: 'Time', format: duration, summary: 'max', lines: lines({ waitP50: 'p50', waitP99: 'p99' }) },
      { id: 'number', title: 'A second', format: rate, summary: 'mean', lines: lines({ waits: 'waits' }) },
      {
        ...{ id: 'connections', title: 'Connections', format: count, summary: /** @type {const} */ ('max') },
        lines: lines({ size: 'open', inUse: 'in use', waiting: 'waiting for one' }),
      },
    ],
  },
];

/** @param {Store} store */
export function makeCharts(store) {
  const charts = CHARTS.map((definition) => new Chart(definition, store));
  byId('charts').append(...charts.map(({ root }) => root));
  return charts;
}
