'use strict';

// The nodes as lines of text, in the order given.

const { isSeen } = require('./topology.js');
const { bytes, duration, label, printable } = require('./words.js');

/** @typedef {import('./topology.js').Node} Node */
/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(node: Node) => string} cell
 * @property {number} [least] characters that are kept free for it, so that the table stands still while values change
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

/** What a narrow terminal can do without; the first goes first. */
const DISPENSABLE = [COLUMN.latency, COLUMN.lsn, COLUMN.timeline, COLUMN.lag];
const GAP = '  ';

/** @type {Record<string, number>} SGR codes: green, red, yellow */
const COLORS = { up: 32, down: 31, fenced: 33 };

/** Only of a standby that is there: a primary has none, and of others the last known would be too small. @param {Node} node */
function lag({ role, state, lagBytes, lagMs }) {
  if (role !== 'standby' || state !== 'up') return '-';
  return [bytes(lagBytes), duration(lagMs)].filter((text) => text !== '-').join(', ') || '-';
}

/** @param {Node} node */
function errorOf({ lastError }) {
  return lastError === null ? '' : printable(lastError);
}

/**
 * A head and one line a node, as wide as they need to be.
 * @param {Node[]} nodes
 * @param {boolean} colors
 */
function fullTable(nodes, colors) {
  const columns = [...Object.values(COLUMN), ...(nodes.some(errorOf) ? [ERROR] : [])];
  return lines(columns, widths(columns, nodes), nodes, colors);
}

/**
 * The same in lines of at most `width` characters. A node's last error has a line of its own below it.
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
