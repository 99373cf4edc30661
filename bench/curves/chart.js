'use strict';

// A curve as a picture: a panel for each figure, both axes logarithmic, a line for each client, a ring around each knee.
//
//   node bench/curves/chart.js RESULT.json > picture.svg

const fs = require('node:fs');
const { short } = require('../report.js');
const { CURVES } = require('./kinds');
const { knees, points } = require('./knees.js');

/** @typedef {import('./types').Curve} Curve */
/** @typedef {import('./types').Result} Result */
/** @typedef {import('./knees.js').Point} Point */
/** @typedef {{ low: number, high: number, place: (value: number) => number, ticks: number[] }} Axis */

/** Colours on a light and on a dark page, by the peer; a second line of a client is dashed. @type {Record<string, [string, string]>} */
const COLOURS = {
  hyperion: ['#0969da', '#4493f8'],
  pg: ['#8c959f', '#7d8590'],
  'pg-pipeline': ['#8c959f', '#7d8590'],
  'tokio-postgres': ['#1a7f37', '#3fb950'],
};

const WIDTH = 800;
const LEFT = 58;
const GAP = 72;
const RIGHT = 22;
const TOP = 78;
const HEIGHT = 190;
const LEGEND_LINE = 20;
/** From the bottom of a panel to the top of the next one. */
const BETWEEN = 78;
const PANEL = (WIDTH - LEFT - RIGHT - GAP) / 2;

/** @param {string} text */
const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
/** @param {number} value */
const px = (value) => Number(value.toFixed(1));
const count = new Intl.NumberFormat('en-US', { notation: 'compact' });

const STYLE = [
  'text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }',
  '.title { font-size: 15px; font-weight: 600 } .faint { fill: #59636e; font-size: 11px } .name { font-weight: 600 }',
  '.grid { stroke: #d1d9e0 } .line { fill: none; stroke-width: 2 } .dashed { stroke-dasharray: 5 3 } .knee { fill: none; stroke: #cf222e }',
  ...Object.values(COLOURS).map(([light], index) => `.s${index} { fill: ${light} } .l${index} { stroke: ${light} }`),
  '@media (prefers-color-scheme: dark) {',
  'text { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d } .knee { stroke: #f85149 }',
  ...Object.values(COLOURS).map(([, dark], index) => `.s${index} { fill: ${dark} } .l${index} { stroke: ${dark} }`),
  '}',
].join('\n');

/**
 * Round numbers from the one at or below `low` to the one at or above `high`: 1, 2, 5, 10 within two decades, powers of ten over
 * more. At least one decade, so that noise does not look like a slope.
 * @param {number} low
 * @param {number} high
 */
function ticksOf(low, high) {
  const factors = high / low > 100 ? [1] : [1, 2, 5];
  const [first, last] = [Math.floor(Math.log10(low)) - 2, Math.ceil(Math.log10(high)) + 2];
  const all = [];
  for (let power = first; power <= last; power++) {
    for (const factor of factors) all.push(Number((factor * 10 ** power).toPrecision(1)));
  }
  let begin = all.findLastIndex((tick) => tick <= low);
  let end = all.findIndex((tick) => tick >= high);
  while (all[end] / all[begin] < 10) {
    if (high * all[begin] > low * all[end]) end++;
    else begin--;
  }
  return all.slice(begin, end + 1);
}

/** @param {number[]} values @param {number} from @param {number} to in pixels @returns {Axis} */
function axis(values, from, to) {
  const ticks = ticksOf(Math.min(...values), Math.max(...values));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const scale = (to - from) / Math.log10(high / low);
  return { low, high, ticks, place: (value) => from + Math.log10(value / low) * scale };
}

/** The index of a series' colour, and whether another line of the same client is before it. @param {Curve} curve @param {number} at */
function looks({ series }, at) {
  const { peer } = series[at];
  const isSecond = series.findIndex((each) => each.peer === peer) < at;
  return { colour: Object.keys(COLOURS).indexOf(peer), dashed: isSecond ? ' dashed' : '' };
}

/**
 * @param {Curve} curve
 * @param {Result} result
 * @param {Curve['figures'][number]} figure
 * @param {{ left: number, top: number }} at
 */
function panel(curve, { measured }, { key, label }, { left, top }) {
  const lines = curve.series.map(({ name }) => points(measured, name, key).filter(({ value }) => value > 0));
  const all = lines.flat();
  const steps = Object.keys(measured).map(Number);
  const bottom = top + HEIGHT;
  const right = left + PANEL;
  const across = axis(steps, left, right);
  const up = axis(
    all.map(({ value }) => value),
    bottom,
    top,
  );
  const out = [`<text class="name" x="${left}" y="${top - 10}">${escaped(label)}</text>`];
  for (const tick of up.ticks) {
    const y = px(up.place(tick));
    out.push(`<line class="grid" x1="${left}" y1="${y}" x2="${px(right)}" y2="${y}"/>`);
    out.push(`<text class="faint" x="${left - 7}" y="${px(y + 4)}" text-anchor="end">${tickText(tick)}</text>`);
  }
  for (const step of steps) {
    const x = px(across.place(step));
    out.push(`<line class="grid" x1="${x}" y1="${top}" x2="${x}" y2="${bottom}"/>`);
    out.push(`<text class="faint" x="${x}" y="${bottom + 15}" text-anchor="middle">${count.format(step)}</text>`);
  }
  out.push(
    `<text class="faint" x="${px(left + PANEL / 2)}" y="${bottom + 31}" text-anchor="middle">${escaped(curve.axis)}</text>`,
  );
  const found = knees(curve, measured);
  // The first of the series lies on top.
  for (let index = lines.length - 1; index >= 0; index--) {
    const { colour, dashed } = looks(curve, index);
    const at = lines[index].map(({ step, value }) => ({
      step,
      value,
      x: px(across.place(step)),
      y: px(up.place(value)),
    }));
    const way = at.map(({ x, y }, n) => `${n === 0 ? 'M' : 'L'}${x},${y}`).join('');
    out.push(`<path class="line l${colour}${dashed}" d="${way}"/>`);
    for (const { step, value, x, y } of at) {
      const title = `${curve.series[index].label}: ${short(value)} ${label} at ${count.format(step)}`;
      out.push(`<circle class="s${colour}" cx="${x}" cy="${y}" r="3"><title>${escaped(title)}</title></circle>`);
      const isKnee = found.some(
        (knee) => knee.series === curve.series[index].name && knee.figure === key && knee.to === step,
      );
      if (isKnee) out.push(`<circle class="knee" cx="${x}" cy="${y}" r="6"/>`);
    }
  }
  return out;
}

/** @param {number} tick */
const tickText = (tick) => (tick >= 10_000 ? count.format(tick) : tick.toLocaleString('en-US'));

/** In as many lines as it takes. @param {Curve} curve */
function legend(curve) {
  let [x, y] = [10, 47];
  const place = (/** @type {number} */ width) => {
    if (x + width > WIDTH) [x, y] = [10, y + LEGEND_LINE];
    const at = { x: px(x), y };
    x += width;
    return at;
  };
  const items = curve.series.map(({ label }, index) => {
    const at = place(46 + label.length * 6.3);
    const { colour, dashed } = looks(curve, index);
    return (
      `<line class="line l${colour}${dashed}" x1="${at.x}" y1="${at.y - 4}" x2="${px(at.x + 22)}" y2="${at.y - 4}"/>` +
      `<text x="${px(at.x + 28)}" y="${at.y}">${escaped(label)}</text>`
    );
  });
  const at = place(60);
  const knee = `<circle class="knee" cx="${px(at.x + 6)}" cy="${at.y - 4}" r="6"/><text class="faint" x="${px(at.x + 17)}" y="${at.y}">knee</text>`;
  return { drawn: [...items, knee].join(''), below: y - 47 };
}

/** @param {Curve} curve @param {Result} result @returns {string} SVG */
function chart(curve, result) {
  const isThere = (/** @type {string} */ key) =>
    curve.series.some(({ name }) => points(result.measured, name, key).some(({ value }) => value > 0));
  const shown = curve.figures.filter(({ key, chart: wanted = true }) => wanted && isThere(key));
  const { drawn, below } = legend(curve);
  const panels = shown.flatMap((figure, index) => {
    const left = LEFT + (index % 2) * (PANEL + GAP);
    const top = TOP + below + Math.floor(index / 2) * (HEIGHT + BETWEEN);
    return panel(curve, result, figure, { left, top });
  });
  const end = TOP + below + Math.ceil(shown.length / 2) * (HEIGHT + BETWEEN) - 18;
  const { node, postgresql, cpu, rounds, at } = result;
  const many = rounds === 1 ? 'one round' : `medians of ${rounds} rounds`;
  const foot = `Node.js ${node}, PostgreSQL ${postgresql}, ${cpu}; ${many}, ${at.slice(0, 10)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${end + 10}" width="${WIDTH}" height="${end + 10}" role="img">`,
    `<title>${escaped(curve.title)}</title>`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="10" y="24">${escaped(curve.title)}</text>`,
    drawn,
    ...panels,
    `<text class="faint" x="10" y="${end}">${escaped(foot)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

if (require.main === module) {
  const result = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  const curve = CURVES.find(({ name }) => name === result.curve);
  if (curve === undefined) throw new Error(`no curve '${result.curve}'`);
  process.stdout.write(chart(curve, result));
}

module.exports = { chart, ticksOf };
