'use strict';

// "The server decides": every kind of statement, without a word about what it is, in a cluster whose reads go to standbys. Where each ran,
// how often it was applied and how often it was tried are taken from the logs of the servers.

const assert = require('node:assert/strict');
const { waitUntilCaughtUp } = require('../../exports/testing/cluster/replication.js');
const { named, test, until } = require('../support/helpers');
const { kindsOf } = require('./statement-kinds.js');
const { useClusters } = require('./support.js');

/** @typedef {ReturnType<typeof kindsOf>[number]} Kind */
/**
 * `failed`: after it had been planned. `unplanned`: its planning failed, so that it did not begin; the core plans a statement up to five
 * times then, because its tables may have changed meanwhile (src/query/retry_policy.rs).
 * @typedef {{ applied: number, failed: number, unplanned: number }} Runs
 */

/** Never run. @type {Runs} */
const NONE = { applied: 0, failed: 0, unplanned: 0 };

/** @param {Runs} now @param {Runs} before @returns {Runs} */
const since = (now, before) => ({
  applied: now.applied - before.applied,
  failed: now.failed - before.failed,
  unplanned: now.unplanned - before.unplanned,
});

const clusters = useClusters({
  a: {
    nodes: 3,
    settings: {
      // Each statement stands in the log when it has ended well, and with its error when it has failed.
      log_min_duration_statement: 0,
      allow_in_place_tablespaces: true,
      max_prepared_transactions: 5,
      wal_level: 'logical',
    },
  },
});

/**
 * How often each kind of statement ended well on some nodes, and how often it failed there, by its label.
 * @param {any[]} nodes
 * @returns {Map<string, Runs>}
 */
function runsOn(nodes) {
  /** @type {Map<string, Runs>} */
  const runs = new Map();
  for (const node of nodes) {
    let severity = '';
    let isPlanned = false;
    for (const line of node.log().split('\n')) {
      severity = / (LOG|WARNING|ERROR|FATAL): {2}/.exec(line)?.[1] ?? severity;
      const label = /\/\* (kind \d+\.) \*\//.exec(line)?.[1];
      if (label === undefined) continue;
      const of = runs.get(label) ?? { ...NONE };
      runs.set(label, of);
      // One statement runs at a time. In the log each of its steps follows the one before.
      const step = / duration: [\d.]+ ms {2}(parse|bind|execute) /.exec(line)?.[1];
      if (step === 'execute') of.applied++;
      else if (step !== undefined) isPlanned = step === 'bind';
      else if (line.includes(' STATEMENT:  ') && severity === 'ERROR') of[isPlanned ? 'failed' : 'unplanned']++;
    }
  }
  return runs;
}

/** What the servers say of a kind, with the line ahead of each: the error of a STATEMENT. @param {Kind} kind @param {any[]} nodes */
function linesAround({ label }, nodes) {
  return nodes.flatMap((node) => {
    const lines = node.log().split('\n');
    const isAbout = (/** @type {number} */ at) => lines[at]?.includes(`/* ${label} */`);
    return lines.filter((_, at) => isAbout(at) || isAbout(at + 1)).map((line) => `${node.name}: ${line}`);
  });
}

/** Waits until everything that was logged before can be read. @param {any[]} nodes */
async function untilLogged(nodes) {
  for (const node of nodes) {
    const mark = named('mark');
    await node.sql(`SELECT '${mark}'`);
    await until('the log is written', () => node.log().includes(mark));
  }
}

/**
 * Runs all kinds, each to its end before the next one.
 * @param {any} multi
 * @param {Kind[]} kinds
 * @returns {Promise<Map<string, { node?: string, error?: any, rows: number | null }>>} by label; `rows`: in k.applied, for a kind that marks
 */
async function runAll(multi, kinds) {
  const { cluster } = clusters.a;
  const endings = new Map();
  for (const { sql, label, marks } of kinds) {
    // What a standby answers that has not replayed the last write is dropped, and another standby is asked.
    await Promise.all(cluster.standbys().map((standby) => waitUntilCaughtUp(standby, cluster.primary())));
    const ending = await multi.query(sql).then(
      (/** @type {any} */ { node }) => ({ node }),
      (/** @type {any} */ error) => ({ error }),
    );
    // The next record goes behind the header of a segment, at which no standby arrives before there is a record.
    if (sql.includes('pg_switch_wal')) await clusters.a.sql("SELECT pg_logical_emit_message(true, 'test', '')");
    const [{ rows }] = marks
      ? await clusters.a.sql('SELECT count(*)::int AS rows FROM k.applied WHERE label = $1', [label])
      : [{ rows: null }];
    endings.set(label, { ...ending, rows });
  }
  return endings;
}

/**
 * What is wrong with a kind, as text; null for nothing.
 * @param {Kind} kind
 * @param {any} ending
 * @param {{ primary: Runs, standbys: Runs, isFirst: boolean }} seen
 */
function complaint({ where, code }, ending, { primary, standbys, isFirst }) {
  const address = clusters.a.cluster.primary().address;
  const found = ending.error === undefined ? (ending.node === address ? 'primary' : 'standby') : 'nowhere';
  if (found !== where || (where === 'nowhere' && ending.error.code !== code)) {
    return `it belongs ${where} (${code ?? 'well'}), and ended ${found}: ${ending.error ?? 'well'}`;
  }
  const applied = { primary: where === 'primary' ? 1 : 0, standbys: where === 'standby' ? 1 : 0 };
  if (primary.applied !== applied.primary || standbys.applied !== applied.standbys) {
    return `applied ${primary.applied} times on the primary, ${standbys.applied} times on standbys`;
  }
  if (where === 'primary' && primary.failed > 0) return 'it failed on the primary before it succeeded there';
  // The first time a standby refuses it, and from then on none is asked.
  const refusals = where === 'primary' && isFirst ? 1 : 0;
  const tries = standbys.failed + Math.min(standbys.unplanned, 1);
  if (where !== 'nowhere' && tries !== refusals) return `${tries} refusals by standbys`;
  if (ending.rows !== null && ending.rows !== 1) return `${ending.rows} rows in k.applied`;
  return null;
}

test('routing: every kind of statement is applied once, where it belongs, and no standby refuses it twice', async (t) => {
  const { cluster } = clusters.a;
  const multi = await clusters.multi(
    t,
    clusters.configuration({ a: { schemas: ['k'], readPreference: 'replica', connectionPool: { max: 1 } } }),
  );
  const kinds = kindsOf(cluster.version);
  const [primary, standbys] = [[cluster.primary()], cluster.standbys()];
  /** @type {string[]} */
  const complaints = [];
  let before = { primary: runsOn([]), standbys: runsOn([]) };
  for (const isFirst of [true, false]) {
    const asked = kinds.filter(({ once }) => isFirst || !once);
    const endings = await runAll(multi, asked);
    await untilLogged(cluster.nodes);
    const now = { primary: runsOn(primary), standbys: runsOn(standbys) };
    for (const kind of asked) {
      /** @param {'primary' | 'standbys'} role */
      const of = (role) => since(now[role].get(kind.label) ?? NONE, before[role].get(kind.label) ?? NONE);
      const wrong = complaint(kind, endings.get(kind.label), {
        primary: of('primary'),
        standbys: of('standbys'),
        isFirst,
      });
      if (wrong !== null) {
        complaints.push(
          `${isFirst ? 'first' : 'second'} run of ${kind.sql}: ${wrong}`,
          ...linesAround(kind, cluster.nodes),
        );
      }
    }
    before = now;
  }
  // What fails everywhere for its own sake may be tried each time. What was sent to the primary had been refused.
  const refused = kinds
    .filter(({ label }) => before.primary.has(label))
    .map(({ sql, label }) => ({ sql, ...(before.standbys.get(label) ?? NONE) }))
    .filter(({ failed, unplanned }) => failed + unplanned > 0);
  const twice = refused.filter(({ failed }) => failed > 1);
  const planned = refused.filter(({ unplanned }) => unplanned > 1);
  console.log(
    `${kinds.length} kinds of statements, each run twice: ${refused.length} were refused by a standby, ${twice.length} of them more than ` +
      `once; ${planned.length} were planned more than once in vain`,
  );
  assert.deepEqual(complaints, []);
  assert.deepEqual(twice, []);
  assert.deepEqual(planned, []);
  assert.ok(kinds.length >= 200);
});
