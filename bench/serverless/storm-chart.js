'use strict';

// A run of storm.js as a picture: the sessions on the server over time for each way, and which processes of which wave were served.
//
//   node bench/serverless/storm-chart.js RESULT.json > docs/serverless-storm.svg

const fs = require('node:fs');

/** @typedef {import('../../test/serverless/storm.js').Sample} Sample */
/** @typedef {{ samples: Sample[], waves: { served: number, refused: number, endings: object[] }[] }} Measured */
/**
 * @typedef {object} Result
 * @property {string} at
 * @property {string} node
 * @property {number} postgresql
 * @property {string} cpu
 * @property {number} slots
 * @property {{ waves: number, processes: number, everyMs: number }} storm
 * @property {Record<string, Measured>} measured
 */

/** The ways, with their colours on a light and on a dark page. */
const SERIES = [
  { way: 'always', label: 'leases, a pass each', light: '#1a7f37', dark: '#3fb950' },
  { way: 'default', label: 'leases, defaults', light: '#0969da', dark: '#4493f8' },
  { way: 'without', label: 'without leases', light: '#9a6700', dark: '#d29922' },
  { way: 'pg', label: 'pg', light: '#8c959f', dark: '#7d8590' },
  { way: 'server', label: 'pg, idle_session_timeout', light: '#8250df', dark: '#ab7df8' },
];

const WIDTH = 800;
const LEFT = 170;
const RIGHT = 24;
const TOP = 74;
const HEIGHT = 210;
/** With more waves a cell has room for one number. */
const WIDE = 12;
const STRIP = 18;
const STRIP_GAP = 6;

/** @param {string} text */
const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
/** @param {number} value */
const px = (value) => Number(value.toFixed(1));

const STYLE = [
  'text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }',
  '.title { font-size: 15px; font-weight: 600 } .faint { fill: #59636e; font-size: 11px } .name { font-weight: 600 }',
  '.grid { stroke: #d1d9e0 } .limit { stroke: #cf222e; stroke-dasharray: 5 3 } .refused { fill: #cf222e } .line { fill: none; stroke-width: 2 }',
  '.cell { fill: #ffffff; font-size: 11px } .few { fill: #d1d9e0 }',
  ...SERIES.map(({ light }, index) => `.s${index} { fill: ${light} } .l${index} { stroke: ${light} }`),
  '@media (prefers-color-scheme: dark) {',
  'text { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d } .limit { stroke: #f85149 } .refused { fill: #f85149 }',
  '.cell { fill: #0d1117 } .few { fill: #3d444d }',
  ...SERIES.map(({ dark }, index) => `.s${index} { fill: ${dark} } .l${index} { stroke: ${dark} }`),
  '}',
].join('\n');

/** A step for the grid, so that there are at most `most` lines. @param {number} greatest @param {number} most */
const stepOf = (greatest, most) => [1, 2, 5, 10, 20, 50, 100].find((step) => greatest / step <= most) ?? 200;

/** @param {number} greatest @param {number} step */
const ticks = (greatest, step) => Array.from({ length: Math.floor(greatest / step) + 1 }, (_, index) => index * step);

/**
 * @param {Sample[]} samples
 * @param {(at: number) => number} x
 * @param {(sessions: number) => number} y
 */
function path(samples, x, y) {
  // A count stays until it is taken again.
  return samples
    .map(({ at, sessions }, index) =>
      index === 0 ? `M${px(x(at))},${px(y(sessions))}` : `H${px(x(at))}V${px(y(sessions))}`,
    )
    .join('');
}

/** A row of cells, one for each wave. @param {Measured} measured @param {number} index of the series @param {number} top */
function strip({ waves }, index, top) {
  const width = (WIDTH - LEFT - RIGHT) / waves.length;
  const name = `<text class="faint" x="${LEFT - 10}" y="${top + 13}" text-anchor="end">${escaped(SERIES[index].label)}</text>`;
  const cells = waves.map(({ served, refused, endings }, wave) => {
    const x = LEFT + wave * width;
    const share = served / Math.max(1, endings.length);
    const filled = px((width - 2) * share);
    const label = waves.length > WIDE ? served : `${served}/${endings.length}`;
    const title = `wave ${wave + 1}: ${served} of ${endings.length} served, ${refused} got 53300`;
    return (
      `<g><title>${title}</title>` +
      `<rect class="refused" x="${px(x)}" y="${top}" width="${px(width - 2)}" height="${STRIP}" rx="2"/>` +
      `<rect class="s${index}" x="${px(x)}" y="${top}" width="${filled}" height="${STRIP}" rx="2"/>` +
      `<text class="cell" x="${px(x + width / 2 - 1)}" y="${top + 13}" text-anchor="middle">${label}</text></g>`
    );
  });
  return [name, ...cells];
}

/** @param {Result} result @returns {string} SVG */
function chart({ node, postgresql, cpu, at, slots, storm, measured }) {
  const shown = SERIES.flatMap(({ way, label }, index) =>
    way in measured ? [{ label, index, one: measured[way] }] : [],
  );
  const lastMs = Math.max(...shown.flatMap(({ one }) => one.samples.map((sample) => sample.at)));
  const most = slots + 8;
  const x = (/** @type {number} */ ms) => LEFT + ((WIDTH - LEFT - RIGHT) * ms) / lastMs;
  const y = (/** @type {number} */ sessions) => TOP + HEIGHT - (HEIGHT * sessions) / most;
  const bottom = TOP + HEIGHT;
  const rows = ticks(slots, 20).map(
    (count) =>
      `<line class="grid" x1="${LEFT}" y1="${px(y(count))}" x2="${WIDTH - RIGHT}" y2="${px(y(count))}"/>` +
      `<text class="faint" x="${LEFT - 8}" y="${px(y(count) + 4)}" text-anchor="end">${count}</text>`,
  );
  const columns = ticks(lastMs / 1000, stepOf(lastMs / 1000, 12)).map(
    (second) =>
      `<text class="faint" x="${px(x(second * 1000))}" y="${bottom + 15}" text-anchor="middle">${second} s</text>`,
  );
  const limit =
    `<line class="limit" x1="${LEFT}" y1="${px(y(slots))}" x2="${WIDTH - RIGHT}" y2="${px(y(slots))}"/>` +
    `<text class="faint" x="${WIDTH - RIGHT}" y="${px(y(slots) - 5)}" text-anchor="end">${slots} slots: who needs another one gets 53300</text>`;
  const lines = shown.map(
    ({ index, label, one }) =>
      `<path class="line l${index}" d="${path(one.samples, x, y)}"><title>${escaped(label)}</title></path>`,
  );
  const stripTop = bottom + 52;
  const strips = shown.flatMap(({ index, one }, row) => strip(one, index, stripTop + row * (STRIP + STRIP_GAP)));
  const end = stripTop + shown.length * (STRIP + STRIP_GAP);
  const { waves, processes, everyMs } = storm;
  const foot = `Node.js ${node}, PostgreSQL ${postgresql}, ${cpu}; ${at.slice(0, 10)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${end + 30}" width="${WIDTH}" height="${end + 30}" role="img">`,
    '<title>Sessions on the server while waves of processes freeze with their sessions open</title>',
    `<style>${STYLE}</style>`,
    `<text class="title" x="10" y="24">Sessions on the server: ${waves} waves of ${processes} processes that freeze, one each ${everyMs / 1000} s</text>`,
    legend(shown),
    ...rows,
    ...columns,
    // The first of the series lies on top.
    ...lines.reverse(),
    limit,
    `<text class="name" x="10" y="${stripTop - 10}">Processes served, wave by wave (red: 53300)</text>`,
    ...strips,
    `<text class="faint" x="10" y="${end + 20}">${escaped(foot)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

/** @param {{ label: string, index: number }[]} shown */
function legend(shown) {
  let x = 10;
  return shown
    .map(({ label, index }) => {
      const at = x;
      x += 34 + label.length * 6.4;
      return `<rect class="s${index}" x="${px(at)}" y="40" width="10" height="10" rx="1"/><text x="${px(at + 15)}" y="49">${escaped(label)}</text>`;
    })
    .join('');
}

if (require.main === module) process.stdout.write(chart(JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))));

module.exports = { chart };
