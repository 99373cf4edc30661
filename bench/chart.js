'use strict';

// A run as a picture for the README: for each load, how many times better than `pg` every client is.
//
//   node bench/chart.js [--readme] [results.json]     the newest result by default; --readme: to docs/benchmark.svg

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { LOADS } = require('./loads.js');
const { OURS, higherIsBetter, spread, times } = require('./report.js');

/** @typedef {import('./types').Load} Load */
/** @typedef {import('./report.js').Rounds} Rounds */
/** @typedef {{ peer: string, value: number }} Bar */

const BASE = 'pg';
const RESULTS = path.join(__dirname, 'results');
const README_CHART = path.join(__dirname, '../docs/benchmark.svg');

/** The clients in the chart, with their colours on a light and on a dark page. */
const SERIES = [
  { peer: OURS, label: 'hyperiondb-client', light: '#0969da', dark: '#4493f8' },
  { peer: 'pg', label: 'pg', light: '#8c959f', dark: '#7d8590' },
  { peer: 'pg-pipeline', label: 'pg, pipeline: true', light: '#1a7f37', dark: '#3fb950' },
  { peer: 'pg-native', label: 'pg-native', light: '#9a6700', dark: '#d29922' },
  { peer: 'postgres', label: 'postgres', light: '#8250df', dark: '#ab7df8' },
];

const WIDTH = 800;
const LEFT = 236;
const RIGHT = 56;
const TOP = 74;
const OURS_HEIGHT = 11;
const PEER_HEIGHT = 5;
const GAP = 2;
const GROUP_GAP = 14;

/** Times as good as `pg`, round by round. @param {Load} load @param {Rounds} rounds @returns {Bar[]} */
function bars({ headline }, rounds) {
  return SERIES.flatMap(({ peer }) => {
    const ratios = rounds.flatMap(({ [peer]: measured, [BASE]: base }) => {
      const [a, b] = [measured?.[headline], base?.[headline]];
      if (a === undefined || b === undefined) return [];
      return [higherIsBetter(headline) ? a / b : b / a];
    });
    return ratios.length > 0 ? [{ peer, value: spread(ratios).median }] : [];
  });
}

/** @param {string} text */
const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

/** @param {number} value */
const px = (value) => Number(value.toFixed(1));

const STYLE = [
  'text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }',
  '.title { font-size: 15px; font-weight: 600 } .faint { fill: #59636e; font-size: 11px } .ours { font-weight: 600 }',
  '.grid { stroke: #d1d9e0 } .one { stroke: #59636e }',
  ...SERIES.map(({ light }, index) => `.s${index} { fill: ${light} }`),
  '@media (prefers-color-scheme: dark) {',
  'text { fill: #f0f6fc } .faint { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }',
  ...SERIES.map(({ dark }, index) => `.s${index} { fill: ${dark} }`),
  '}',
].join('\n');

/**
 * @param {{ node: string, postgresql: number, cpu: string, rounds: number, at: string, versions: Record<string, string>,
 *   measured: import('./types').Measured }} result
 * @returns {string} SVG
 */
function chart({ node, postgresql, cpu, rounds, at, versions, measured }) {
  const groups = LOADS.filter(({ id }) => id in measured).flatMap((load) => {
    const found = bars(load, measured[load.id]);
    return found.length > 0 ? [{ load, found }] : [];
  });
  const longest = Math.max(1, ...groups.flatMap(({ found }) => found.map(({ value }) => value)));
  const scale = (WIDTH - LEFT - RIGHT) / longest;
  const body = [];
  let y = TOP;
  for (const { load, found } of groups) {
    const height = found.reduce((sum, { peer }) => sum + (peer === OURS ? OURS_HEIGHT : PEER_HEIGHT) + GAP, -GAP);
    body.push(
      `<text x="${LEFT - 10}" y="${px(y + Math.min(height / 2, 16) + 4)}" text-anchor="end">${escaped(load.short)}</text>`,
    );
    for (const { peer, value } of found) {
      const thick = peer === OURS ? OURS_HEIGHT : PEER_HEIGHT;
      const series = SERIES.findIndex((each) => each.peer === peer);
      const length = px(value * scale);
      const title = `${SERIES[series].label}: ${times(value)}x`;
      body.push(
        `<rect class="s${series}" x="${LEFT}" y="${y}" width="${length}" height="${thick}" rx="1"><title>${title}</title></rect>`,
      );
      if (peer === OURS) {
        body.push(
          `<text class="ours" x="${px(LEFT + Math.max(length, scale) + 5)}" y="${y + thick - 1}">${times(value)}x</text>`,
        );
      }
      y += thick + GAP;
    }
    y += GROUP_GAP - GAP;
  }
  const bottom = y - GROUP_GAP + 8;
  const step = longest > 12 ? 4 : longest > 6 ? 2 : 1;
  const grid = [];
  for (let value = step === 1 ? 1 : 0; value <= longest; value += step) grid.push(value);
  const lines = [...new Set([1, ...grid])].map((value) => {
    const x = px(LEFT + value * scale);
    return (
      `<line class="${value === 1 ? 'one' : 'grid'}" x1="${x}" y1="${TOP - 8}" x2="${x}" y2="${bottom}"/>` +
      `<text class="faint" x="${x}" y="${bottom + 14}" text-anchor="middle">${value}x</text>`
    );
  });
  const foot =
    `Node.js ${node}, PostgreSQL ${postgresql}, ${cpu}; pg ${versions.pg ?? '-'}, postgres ${versions.postgres ?? '-'}; ` +
    `medians of ${rounds} round${rounds === 1 ? '' : 's'}, ${at.slice(0, 10)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + 44}" width="${WIDTH}" height="${bottom + 44}" role="img">`,
    `<title>How many times better than pg each client is</title>`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="10" y="24">Times as good as pg (longer is better)</text>`,
    legend(),
    ...lines,
    ...body,
    `<text class="faint" x="10" y="${bottom + 36}">${escaped(foot)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function legend() {
  let x = 10;
  return SERIES.map(({ label }, index) => {
    const at = x;
    x += 30 + label.length * 6.6;
    return `<rect class="s${index}" x="${px(at)}" y="40" width="10" height="10" rx="1"/><text x="${px(at + 15)}" y="49">${escaped(label)}</text>`;
  }).join('');
}

function newest() {
  const files = fs.existsSync(RESULTS) ? fs.readdirSync(RESULTS).filter((name) => name.endsWith('.json')) : [];
  const last = files.sort().pop();
  if (last === undefined) throw new Error('there is no result yet: npm run bench');
  return path.join(RESULTS, last);
}

if (require.main === module) {
  const { values, positionals } = parseArgs({
    options: { readme: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const file = values.readme ? README_CHART : path.join(RESULTS, 'chart.svg');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, chart(JSON.parse(fs.readFileSync(positionals[0] ?? newest(), 'utf8'))));
  console.log(path.relative(process.cwd(), file));
}

module.exports = { chart };
