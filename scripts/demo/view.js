'use strict';

// The texts of a run: the live table, the plain line, the summary. screen.js writes them to the terminal.

const { bytes } = require('../../lib/cli/format.js');
const { chart, count, counted, ms, seconds } = require('./format.js');
const { PARTS, READERS, SESSIONS, WRITERS } = require('./load.js');
const { KINDS } = require('./reads.js');
const { INDECISION_MS, TOTAL_MS } = require('./scenario.js');

/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {{ atMs: number, text: string }} Happening */

/**
 * All that a picture shows.
 * @typedef {object} Scene
 * @property {import('../../test/support/cluster').Cluster} cluster
 * @property {Pool} pool
 * @property {import('./load.js').Load} load
 * @property {number} elapsedMs
 * @property {string} now
 * @property {Happening[]} happenings
 */

/** A time without acknowledged writes is shown from this length on. */
const PAUSE_MS = 150;

/** @param {import('../../test/support/cluster').Cluster} cluster */
function nodeNames({ nodes }) {
  return new Map(nodes.map(({ address, name }) => [address, name]));
}

/** The nodes as the pool sees them, in the harness's order. @param {Scene} scene */
function nodesOf({ cluster, pool }) {
  const names = nodeNames(cluster);
  return pool.nodes().map((node) => {
    const address = `${node.host}:${node.port}`;
    return { ...node, address, name: names.get(address) ?? '?' };
  });
}

/** @param {import('./load.js').Load} load */
const failuresOf = ({ ledger: { failed }, lookups }) => failed.notApplied + failed.unknown + lookups.failed;

/**
 * The live table.
 * @param {Scene} scene
 * @param {{ columns: number, rows: number, paint: import('./screen.js').Paint }} room
 * @returns {string[]}
 */
function picture(scene, { columns, rows, paint }) {
  const { cluster, pool, load, elapsedMs, now, happenings } = scene;
  const { ledger, lookups, episodes } = load;
  const kind = cluster.synchronous ? 'synchronous' : 'asynchronous';
  const title = `hyperiondb-client · ${counted(cluster.nodes.length, 'node')}, PostgreSQL ${cluster.version}, ${kind}`;
  const clock = `${seconds(elapsedMs)} of about ${Math.round(TOTAL_MS / 1000)} s`;
  const lines = [
    paint.bold(title) + clock.padStart(columns - title.length - 1),
    '',
    paint.dim(nodeLine('node', '', 'role', 'state', 'reads', 'lag', 'latency')),
    ...nodesOf(scene).map(({ name, address, role, state, lagBytes, latencyMs, ...node }) => {
      const down = state === 'down';
      const lag = role === 'standby' ? bytes(lagBytes) : '-';
      const line = nodeLine(
        ...[name, address, down ? `(${role})` : role, state, count(lookups.byNode.get(address) ?? 0)],
        ...(down ? [] : [lag, ms(latencyMs)]),
      );
      return `${paint.forState(state, role)(line)}  ${down ? paint.dim(node.lastError ?? '') : ''}`;
    }),
    '',
    meterLine(`writes (${WRITERS} writers)`, load.writes, columns),
    meterLine(`reads (${READERS + SESSIONS} readers)`, load.reads, columns),
    '',
    ` reads ${readsLine(lookups)}`,
    ` acknowledged ${count(ledger.acknowledged)} rows   errors ${count(failuresOf(load))}` +
      ` (${ledger.failed.notApplied} not applied, ${ledger.failed.unknown} unknown, ${lookups.failed} reads)`,
    ` connections ${poolLine(pool)}`,
    '',
    ` ${paint.bold('now')}  ${now}${silence(episodes, paint)}`,
    '',
  ];
  const left = Math.max(1, rows - lines.length - 1);
  for (const { atMs, text } of happenings.slice(-left)) lines.push(` ${paint.dim(seconds(atMs))}  ${text}`);
  return lines;
}

/** @param {string[]} cells without lag and latency for a node that is down */
function nodeLine(...[name, address, role, state, reads, ...measured]) {
  const known = ` ${name.padEnd(4)} ${address.padEnd(18)} ${role.padEnd(9)} ${state.padEnd(6)} ${reads.padStart(8)}`;
  return known + measured.map((cell) => cell.padStart(10)).join('');
}

/** Who has answered the reads, and how well. @param {import('./reads.js').ReadLedger} lookups */
function readsLine({ answered, byStandbys, byPrimary, stale, failed }) {
  const by = `${count(byStandbys)} by standbys, ${count(byPrimary)} by the primary`;
  return `${count(answered)}: ${by}   stale ${stale}   failed ${failed}`;
}

/**
 * @param {string} title
 * @param {import('./figures.js').Meter} meter
 * @param {number} columns
 */
function meterLine(title, meter, columns) {
  const { perSecond, p50, p99 } = meter.recent();
  const rate = `${count(perSecond)}/s`;
  const start = ` ${title.padEnd(18)} ${rate.padStart(9)}  p50 ${ms(p50).padStart(7)}  p99 ${ms(p99).padStart(7)}  `;
  return start + chart(meter.history, Math.min(columns - start.length - 1, 60));
}

/** @param {Pool} pool */
function poolLine(pool) {
  const { size, maxSize, inUse, waiting } = pool.status();
  return `${size} of ${maxSize}, ${inUse} in use   statements waiting for one ${waiting}`;
}

/**
 * @param {import('./figures.js').Episodes} episodes
 * @param {import('./screen.js').Paint} paint
 */
function silence({ pauseMs }, paint) {
  return pauseMs < PAUSE_MS ? '' : paint.warn(`  (no write for ${count(pauseMs)} ms)`);
}

/** The same in a line, for logs. @param {Scene} scene */
function plainLine(scene) {
  const { load, elapsedMs } = scene;
  const [writes, reads] = [load.writes.recent(), load.reads.recent()];
  const nodes = nodesOf(scene).map(({ name, role, state }) => `${name} ${state === 'up' ? role : state}`);
  return (
    `${seconds(elapsedMs)} s  writes ${count(writes.perSecond)}/s p50 ${ms(writes.p50)} p99 ${ms(writes.p99)}, ` +
    `reads ${count(reads.perSecond)}/s p50 ${ms(reads.p50)} p99 ${ms(reads.p99)}, errors ${failuresOf(load)}, ` +
    `acknowledged ${count(load.ledger.acknowledged)}; ${nodes.join(', ')}; reads ${readsLine(load.lookups)}`
  );
}

/** @param {Happening} happening */
const plainEvent = ({ atMs, text }) => `${seconds(atMs)} s  * ${text}`;

/**
 * @param {object} result
 * @param {import('./check.js').Verdict} result.verdict
 * @param {import('./load.js').Load} result.load
 * @param {{ node: string, rows: number }[]} result.byNode
 * @param {string} result.where the node that was asked
 */
function summary({ verdict, load, byNode, where }) {
  const { episodes, lookups, reasons } = load;
  const { acknowledged, present, lost, duplicated, failed, unknownPresent, torn, denied, strangers } = verdict;
  const spread = byNode.map(({ node, rows }) => `${count(rows)} by ${node || 'a node without a name'}`).join(', ');
  /** @param {string} name @param {string | number} value @param {string} [note] */
  const line = (name, value, note = '') => `   ${name.padEnd(13)} ${String(value).padStart(9)}   ${note}`.trimEnd();
  const lines = [
    `Checked in the database, on ${where}, row by row:`,
    line('acknowledged', count(acknowledged), `rows; one write in twenty is a transaction of ${PARTS}`),
    line('present', count(present), `written ${spread}`),
    line('lost', lost),
    line('duplicated', duplicated),
    line(
      'failed',
      failed.notApplied + failed.unknown,
      `not applied ${failed.notApplied}, outcome unknown ${failed.unknown} (of which there ${unknownPresent})`,
    ),
  ];
  if (torn > 0) lines.push(line('torn', torn, 'transactions of which only a part is there'));
  if (denied > 0) lines.push(line('denied', denied, 'rows that are there although the pool said "not applied"'));
  if (strangers > 0) lines.push(line('strangers', strangers, 'rows that nobody wrote'));
  const { answered, byKind, byPrimary, byStandbys, older, stale, failed: failedReads } = lookups;
  const kinds = Object.entries(KINDS).map(
    ([kind, { title }]) => `${count(byKind[/** @type {keyof KINDS} */ (kind)])} ${title}`,
  );
  lines.push(
    line(
      'reads',
      count(answered),
      `${count(byStandbys)} by standbys, ${count(byPrimary)} by the primary; failed ${failedReads}`,
    ),
    line('', '', kinds.join(', ')),
    line('stale', stale, 'did not see the write of their token or session'),
    line('older', count(older), 'plain reads that did not see the newest write yet, as they may'),
    '',
  );
  /** @param {string[]} cells */
  const row = (...[event, pause, failures, first]) =>
    `   ${event.padEnd(24)} ${pause.padStart(13)} ${failures.padStart(8)}   ${first}`;
  lines.push(row('event', 'longest pause', 'failed', 'first write by the pool'));
  lines.push(row('', 'of writes', 'writes', 'after the primary is open'));
  for (const { title, longestPauseMs, failed, promoted, acceptedAt, firstWriteAt } of episodes.list) {
    // The pool's write may well be the very first.
    const first = ms(Math.max(0, firstWriteAt - acceptedAt));
    lines.push(row(title, ms(longestPauseMs), String(failed), `${first} (${promoted})`));
  }
  lines.push(`   (${INDECISION_MS} ms of each: the harness waits before it promotes, as a manager would)`);
  if (reasons.size > 0) lines.push('', '   failures as the application saw them');
  for (const [reason, times] of reasons) lines.push(`   ${String(times).padStart(4)} x ${reason}`);
  lines.push(
    '',
    verdict.ok ? ' Nothing lost, nothing duplicated.' : ' FAILED: what the pool said is not what the database has.',
    lookups.ok
      ? ' No read failed, and none was stale.'
      : ' FAILED: reads failed or were stale, or no standby has answered.',
  );
  return lines;
}

module.exports = { nodeNames, picture, plainEvent, plainLine, summary };
