// The nodes: a table where there is room, a card for each node where there is none. Its roles are written down, because an element
// that is laid out in another way is no row or cell for a screen reader any more.

import { byId, icon, keyed, make, setAttribute, setText } from './dom.mjs';
import { UNKNOWN, bytes, count, duration, rate } from './format.mjs';
import { lineOf } from './palette.mjs';

const STATES = /** @type {Record<string, [string, string]>} */ ({
  up: ['ok', 'up'],
  down: ['bad', 'down'],
  fenced: ['fenced', 'fenced'],
  unseen: ['wait', 'not asked yet'],
});

/** @typedef {{ id: string, title: string, isText?: boolean, text?: (node: any) => string }} Cell */

/** @type {Cell[]} */
const CELLS = [
  { id: 'node', title: 'Node', isText: true },
  { id: 'role', title: 'Role', isText: true },
  { id: 'state', title: 'State', isText: true },
  { id: 'timeline', title: 'Timeline', text: ({ timeline }) => (timeline === null ? UNKNOWN : String(timeline)) },
  {
    id: 'lag',
    title: 'Lag',
    text: ({ role, lagMs, lagBytes }) =>
      role === 'primary' || (lagMs === null && lagBytes === null) ? UNKNOWN : `${duration(lagMs)} · ${bytes(lagBytes)}`,
  },
  { id: 'statements', title: 'Stmts/s', text: ({ statements }) => rate(statements) },
  { id: 'inflight', title: 'In flight', text: ({ inFlight }) => count(inFlight) },
  { id: 'connections', title: 'Conns', text: ({ connections }) => count(connections) },
  { id: 'p50', title: 'p50', text: ({ recentMs }) => duration(recentMs.p50) },
  { id: 'p95', title: 'p95', text: ({ recentMs }) => duration(recentMs.p95) },
  { id: 'p99', title: 'p99', text: ({ recentMs }) => duration(recentMs.p99) },
  { id: 'roundtrip', title: 'Monitor', text: ({ roundTripMs }) => duration(roundTripMs) },
  { id: 'traffic', title: 'In / out', text: ({ bytes: { in: read, out } }) => `${bytes(read)} / ${bytes(out)}` },
  { id: 'lsn', title: 'Position', text: ({ lsn }) => lsn ?? UNKNOWN },
];

/** What the short titles mean, for a pointer that rests on them and for screen readers. @type {Record<string, string>} */
const LONG = {
  lag: 'Replay lag behind the primary: time, bytes of the WAL',
  statements: 'Statements a second',
  inflight: 'Statements that are not answered yet',
  connections: 'Connections of this pool',
  roundtrip: 'Round trip of the last look of the monitor',
  traffic: 'Bytes a second: received, sent',
  lsn: 'Write position of the primary, replay position of a standby',
};

/** @param {any} node */
function createRow({ node }) {
  const cells = CELLS.map(({ id, title, isText }) => {
    if (id === 'node') {
      const sample = make('span.line', { 'aria-hidden': 'true' });
      return make(
        'th',
        { role: 'rowheader', scope: 'row', class: 'cell-node' },
        sample,
        make('span.node-name', {}, node),
      );
    }
    const cell = make('td', { role: 'cell', class: `cell-${id}${isText ? '' : ' number'}`, 'data-title': title });
    if (id === 'role' || id === 'state') cell.append(icon('wait'), make('span'));
    if (id === 'state') cell.append(make('span.reason'));
    return cell;
  });
  return make('tr', { role: 'row' }, ...cells);
}

/** @param {any} node */
function reasonOf({ state, fit, reason, lastError, role }) {
  if (state !== 'up') return lastError ?? reason ?? '';
  return role === 'standby' && !fit ? `not used for reads: ${reason ?? ''}` : '';
}

/** @param {HTMLElement} row @param {any} node @param {number} index */
function updateRow(row, node, index) {
  const { state, role, lastError } = node;
  const shown = role === 'unknown' && lastError === null ? 'unseen' : state;
  setAttribute(row, 'data-state', shown);
  row.querySelector('.line')?.setAttribute('data-line', lineOf(index));
  for (const { id, text } of CELLS) {
    const cell = /** @type {Element} */ (row.querySelector(`.cell-${id}`));
    if (text !== undefined) setText(cell, text(node));
    else if (id === 'state') {
      const [symbol, word] = STATES[shown] ?? STATES.unseen;
      setAttribute(/** @type {Element} */ (cell.querySelector('use')), 'href', `#icon-${symbol}`);
      setText(cell.querySelector('span'), word);
      setText(cell.querySelector('.reason'), shown === 'unseen' ? '' : reasonOf(node));
    } else if (id === 'role') {
      setAttribute(cell, 'data-role', role);
      setAttribute(
        /** @type {Element} */ (cell.querySelector('use')),
        'href',
        `#icon-${role === 'unknown' ? 'wait' : role}`,
      );
      setText(cell.querySelector('span'), role);
    }
  }
}

/** @param {any[]} nodes of a sample */
export function showNodes(nodes) {
  const place = byId('nodes');
  if (place.firstElementChild === null) {
    const heads = CELLS.map(({ id, title, isText }) =>
      make(
        'th',
        { role: 'columnheader', scope: 'col', class: `cell-${id}${isText ? '' : ' number'}` },
        LONG[id] === undefined ? title : make('abbr', { title: LONG[id] }, title),
      ),
    );
    const head = make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' }, ...heads));
    place.append(
      make(
        'table.nodes',
        { role: 'table', 'aria-labelledby': 'nodes-title' },
        head,
        make('tbody', { role: 'rowgroup' }),
      ),
    );
  }
  const indexes = new Map(nodes.map((node, index) => [node, index]));
  keyed(
    place.querySelector('tbody'),
    nodes,
    ({ node }) => node,
    createRow,
    (row, node) => updateRow(row, node, indexes.get(node) ?? 0),
  );
}
