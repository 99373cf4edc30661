'use strict';

// From the figures of all rounds to tables: for the terminal, and as Markdown for docs/failover.md.

const { aligned, spread } = require('../report.js');
const { PARTICIPANTS } = require('./clients');
const { SCENARIOS } = require('./scenarios.js');

/** @typedef {import('./types').Figures} Figures */
/** @typedef {import('./types').Measured} Measured */
/** @typedef {import('./types').Result} Result */

/** @param {number[]} values @param {(value: number) => string} write */
function medianOf(values, write) {
  const { median, min, max } = spread(values);
  const [middle, least, most] = [median, min, max].map(write);
  return least === most ? middle : `${middle} (${least}-${most})`;
}

const whole = (/** @type {number} */ value) => String(Math.round(value));
const seconds = (/** @type {number} */ ms) => (ms / 1000).toFixed(1);
const total = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0);

/** @param {Figures[]} rounds */
function recovered(rounds) {
  const times = (/** @type {Figures['recovered']} */ how) => rounds.filter((each) => each.recovered === how).length;
  if (times('yes') === rounds.length) return 'yes';
  return ['yes', 'partly', 'no']
    .map((how) => [how, times(/** @type {Figures['recovered']} */ (how))])
    .filter(([, count]) => count !== 0)
    .map(([how, count]) => (count === rounds.length ? how : `${how} ${count}`))
    .join(', ');
}

/** Title and cell of each column. @type {[string, (rounds: Figures[]) => string][]} */
const COLUMNS = [
  [
    'failed writes',
    (rounds) =>
      medianOf(
        rounds.map((each) => each.failedWrites),
        whole,
      ),
  ],
  [
    'failed reads',
    (rounds) =>
      medianOf(
        rounds.map((each) => each.failedReads),
        whole,
      ),
  ],
  [
    'hung',
    (rounds) =>
      medianOf(
        rounds.map((each) => each.hung),
        whole,
      ),
  ],
  ['lost', (rounds) => whole(total(rounds.map((each) => each.lost)))],
  ['doubled', (rounds) => whole(total(rounds.map((each) => each.doubled)))],
  ['by the old primary', (rounds) => whole(total(rounds.map((each) => each.deposed)))],
  [
    'pause, s',
    (rounds) =>
      medianOf(
        rounds.map((each) => each.pauseMs),
        seconds,
      ),
  ],
  ['recovered', recovered],
];

/** What the columns mean. */
const LEGEND = [
  'failed: an error was told; hung: not settled 15 s after the fault was over; lost: acknowledged and',
  'not there in the end; doubled: there twice; by the old primary: those lost ones that it acknowledged',
  'when there was a new one; pause: the longest time without an acknowledged write that is there in the',
  'end; recovered: within 30 s, without a restart ("partly": writes succeed, and others fail or hang).',
  'Medians (least-most) of the rounds; lost, doubled and by the old primary: of all rounds together.',
];

/** @param {string} key `name` or `name: variant` */
function labelOf(key) {
  const [name, variant] = key.split(': ');
  const label = PARTICIPANTS.find((each) => each.name === name)?.label ?? name;
  return variant === undefined ? label : `${label}: ${variant}`;
}

/** @param {Measured[string]} measured */
function cells(measured) {
  const clients = Object.entries(measured).filter(([, rounds]) => rounds.length > 0);
  return [
    ['', ...COLUMNS.map(([title]) => title)],
    ...clients.map(([key, rounds]) => [labelOf(key), ...COLUMNS.map(([, cell]) => cell(rounds))]),
  ];
}

/** How long the cluster itself had no primary: the pause of no client can be shorter. @param {Measured[string]} measured */
function clusterPause(measured) {
  const all = Object.values(measured).flatMap((rounds) => rounds.map((each) => each.clusterPauseMs));
  return medianOf(all, seconds);
}

/** More figures of a scenario. @param {Measured[string]} measured */
function notes(measured) {
  const found = [];
  for (const [key, rounds] of Object.entries(measured)) {
    const sum = (/** @type {(each: Figures) => number} */ figure) => total(rounds.map(figure));
    const died = rounds.flatMap((each) => each.died ?? []);
    if (died.length > 0) found.push(`${labelOf(key)}: the process ended ${died.length} times: ${died[0]}`);
    if (sum((each) => each.staleReads) > 0)
      found.push(`${labelOf(key)}: ${sum((each) => each.staleReads)} reads did not find what their caller had written`);
    if (sum((each) => each.denied) > 0)
      found.push(`${labelOf(key)}: ${sum((each) => each.denied)} writes were called not applied, and are there`);
    /** @type {Record<string, number>} */
    const errors = {};
    for (const each of rounds)
      for (const [error, count] of Object.entries(each.errors)) errors[error] = (errors[error] ?? 0) + count;
    const list = Object.entries(errors).sort(([, a], [, b]) => b - a);
    if (list.length > 0)
      found.push(`${labelOf(key)}: ${list.map(([error, count]) => `${count} x ${error}`).join(', ')}`);
  }
  return found;
}

/** @param {Result} result */
function terminal({ measured }) {
  const lines = [...LEGEND];
  for (const { id, title } of SCENARIOS.filter(({ id }) => id in measured)) {
    lines.push('', title, `The cluster had no primary for ${clusterPause(measured[id])} s.`, '');
    lines.push(...aligned(cells(measured[id])).map((line) => `  ${line}`));
    lines.push(...notes(measured[id]).map((line) => `  ${line}`));
  }
  return lines.join('\n');
}

/** @param {Result} result */
function markdown({ measured, versions, rounds, node, postgresql, cpu, at }) {
  const lines = [];
  for (const { id, title } of SCENARIOS.filter(({ id }) => id in measured)) {
    const [titles, ...rows] = cells(measured[id]);
    const [name, what] = title.split(/: (.*)/s);
    lines.push(`**${name}**: ${what}. The cluster had no primary for ${clusterPause(measured[id])} s.`, '');
    lines.push(`| ${titles.join(' | ')} |`, `|${titles.map(() => ' --- |').join('')}`);
    lines.push(...rows.map((row) => `| ${row.join(' | ')} |`), '');
  }
  const named = Object.entries(versions).map(([client, version]) => `${client} ${version}`);
  lines.push(
    `${rounds} round${rounds === 1 ? '' : 's'} each, ${at.slice(0, 10)}; ${named.join(', ')}; Node.js ${node}, PostgreSQL ${postgresql}, ${cpu}.`,
  );
  return lines.join('\n');
}

module.exports = { terminal, markdown, recovered, medianOf };
