'use strict';

// A round: a healthy cluster, a pool under every kind of load (test/chaos/load.js), a fault, and the verdict.

const { setTimeout: sleep } = require('node:timers/promises');
const { createPool } = require('../../../client.js');
const { EVERYTHING, Load, TABLE, judge } = require('../../chaos/load');
const { withConnection } = require('../../../exports/testing/cluster/sql.js');
const { GiveUp, until } = require('../../../exports/testing/cluster/until.js');
const { GAP_MS, gapsOf, longest, pauseBeyond, pausesOf, violationsOf, writtenByDeposed } = require('./judge');
const { Record } = require('./record');
const { APP } = require('./settings');
const { TABLE: PROBE_TABLE, Watch } = require('./watch');

/** @typedef {import('../../chaos/random').Random} Random */
/** @typedef {import('./cluster').PatroniCluster} PatroniCluster */
/** @typedef {import('./judge').Span} Span */
/** @typedef {import('./judge').Written} Written */
/** @typedef {import('./member').Member} Member */
/** @typedef {import('./scenarios').Scenario} Scenario */

/**
 * The pool of every round: the defaults, but for a wait that is longer than any gap that Patroni makes here, so that no call
 * runs out of time, and shorter than the time after which the load considers work as hanging.
 */
const POOL = {
  poolSize: 10,
  acquireTimeoutMs: 25_000,
  monitor: { intervalMs: 1_000, nodeTimeoutMs: 3_000 },
  applicationName: 'hyperion-load',
};
/** How long Patroni may take to promote a primary, and the pool to use it. */
const PATIENCE_MS = 60_000;
/** By then every call has settled, and all notifications have arrived. */
const SETTLED_MS = 60_000;

/** The load's table has the timeline on which a row was written; this column has the time. */
const AT = 'ALTER TABLE written ADD COLUMN at timestamptz NOT NULL DEFAULT clock_timestamp()';

/** @param {Member} leader */
async function prepare(leader) {
  const login = { host: leader.host, port: leader.port, ...APP };
  await withConnection(login, async (query) => {
    for (const statement of ['DROP TABLE IF EXISTS written, probe', TABLE, AT, PROBE_TABLE]) await query(statement);
  });
}

/** The rows of the load that a node has. @param {Member} member @returns {Promise<Written[]>} */
async function rowsOf(member) {
  const rows = await member.sql('SELECT id, part, timeline, at FROM written');
  return rows.map(({ id, part, timeline, at }) => ({ id, part, timeline, at: at.getTime() }));
}

/**
 * @param {PatroniCluster} cluster
 * @param {Scenario} scenario
 * @param {Random} random
 */
async function playRound(cluster, scenario, random) {
  const leader = await cluster.whole();
  await prepare(leader);
  const pool = createPool({ ...cluster.login, ...POOL, hosts: random.shuffled(cluster.login.hosts) });
  const record = new Record(pool);
  const watch = new Watch(cluster.members.map(({ host, port }) => ({ host, port, ...APP })));
  const load = new Load(pool, { ...EVERYTHING, random: random.fork('load') });
  const began = Date.now();
  const before = { timeline: 0 };
  let struck = began;
  /** @type {string | null} */
  let stalled = null;
  /** @type {{ node: string, rows: Written[] }[]} */
  const deposed = [];

  /** @type {import('./scenarios').Scene} */
  const scene = {
    cluster,
    leader,
    watch,
    random,
    strikes(times = 1) {
      struck = Date.now();
      for (let time = 0; time < times; time += 1) load.strike();
      record.add('fault');
    },
    async more(writes = 200) {
      const from = load.acknowledged;
      const isThere = () => {
        if (watch.isRolledBack) throw new GiveUp('the manager went back to an old timeline');
        return load.acknowledged >= from + writes;
      };
      await until(`${writes} more writes through the pool`, isThere, { timeoutMs: PATIENCE_MS });
      await load.flows();
    },
    async successor() {
      const reign = await watch.successor(before.timeline, PATIENCE_MS);
      record.add('accepted', reign);
      return /** @type {Member} */ (cluster.members.find(({ address }) => address === reign.node));
    },
    async buries(member) {
      deposed.push({ node: member.address, rows: await rowsOf(member) });
    },
    note: (text) => record.add('note', { text }),
  };

  try {
    // From here on the watch records everything.
    before.timeline = (await watch.successor(0, PATIENCE_MS)).timeline;
    await scene.more();
    await sleep(random.int(0, 1_000));
    await scenario.play(scene);
  } catch (error) {
    stalled = `the round did not go on: ${/** @type {Error} */ (error).message}`;
    record.add('stalled', { error: stalled });
  }

  const stopping = Date.now();
  await Promise.race([load.stop(), sleep(SETTLED_MS, undefined, { ref: false })]);
  const settledMs = Date.now() - stopping;
  load.abandon();
  const acceptances = await watch.stop();
  await pool.end({ timeoutMs: 1_000 });
  await cluster.repair();
  const last = await cluster.whole(Math.max(...watch.reigns.map(({ timeline }) => timeline)));

  const rows = await rowsOf(last);
  const { violations: broken, kinds } = judge(load.record, { rows, deposed });
  const byDeposed = writtenByDeposed(
    [...rows, ...deposed.flatMap((node) => node.rows)],
    watch.reigns,
    (id) => load.history.get(id)?.fate === 'acknowledged',
  );
  const offset = Date.now() - performance.now();
  const acknowledged = load.times.map((time) => time + offset);
  const during = /** @type {Span} */ ([struck, stopping]);
  const gaps = gapsOf(acceptances, during);
  const pauses = pausesOf(acknowledged, during);
  const sinceFault = (/** @type {Span[]} */ spans) =>
    spans.map(([from, to]) => [Math.round(from - struck), Math.round(to - struck)]);
  const rule = (/** @type {string} */ name) => broken.filter((violation) => violation.rule === name).length;
  const round = {
    scenario: scenario.name,
    began: new Date(began).toISOString(),
    from: leader.address,
    to: last.address,
    violations: violationsOf({ broken, byDeposed, acknowledged: load.acknowledged, stalled }),
    kinds,
    lost: rule('lost'),
    doubled: rule('doubled'),
    hung: rule('pending'),
    errors: load.errors(),
    managerGapMs: Math.round(longest(gaps)),
    managerGapsMs: sinceFault(gaps),
    pauseMs: Math.round(longest(pauses)),
    pausesMs: sinceFault(pauses.filter(([from, to]) => to - from > GAP_MS)),
    beyondMs: Math.round(pauseBeyond(acknowledged, gaps, during)),
    settledMs,
    reigns: watch.reigns.map(({ at, ...reign }) => ({ ...reign, at: at - struck })),
    failures: failuresOf(load, struck - offset, offset),
    happenings: record.stop(struck),
  };
  return { round, history: load.record };
}

/** @typedef {Awaited<ReturnType<typeof playRound>>['round']} Round */

const FAILURES_KEPT = 60;

/**
 * The first failures, with their events.
 * @param {Load} load
 * @param {number} zero performance.now() when the fault struck
 * @param {number} offset from there to Date.now(), which is the clock of notifications
 */
function failuresOf(load, zero, offset) {
  const { writes, reads, streams, visits, sent } = load.record;
  const deeds = [
    ...[...writes.values()].map((write) => ({ what: write.kind, ...write })),
    ...reads.map((read) => ({ what: 'read', ...read })),
    ...streams.map((stream) => ({ what: 'stream', ...stream })),
    ...visits.map((visit) => ({ what: 'listen', ...visit })),
    ...[...sent.values()].map((one) => ({
      ...one,
      what: 'notify',
      at: one.at - offset,
      end: Number(one.end) - offset,
    })),
  ];
  return deeds
    .filter(({ error }) => error !== undefined)
    .slice(0, FAILURES_KEPT)
    .map(({ what, fate, at, end, error }) => ({
      what,
      fate,
      sentMs: Math.round(at - zero),
      toldMs: Math.round(Number(end) - zero),
      code: error.code,
      outcome: error.outcome,
      attempts: error.attempts,
      message: error.message,
    }));
}

exports.playRound = playRound;
