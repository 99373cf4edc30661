// A chart as a table: a row for each half minute or minute.

import { make, setText } from './dom.mjs';
import { shortClock } from './format.mjs';

/** @param {number} minutes that are shown */
const stepOf = (minutes) => (minutes > 5 ? 60 : 30);

/** @param {(number | null)[]} values @param {'mean' | 'max'} how */
function one(values, how) {
  const known = /** @type {number[]} */ (values.filter((value) => value !== null));
  if (known.length === 0) return null;
  return how === 'max' ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/**
 * @param {HTMLElement} place
 * @param {string} title
 * @param {import('./chart.mjs').Line[]} lines
 * @param {import('./chart.mjs').View} view
 * @param {import('./store.mjs').Store} store
 */
export function chartTable(place, title, lines, { title: viewTitle, format, summary }, { at, range, minutes }) {
  const step = stepOf(minutes);
  const last = Math.floor(range[1] / step) * step;
  const starts = Array.from({ length: (minutes * 60) / step }, (_, index) => last - index * step);
  const rows = starts
    .map((start) => {
      const from = at.findIndex((time) => time >= start);
      const to = at.findIndex((time) => time >= start + step);
      return { start, from, to: to < 0 ? at.length : to };
    })
    .filter(({ from, to }) => from >= 0 && from < to)
    .map(({ start, from, to }) => [
      shortClock(start * 1000),
      ...lines.map(({ values }) => format(one(values.slice(from, to), summary))),
    ]);
  const heads = [`From`, ...lines.map((line) => line.title)];
  const known = place.querySelector('table');
  const shape = `${viewTitle} ${heads.join()} ${rows.length}`;
  if (known === null || known.dataset.shape !== shape) {
    const what = `${title}, ${viewTitle.toLowerCase()}: the ${summary === 'max' ? 'highest value' : 'mean'} of ${step === 60 ? 'each minute' : 'each half minute'}`;
    const head = make(
      'tr',
      {},
      ...heads.map((text, index) => make('th', { scope: 'col', class: index === 0 ? null : 'number' }, text)),
    );
    const body = rows.map((cells) =>
      make(
        'tr',
        {},
        ...cells.map((text, index) => (index === 0 ? make('th', { scope: 'row' }, text) : make('td.number', {}, text))),
      ),
    );
    const scroll = make('div.scroll', { tabindex: '0', role: 'region', 'aria-label': what });
    scroll.append(
      make(
        'table.plain',
        { 'data-shape': shape },
        make('caption', {}, what),
        make('thead', {}, head),
        make('tbody', {}, ...body),
      ),
    );
    place.replaceChildren(scroll);
    return;
  }
  for (const [index, row] of [...(known.tBodies[0]?.rows ?? [])].entries()) {
    for (const [column, cell] of [...row.cells].entries()) setText(cell, rows[index][column]);
  }
}
