'use strict';

// The texts of a run: the live picture, the plain line, the page at the end.

const { chart, count, counted, ms, seconds } = require('../demo/format.js');
const { CUSTOMERS, VISITORS } = require('./load.js');
const { INDECISION_MS } = require('./scenario.js');

/** @typedef {{ atMs: number, text: string }} Happening */
/** @typedef {import('../demo/screen.js').Paint} Paint */
/**
 * All that a picture shows.
 * @typedef {object} Scene
 * @property {Record<string, import('../../test/support/cluster').Cluster>} clusters by the names that are shown
 * @property {import('../../exports/clusters/index.d.ts').HealthReport | null} health
 * @property {number} inDoubt
 * @property {import('./load.js').Load} load
 * @property {number} elapsedMs
 * @property {number} seconds how long the load is to last
 * @property {string} now
 * @property {Happening[]} happenings
 */

/** A time without orders is shown from this length on. */
const PAUSE_MS = 150;

/** @param {number} part @param {number} whole */
const percent = (part, whole) => (whole === 0 ? '-' : `${((100 * part) / whole).toFixed(0)} %`);

/** @param {bigint} cents */
const euros = (cents) => `${count(Number(cents / 100n))}.${String(cents % 100n).padStart(2, '0')}`;

/** What multi.healthCheck() has said of each server, in the order of the clusters. @param {Scene} scene */
function nodesOf({ clusters, health }) {
  const seen = new Map(
    Object.values(health?.clusters ?? {}).flatMap(({ nodes }) => nodes.map((node) => [node.node, node])),
  );
  return Object.entries(clusters).flatMap(([cluster, { nodes }]) =>
    nodes.map(({ name, address }) => ({ cluster, name, address, seen: seen.get(address) })),
  );
}

/**
 * @param {Scene} scene
 * @param {{ columns: number, rows: number, paint: Paint }} room
 * @returns {string[]}
 */
function picture(scene, { columns, rows, paint }) {
  const { load, elapsedMs, now, happenings, inDoubt } = scene;
  const title = 'a shop on three clusters';
  const clock = `${seconds(elapsedMs)} of ${scene.seconds} s`;
  const lines = [
    ` ${paint.bold(title)}${clock.padStart(columns - title.length - 2)}`,
    '',
    paint.dim(nodeLine('cluster', 'node', '', 'role', 'health')),
    ...nodesOf(scene).map(({ cluster, name, address, seen }) => {
      const { role = 'unknown', healthy = false, error = null } = seen ?? {};
      const state = seen === undefined ? '' : healthy ? 'healthy' : 'down';
      const line = nodeLine(cluster, name, address, role, state);
      return `${paint.forState(state, role)(line)}  ${paint.dim(error ?? '')}`;
    }),
    '',
    meterLine(`orders (${CUSTOMERS} customers)`, load.orderMeter, columns),
    meterLine(`pages (${VISITORS} visitors)`, load.pageMeter, columns),
    '',
    ` made ${count(load.made)}   refused ${count(load.refused)}   asked again ${count(load.again)}   in doubt ${inDoubt}`,
    ` pages ${pagesLine(load)}`,
    '',
    ` ${paint.bold('now')}  ${now}${silence(load, paint)}`,
    '',
  ];
  const left = Math.max(1, rows - lines.length - 1);
  for (const { atMs, text } of happenings.slice(-left)) lines.push(` ${paint.dim(seconds(atMs))}  ${text}`);
  return lines;
}

/** @param {string[]} cells */
const nodeLine = (...[cluster, name, address, role, state]) =>
  ` ${cluster.padEnd(10)} ${name.padEnd(4)} ${address.padEnd(16)} ${role.padEnd(8)} ${state.padEnd(7)}`;

/** @param {string} title @param {import('../demo/figures.js').Meter} meter @param {number} columns */
function meterLine(title, meter, columns) {
  const { perSecond, p50, p99 } = meter.recent();
  const start = ` ${title.padEnd(20)} ${`${count(perSecond)}/s`.padStart(7)}  p50 ${ms(p50).padStart(7)}  p99 ${ms(p99).padStart(8)}  `;
  return start + chart(meter.history, Math.min(columns - start.length - 1, 60));
}

/** @param {import('./load.js').Load} load */
const pagesLine = ({ pages: { answered, cached, stale, failed } }) =>
  `${count(answered)}: from the cache ${percent(cached, answered)}   stale ${stale}   failed ${failed}`;

/** @param {import('./load.js').Load} load @param {Paint} paint */
const silence = ({ episodes: { pauseMs } }, paint) =>
  pauseMs < PAUSE_MS ? '' : paint.warn(`  (no order for ${count(pauseMs)} ms)`);

/** @param {Scene} scene */
function plainLine(scene) {
  const { load, elapsedMs, inDoubt } = scene;
  const { perSecond, p50 } = load.orderMeter.recent();
  const down = nodesOf(scene).filter(({ seen }) => seen !== undefined && !seen.healthy);
  const health =
    down.length === 0 ? 'healthy' : `down: ${down.map(({ cluster, name }) => `${cluster} ${name}`).join(', ')}`;
  return (
    `${seconds(elapsedMs)} s  orders ${count(perSecond)}/s p50 ${ms(p50)}, made ${count(load.made)}, ` +
    `in doubt ${inDoubt}; ${health}`
  );
}

/** @param {Happening} happening */
const plainEvent = ({ atMs, text }) => `${seconds(atMs)} s  * ${text}`;

/**
 * The page at the end.
 * @param {object} result
 * @param {import('./audit.js').Verdict} result.verdict
 * @param {import('./audit.js').Start} result.start
 * @param {import('./load.js').Load} result.load
 * @param {import('./scenario.js').Kill} result.kill
 * @param {boolean} result.ok
 * @param {Paint} paint
 */
function page({ verdict, start, load, kill, ok }, paint) {
  const { made, refused, open, lost, denied, strangers, money, stock, inDoubt } = verdict;
  const { pages, lookups, episodes, again, reasons } = load;
  const line = (/** @type {string} */ name, /** @type {unknown} */ value, note = '') =>
    `   ${name.padEnd(14)} ${String(value).padStart(9)}   ${note}`.trimEnd();
  /** What must be nothing. @type {typeof line} */
  const none = (name, value, note) => {
    const text = line(name, value, note);
    return Number(value) === 0 ? text : paint.forState('down', '')(text);
  };
  const allMoney = [...start.balances.values()].reduce((sum, balance) => sum + balance, 0n);
  const allStock = [...start.stocks.values()].reduce((sum, pieces) => sum + pieces, 0);
  const [{ longestPauseMs }] = episodes.list;
  const lines = [
    paint.bold(' Counted in the databases, row by row:'),
    none('money', euros(money), `created or destroyed, of ${euros(allMoney)}`),
    none('stock', stock, `created or destroyed, of ${counted(allStock, 'piece')}`),
    none('in doubt', inDoubt, 'prepared transactions and open decisions'),
    line('orders', count(made), 'acknowledged: taken, paid and noted'),
    none('lost', lost, 'acknowledged orders that are not there'),
    none('denied', denied, 'refused orders that are there'),
    none('strangers', strangers, 'orders that nobody has made'),
    line('refused', count(refused), 'not enough money: nothing of them is there'),
  ];
  if (open > 0) lines.push(line('open', count(open), 'orders that were not answered before the end'));
  lines.push(
    '',
    paint.bold(' Seen by the shop:'),
    line('pages', count(pages.answered), `from the cache ${percent(pages.cached, pages.answered)}`),
    none('stale', pages.stale, 'pages with a price that had been changed before'),
    line('own orders', count(lookups.answered), `looked up at once; ${count(lookups.byStandby)} by a standby`),
    none('missing', lookups.missing, 'of them were not seen'),
    none('failed', pages.failed + lookups.failed, 'reads'),
    '',
    paint.bold(' What happened:'),
    line('failover', ms(longestPauseMs), 'without an order, as the primary had crashed'),
    line('', '', `(${INDECISION_MS} ms of it: nobody has promoted yet)`),
    line('asked again', count(again), 'calls that failed, repeated with the same orderId'),
    line(kill.signal ?? 'no signal', '1 of 3', `had committed when it came; ${counted(kill.left, 'part')} left`),
    line('recovery', ms(kill.recoveryMs), 'by another process, from the decision on disk'),
  );
  if (reasons.size > 0) lines.push('', paint.dim(' Failures as the shop saw them:'));
  for (const [reason, times] of reasons) lines.push(paint.dim(`   ${String(times).padStart(4)} x ${reason}`));
  lines.push(
    '',
    ok
      ? paint.bold(paint.forState('', 'primary')(' Nothing created, nothing destroyed, nothing in doubt.'))
      : paint.bold(paint.forState('down', '')(' FAILED: one of the counts is not what it must be.')),
  );
  return lines;
}

module.exports = { page, picture, plainEvent, plainLine };
