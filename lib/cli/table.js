'use strict';

// The nodes as lines of text.

const { isSeen } = require('./topology.js');
const { bytes, duration, label, printable } = require('./format.js');

/** @typedef {import('./topology.js').Node} Node */
/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(node: Node) => string} cell
 * @property {number} [least] its minimum width, so that the table does not move while values change
 * @property {boolean} [right]
 */

/** @type {Record<string, Column>} */
const COLUMN = {
  node: { title: 'node', cell: label },
  role: { title: 'role', cell: ({ role }) => role, least: 7 },
  state: { title: 'state', cell: (node) => (isSeen(node) ? node.state : '-'), least: 6 },
  timeline: { title: 'timeline', cell: ({ timeline }) => String(timeline ?? '-'), right: true },
  lsn: { title: 'lsn', cell: ({ lsn }) => lsn ?? '-', least: 10 },
  lag: { title: 'lag', cell: lag, least: 9, right: true },
  latency: { title: 'latency', cell: ({ latencyMs }) => duration(latencyMs), least: 7, right: true },
};
const ERROR = { title: 'last error', cell: errorOf };

/** The columns that are left out in a narrow terminal, the first one first. */
const DISPENSABLE = [COLUMN.latency, COLUMN.lsn, COLUMN.timeline, COLUMN.lag];
const GAP = '  ';

/** @type {Record<string, number>} SGR codes: green, red, yellow */
const COLORS = { up: 32, down: 31, fenced: 33 };

/** The lag of a standby that is up. A primary has none, and the last known lag of a node that is not up is too small. @param {Node} node */
function lag({ role, state, lagBytes, lagMs }) {
  if (role !== 'standby' || state !== 'up') return '-';
  return [bytes(lagBytes), duration(lagMs)].filter((text) => text !== '-').join(', ') || '-';
}

/** @param {Node} node */
function errorOf({ lastError }) {
  return lastError === null ? '' : printable(lastError);
}

/**
 * A head and one line for each node, as wide as necessary.
 * @param {Node[]} nodes
 * @param {boolean} colors
 */
function fullTable(nodes, colors) {
  const columns = [...Object.values(COLUMN), ...(nodes.some(errorOf) ? [ERROR] : [])];
  return lines(columns, widths(columns, nodes), nodes, colors);
}

/**
 * A table of lines with at most `width` characters. The last error of a node has a line of its own below the node.
 * @param {Node[]} nodes
 * @param {number} width
 * @param {boolean} colors
 */
function fittedTable(nodes, width, colors) {
  let columns = Object.values(COLUMN);
  const room = () => width - widths(columns, nodes).reduce((sum, one) => sum + one + GAP.length, -GAP.length);
  for (const column of DISPENSABLE) {
    if (room() < 0) columns = columns.filter((one) => one !== column);
  }
  const [node, ...others] = widths(columns, nodes);
  const [head, ...rows] = lines(columns, [node + Math.min(0, room()), ...others], nodes, colors);
  const below = nodes.map((one) => (errorOf(one) === '' ? [] : [shortened(`${GAP}${errorOf(one)}`, width)]));
  return [head, ...rows.flatMap((row, index) => [row, ...below[index]])];
}

/**
 * @param {Column[]} columns
 * @param {Node[]} nodes
 */
function widths(columns, nodes) {
  return columns.map(({ title, cell, least = 0 }) =>
    Math.max(title.length, least, ...nodes.map((node) => cell(node).length)),
  );
}

/**
 * @param {Column[]} columns
 * @param {number[]} room
 * @param {Node[]} nodes
 * @param {boolean} colors
 */
function lines(columns, room, nodes, colors) {
  const line = (/** @type {(column: Column) => string} */ text, /** @type {(text: string) => string} */ paint) =>
    columns
      .map((column, index) => {
        const found = shortened(text(column), room[index]);
        const padding = ' '.repeat(Math.max(0, room[index] - found.length));
        const shown = column === COLUMN.state ? paint(found) : found;
        return column.right ? padding + shown : shown + padding;
      })
      .join(GAP)
      .trimEnd();
  const paint = (/** @type {string} */ word) =>
    colors && word in COLORS ? `\x1b[${COLORS[word]}m${word}\x1b[0m` : word;
  return [line(({ title }) => title, String), ...nodes.map((node) => line(({ cell }) => cell(node), paint))];
}

/**
 * @param {string} text
 * @param {number} width
 */
function shortened(text, width) {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 2))}..`;
}

module.exports = { fittedTable, fullTable, shortened };
