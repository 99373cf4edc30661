// The figures of this moment.

import { byId, make, setAttribute, setText } from './dom.mjs';
import { UNKNOWN, ago, bytes, count, counted, duration, percent, rate } from './format.mjs';
import { isOpen } from './failovers.mjs';

/** @typedef {{ value: string, more: string, level?: 'warn' | 'bad', filled?: number }} Figure `filled`: a share, as a bar */

/** @param {any} sample @returns {Figure} */
function failover({ at, failovers, totals }) {
  const last = failovers.at(-1);
  if (last === undefined) return { value: 'none', more: 'since the pool was opened' };
  const times = counted(totals.failovers, 'failover');
  if (isOpen(last)) return { value: duration(at - last.noticed), more: 'so far: one is under way', level: 'bad' };
  const end = last.firstWrite ?? last.found;
  const when = ago(at - last.noticed);
  return { value: end === null ? UNKNOWN : duration(end - last.noticed), more: `${when}, ${times} in all` };
}

/** @param {any} sample @returns {Figure} */
function lag({ nodes }) {
  const known = nodes.filter(
    (/** @type {any} */ { role, lagMs, lagBytes }) => role === 'standby' && (lagMs ?? lagBytes) !== null,
  );
  if (known.length === 0) return { value: UNKNOWN, more: 'no standby tells' };
  const [worst] = known.sort((/** @type {any} */ a, /** @type {any} */ b) => (b.lagMs ?? 0) - (a.lagMs ?? 0));
  return { value: duration(worst.lagMs), more: `${bytes(worst.lagBytes)}, ${worst.node}` };
}

/** @param {any} sample @returns {Figure} */
function errorsOf({ at, rate: { statements, errors: now }, errors }) {
  if (now > 0) {
    const more =
      statements > 0 ? `${percent(Math.min(1, now / statements))} of the statements` : 'no statement has succeeded';
    return { value: rate(now), more, level: 'warn' };
  }
  const last = Math.max(0, ...errors.map((/** @type {any} */ { lastAt }) => lastAt ?? 0));
  return { value: rate(now), more: last > 0 ? `the last one ${ago(at - last)}` : 'none so far' };
}

/** @type {Record<string, (sample: any) => Figure>} */
const TILES = {
  'Statements a second': ({ rate: { statements, rows } }) => ({
    value: rate(statements),
    more: `${rate(rows)} rows a second`,
  }),
  'Errors a second': errorsOf,
  'Latency, p99': ({ latencyMs: { p50, p95, p99 } }) => ({
    value: duration(p99),
    more: `p50 ${duration(p50)}, p95 ${duration(p95)}`,
  }),
  'Wait, p99': ({ waitMs: { p99 }, pool: { waiting }, rate: { waits } }) => ({
    value: p99 === null ? 'none' : duration(p99),
    more: `for a connection: ${rate(waits)} a second, ${count(waiting)} now`,
    ...(waiting > 0 ? { level: /** @type {const} */ ('warn') } : {}),
  }),
  Connections: ({ pool: { size, maxSize, inUse } }) => ({
    value: `${inUse} of ${maxSize}`,
    more: `in use; ${size} open`,
    filled: maxSize > 0 ? inUse / maxSize : 0,
  }),
  'In flight': ({ nodes }) => ({
    value: count(nodes.reduce((/** @type {number} */ sum, /** @type {any} */ { inFlight }) => sum + inFlight, 0)),
    more: `statements on ${counted(nodes.length, 'node')}`,
  }),
  'Largest lag': lag,
  'Last failover': failover,
};

/** @param {any} sample */
export function showTiles(sample) {
  const list = byId('tiles');
  for (const [title, figure] of Object.entries(TILES)) {
    let tile = list.querySelector(`[data-title="${title}"]`);
    if (tile === null) {
      const meter = make('span.meter', { 'aria-hidden': 'true', hidden: true }, make('span'));
      tile = make(
        'div.tile',
        { 'data-title': title },
        make('dt', {}, title),
        make('dd', {}, make('span.value'), meter, make('span.more')),
      );
      list.append(tile);
    }
    const { value, more, level, filled } = figure(sample);
    setText(tile.querySelector('.value'), value);
    setText(tile.querySelector('.more'), more);
    setAttribute(tile, 'data-level', level ?? null);
    if (filled === undefined) continue;
    const meter = tile.querySelector('.meter');
    meter.hidden = false;
    meter.firstElementChild.style.inlineSize = `${Math.round(filled * 100)}%`;
  }
}
