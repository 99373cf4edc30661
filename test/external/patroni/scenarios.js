'use strict';

// The faults of Patroni rounds. Each scenario plays its fault, waits for the consequences, lets the load go on, and restores
// what it took away; the cluster repairs the rest afterwards.

const { setTimeout: sleep } = require('node:timers/promises');
const { until } = require('../../../exports/testing/cluster/until.js');

/** @typedef {import('./cluster').PatroniCluster} PatroniCluster */
/** @typedef {import('./member').Member} Member */
/** @typedef {import('../../chaos/random').Random} Random */
/** @typedef {import('./watch').Watch} Watch */

/**
 * @typedef {object} Scene what a scenario may use
 * @property {PatroniCluster} cluster
 * @property {Member} leader at the beginning of the round
 * @property {Watch} watch
 * @property {Random} random
 * @property {(times?: number) => void} strikes called just before the fault: how often it may cost a caller its answer
 * @property {() => Promise<Member>} successor waits until a node accepts writes on a higher timeline
 * @property {(writes?: number) => Promise<void>} more waits for that many acknowledged writes
 * @property {(member: Member) => Promise<void>} buries what this deposed primary has, before it is thrown away
 * @property {(text: string) => void} note for the record
 */

/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} title
 * @property {(scene: Scene) => Promise<void>} play
 */

const SECONDS = 1_000;
/** The server ends its sessions one after the other: a caller who lost one may be on the next. */
const FAST_SHUTDOWN = 2;

/** @type {Scenario[]} */
const SCENARIOS = [
  {
    name: 'crash',
    title: 'primary and agent crash',
    async play({ leader, strikes, successor, more }) {
      strikes();
      await leader.crash();
      await successor();
      await more();
      leader.startAgent();
      await more();
    },
  },
  {
    name: 'agent',
    title: 'agent killed, old primary lives on',
    async play({ leader, random, strikes, successor, more, buries, note }) {
      strikes();
      await leader.killAgent();
      const next = await successor();
      await more();
      // Two primaries at the same time, for a while.
      await sleep(random.int(2 * SECONDS, 4 * SECONDS));
      await more();
      note(`${leader.name} beside ${next.name}: ${await standing(leader)}`);
      await buries(leader);
      leader.startAgent();
      await more();
    },
  },
  {
    name: 'switchover',
    title: 'switchover by the REST API',
    async play({ leader, strikes, successor, more, note }) {
      strikes(FAST_SHUTDOWN);
      const { status, text } = await leader.ask('/switchover', { body: { leader: leader.name }, timeoutMs: 60_000 });
      note(`${status} ${text}`);
      if (status !== 200) throw new Error(`Patroni refused the switchover: ${status} ${text}`);
      await successor();
      await more();
    },
  },
  {
    name: 'freeze',
    title: 'primary and agent frozen, then thawed',
    async play({ leader, random, strikes, successor, more }) {
      strikes();
      await leader.freeze();
      await successor();
      await more();
      await sleep(random.int(0, 2 * SECONDS));
      leader.thaw();
      await sleep(1.5 * SECONDS);
      await more();
    },
  },
  {
    name: 'standby',
    title: 'a standby restarts',
    async play({ cluster, random, strikes, more, note }) {
      // More often the standby for which commits wait.
      const wanted = random.once(3) ? 'replica' : 'sync_standby';
      const { name, role } = await until(`there is a ${wanted}`, async () =>
        (await cluster.look()).find(({ role }) => role === wanted),
      );
      strikes();
      const { status, text } = await cluster.member(name).ask('/restart', { body: {}, timeoutMs: 60_000 });
      note(`${name} (${role}): ${status} ${text}`);
      if (status !== 200) throw new Error(`Patroni refused the restart: ${status} ${text}`);
      await more();
    },
  },
  {
    name: 'etcd',
    title: 'etcd lost and brought back',
    async play({ cluster, watch, random, strikes, successor, more }) {
      strikes(FAST_SHUTDOWN);
      await cluster.etcd.kill();
      // Without its store the leader steps down: it cannot know whether another member has the key.
      await until('nobody accepts writes', () => Date.now() - (watch.latest?.at ?? 0) > SECONDS);
      await sleep(random.int(0, 2 * SECONDS));
      await cluster.etcd.start();
      await successor();
      await more();
    },
  },
];

/** The sessions of the pool on a node that should have none. @param {Member} member */
async function standing(member) {
  const [row] = await member.sql(
    `SELECT count(*)::int AS sessions, count(*) FILTER (WHERE wait_event = 'SyncRep')::int AS waiting,
            max(query_start) AS latest
       FROM pg_stat_activity WHERE application_name = 'hyperion-load'`,
  );
  return `${row.sessions} sessions of ours, ${row.waiting} wait for a standby, latest statement ${row.latest?.toISOString() ?? 'none'}`;
}

exports.SCENARIOS = SCENARIOS;
