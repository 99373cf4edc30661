// One chart: a picture of uPlot, a legend with the values of the moment or under the cursor, and the same as a table.
//
// The picture is a slider for the keyboard and for screen readers: the arrows move the cursor, and each place is read out.

import { chartTable } from './chart-table.mjs';
import { icon, keyed, make, setAttribute, setText } from './dom.mjs';
import { clock, shortClock, trimmed } from './format.mjs';
import { colour, dashOf, lineOf } from './palette.mjs';

/** @typedef {import('./store.mjs').Store} Store */
/** @typedef {import('./store.mjs').Column} Column */
/** @typedef {{ key: string, title: string, index: number, values: Column }} Line `index`: of its colour and its dashes */
/**
 * @typedef {object} View
 * @property {string} id
 * @property {string} title
 * @property {(value: number | null | undefined) => string} format
 * @property {'mean' | 'max'} summary how the table makes one value of many
 * @property {(store: Store) => Line[]} lines
 */
/** @typedef {{ id: string, title: string, empty: string, views: View[] }} Definition */

/** @type {any} */
const uPlot = /** @type {any} */ (globalThis).uPlot;
/** @param {number} width */
const heightOf = (width) => Math.round(Math.min(290, Math.max(200, width * 0.42)));
const AXIS_FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';
/** Seconds between two numbers of the time axis. */
const STEPS = [30, 60, 120, 300];
const KEYS = /** @type {Record<string, number>} */ ({
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -15,
  PageUp: 15,
});

export class Chart {
  #definition;
  #store;
  /** @type {View} */
  #view;
  #plot = /** @type {any} */ (null);
  /** The keys of the lines that the picture was made for. */
  #drawn = '';
  /** Lines that the viewer has switched off, by their keys. @type {Set<string>} */
  #hidden = new Set();
  /** @type {Line[]} */
  #lines = [];
  /** The second that the keyboard has chosen. @type {number | null} */
  #pinned = null;
  #isTable = false;
  #parts;

  /** @param {Definition} definition @param {Store} store */
  constructor(definition, store) {
    this.#definition = definition;
    this.#store = store;
    this.#view = definition.views[0];
    const { id, title, empty, views } = definition;
    const heading = make('h3', { id: `${id}-title` }, title);
    const table = make(
      'button.button.small',
      { type: 'button', 'aria-pressed': 'false', 'aria-label': `${title} as a table` },
      'Table',
    );
    const picture = make('div.picture', {
      role: 'slider',
      tabindex: '0',
      'aria-label': `${title}: time`,
      'aria-orientation': 'horizontal',
    });
    this.#parts = {
      ...{
        table,
        picture,
        time: make('p.chart-time'),
        legend: make('ul.legend'),
        values: make('div.values', { hidden: true }),
      },
      empty: make('p.empty.over', { hidden: true }, icon('wait'), empty),
    };
    const { time, legend, values } = this.#parts;
    const head = make(
      'div.panel-head',
      {},
      heading,
      make('div.panel-tools', {}, views.length > 1 ? this.#chooser(views) : null, table),
    );
    const frame = make('div.frame', {}, picture, this.#parts.empty);
    this.root = make(
      'figure.panel.chart',
      { 'aria-labelledby': `${id}-title` },
      head,
      make('div.legend-row', {}, legend, time),
      frame,
      values,
    );
    table.addEventListener('click', () => this.#toggleTable());
    picture.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this.#onKey(event));
    picture.addEventListener('blur', () => this.#pin(null));
    new ResizeObserver(() => this.#resize()).observe(frame);
  }

  /** @param {View[]} views */
  #chooser(views) {
    const { id, title } = this.#definition;
    const labels = views.map((view, index) => {
      const radio = make('input', { type: 'radio', name: `${id}-view`, value: view.id, checked: index === 0 });
      radio.addEventListener('change', () => {
        this.#view = view;
        this.#hidden.clear();
        this.update();
      });
      return make('label', {}, radio, make('span', {}, view.title));
    });
    return make('fieldset.segments.small', {}, make('legend.unseen', {}, `${title}: what is shown`), ...labels);
  }

  /** Draws what the store has. */
  update() {
    this.#lines = this.#view.lines(this.#store);
    const key = [this.#view.id, ...this.#lines.map((line) => line.key)].join('\n');
    if (key !== this.#drawn || this.#plot === null) this.#create(key);
    const { at, range } = this.#store;
    this.#plot?.setData([at, ...this.#lines.map(({ values }) => values)]);
    const from = at.findIndex((time) => time >= range[0]);
    const isEmpty = from < 0 || this.#lines.every(({ values }) => values.slice(from).every((value) => value === null));
    this.#parts.empty.hidden = !isEmpty || this.#isTable;
    this.#legend();
    if (this.#pinned !== null) this.#moveCursor();
    else this.#describe(at.length - 1);
    if (this.#isTable) chartTable(this.#parts.values, this.#definition.title, this.#lines, this.#view, this.#store);
  }

  /** The colours are others. */
  recolour() {
    this.#plot?.redraw(false);
  }

  /** @param {string} key */
  #create(key) {
    const { picture } = this.#parts;
    const width = picture.clientWidth;
    this.#plot?.destroy();
    this.#plot = null;
    if (width === 0) return;
    this.#drawn = key;
    const axis = {
      font: AXIS_FONT,
      stroke: () => colour('--muted'),
      grid: { stroke: () => colour('--grid'), width: 1 },
      ticks: { show: false },
    };
    const options = {
      width,
      height: heightOf(width),
      padding: [8, 18, 0, 0],
      legend: { show: false },
      select: { show: false },
      cursor: {
        ...{ y: false, sync: { key: 'time' }, drag: { setScale: false, x: false, y: false } },
        points: { size: 7, width: 2, fill: () => colour('--surface') },
      },
      scales: {
        x: { time: true, range: () => this.#store.range },
        y: {
          range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number | null} */ most) => [
            0,
            most ? most * 1.12 : 1,
          ],
        },
      },
      axes: [
        {
          ...{ ...axis, size: 24, gap: 4, space: 64, incrs: STEPS },
          values: (/** @type {any} */ _, /** @type {number[]} */ seconds) =>
            seconds.map((second) => shortClock(second * 1000)),
        },
        {
          ...{ ...axis, size: 62, gap: 6, space: 42 },
          values: (/** @type {any} */ _, /** @type {number[]} */ values) =>
            values.map((value) => trimmed(this.#view.format(value))),
        },
      ],
      series: [
        {},
        ...this.#lines.map(({ key, index }) => ({
          stroke: () => colour(`--line-${lineOf(index)}`),
          ...{
            width: 1.75,
            dash: dashOf(index),
            spanGaps: false,
            points: { show: false },
            show: !this.#hidden.has(key),
          },
        })),
      ],
      hooks: {
        drawClear: [(/** @type {any} */ plot) => this.#drawFailovers(plot)],
        setCursor: [(/** @type {any} */ plot) => this.#showValues(plot.cursor.idx)],
      },
    };
    this.#plot = new uPlot(options, [[], ...this.#lines.map(() => [])], picture);
    this.#plot.root.setAttribute('aria-hidden', 'true');
  }

  /** A band for each failover, from what was noticed to the first write, with a mark on top. @param {any} plot */
  #drawFailovers(plot) {
    const { ctx, bbox } = plot;
    const { sample } = this.#store;
    const [from, to] = this.#store.range;
    const pixel = devicePixelRatio;
    for (const { noticed, found, firstWrite } of sample?.failovers ?? []) {
      const end = (firstWrite ?? found ?? sample.at) / 1000;
      if (end < from || noticed / 1000 > to) continue;
      const place = (/** @type {number} */ second) => plot.valToPos(Math.min(to, Math.max(from, second)), 'x', true);
      const left = place(noticed / 1000);
      const width = Math.max(2 * pixel, place(end) - left);
      ctx.save();
      ctx.fillStyle = colour('--band');
      ctx.fillRect(left, bbox.top, width, bbox.height);
      ctx.fillStyle = colour('--bad');
      const middle = left + width / 2;
      ctx.beginPath();
      ctx.moveTo(middle - 4 * pixel, bbox.top - 6 * pixel);
      ctx.lineTo(middle + 4 * pixel, bbox.top - 6 * pixel);
      ctx.lineTo(middle, bbox.top + pixel);
      ctx.fill();
      ctx.restore();
    }
  }

  #resize() {
    const { clientWidth } = this.#parts.picture;
    if (clientWidth === 0) return;
    if (this.#plot === null) this.update();
    else if (this.#plot.width !== clientWidth)
      this.#plot.setSize({ width: clientWidth, height: heightOf(clientWidth) });
  }

  #legend() {
    keyed(
      this.#parts.legend,
      this.#lines,
      ({ key }) => key,
      ({ key, title, index }) => {
        const button = make('button', { type: 'button', 'aria-pressed': 'true' });
        button.append(
          make('span.line', { 'data-line': lineOf(index), 'aria-hidden': 'true' }),
          make('span.legend-title', {}, title),
          make('span.legend-value'),
        );
        button.addEventListener('click', () => this.#toggleLine(key));
        return make('li', {}, button);
      },
      (item, { key, index }) => {
        setAttribute(item.firstElementChild, 'aria-pressed', String(!this.#hidden.has(key)));
        setAttribute(item.querySelector('.line'), 'data-line', lineOf(index));
      },
    );
    this.#showValues(this.#plot?.cursor.idx ?? null);
  }

  /** @param {number | null | undefined} index under the cursor; none: the last one */
  #showValues(index) {
    const { at } = this.#store;
    const isCursor = typeof index === 'number' && index < at.length;
    setText(this.#parts.time, isCursor ? clock(at[index] * 1000) : '');
    for (const [number, { values }] of this.#lines.entries()) {
      const value = values.at(isCursor ? index : -1);
      setText(this.#parts.legend.children[number]?.querySelector('.legend-value') ?? null, this.#view.format(value));
    }
  }

  /** @param {string} key */
  #toggleLine(key) {
    if (!this.#hidden.delete(key)) this.#hidden.add(key);
    const index = this.#lines.findIndex((line) => line.key === key);
    this.#plot?.setSeries(index + 1, { show: !this.#hidden.has(key) });
    this.#legend();
  }

  #toggleTable() {
    this.#isTable = !this.#isTable;
    const { table, picture, values } = this.#parts;
    table.setAttribute('aria-pressed', String(this.#isTable));
    picture.hidden = this.#isTable;
    values.hidden = !this.#isTable;
    this.update();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { at, range } = this.#store;
    const first = at.findIndex((time) => time >= range[0]);
    const last = at.length - 1;
    if (first < 0) return;
    if (event.key === 'Escape') return this.#pin(null);
    const present =
      this.#pinned === null
        ? last
        : Math.max(
            first,
            at.findIndex((time) => time >= /** @type {number} */ (this.#pinned)),
          );
    const step = KEYS[event.key];
    const next = event.key === 'Home' ? first : event.key === 'End' ? last : step === undefined ? null : present + step;
    if (next === null) return;
    event.preventDefault();
    this.#pin(at[Math.min(last, Math.max(first, next))]);
  }

  /** @param {number | null} second */
  #pin(second) {
    if (second === null && this.#pinned === null) return;
    this.#pinned = second;
    this.#moveCursor();
  }

  #moveCursor() {
    if (this.#plot === null) return;
    const { at, range } = this.#store;
    if (this.#pinned !== null && this.#pinned < range[0]) this.#pinned = range[0];
    const second = this.#pinned;
    const place = second === null ? { left: -10, top: -10 } : { left: this.#plot.valToPos(second, 'x'), top: 10 };
    // The other charts show the same time.
    this.#plot.setCursor(place, true, true);
    this.#describe(second === null ? at.length - 1 : at.findIndex((time) => time >= second), second !== null);
  }

  /** What the slider says: only what the viewer has chosen, so that nothing is read out every second. @param {number} index @param {boolean} [chosen] */
  #describe(index, chosen = false) {
    const { picture } = this.#parts;
    const { at, range } = this.#store;
    if (!chosen && picture.getAttribute('aria-valuetext') === 'latest') return;
    setAttribute(picture, 'aria-valuemin', '0');
    setAttribute(picture, 'aria-valuemax', String(this.#store.minutes * 60));
    setAttribute(picture, 'aria-valuenow', String(Math.max(0, Math.round((at[index] ?? range[1]) - range[0]))));
    const values = this.#lines.map(({ title, values }) => `${title} ${this.#view.format(values[index])}`);
    setAttribute(picture, 'aria-valuetext', chosen ? `${clock(at[index] * 1000)}: ${values.join(', ')}` : 'latest');
  }
}
