'use strict';

// The faults of a cluster. Each is played on a scene (scene.js) while the load runs; after it the pool has a primary that
// accepts writes. scene.restore() repairs what else the fault has broken.

const { until } = require('../../exports/testing/cluster/until.js');

/** @typedef {import('./scene').Scene} Scene */

/**
 * @typedef {object} Fault
 * @property {string} name
 * @property {string[]} needs operations of the cluster
 * @property {boolean} [proxied] the pool must see the nodes through proxies
 * @property {boolean} [planned] must not be felt: no error at all
 * @property {boolean} [moves] whether another node is the primary afterwards; undefined: either may be
 * @property {(scene: Scene) => Promise<unknown>} play
 */

/** The longest pause between two steps; the seed of the scene chooses. */
const SHORTLY_MS = 150;
/** Latency in each direction. */
const SLOW_MS = 200;

/** Visitors listen and leave all the time, so that the last statement of the listening session is soon one of these. */
const END_LISTENER = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE usename = $1 AND backend_type = 'client backend' AND query ~ '^(UN)?LISTEN'`;

/** `strike` takes the primary away, another is promoted, and `undo` brings the old one back, all under load. */
const movedBy =
  (
    /** @type {(scene: Scene) => Promise<unknown>} */ strike,
    /** @type {(scene: Scene, old: any) => Promise<unknown>} */ undo,
  ) =>
  async (/** @type {Scene} */ scene) => {
    const old = scene.primary;
    await scene.strike(() => strike(scene));
    await scene.rest(SHORTLY_MS);
    await scene.failover();
    await scene.flows();
    await undo(scene, old);
    await scene.flows();
  };

/** The old primary stays down. */
const nothing = async () => {};

/** A second primary, on the old timeline: the pool must see it and leave it alone. @param {Scene} scene @param {any} old */
async function startsAgain(scene, old) {
  await old.start();
  await scene.seesDeposed(old);
}

/** @type {Fault[]} */
const FAULTS = [
  {
    name: 'stopped fast',
    needs: ['stop', 'start', 'failover'],
    moves: true,
    play: movedBy((scene) => scene.primary.stop('fast'), startsAgain),
  },
  {
    name: 'stopped immediate',
    needs: ['stop', 'failover'],
    moves: true,
    play: movedBy((scene) => scene.primary.stop('immediate'), nothing),
  },
  {
    name: 'crashed',
    needs: ['crash', 'start', 'failover'],
    moves: true,
    play: movedBy((scene) => scene.primary.crash(), startsAgain),
  },
  {
    name: 'postmaster killed',
    needs: ['killPostmaster', 'failover'],
    moves: true,
    play: movedBy((scene) => scene.primary.killPostmaster(), nothing),
  },
  {
    name: 'frozen and thawed',
    needs: ['freeze'],
    moves: false,
    async play(scene) {
      const old = scene.primary;
      await scene.strike(() => old.freeze());
      await scene.seesDown(old);
      await old.thaw();
    },
  },
  {
    name: 'frozen, another promoted, thawed',
    needs: ['freeze', 'failover'],
    moves: true,
    play: movedBy(
      (scene) => scene.primary.freeze(),
      async (scene, old) => {
        await old.thaw();
        await scene.seesDeposed(old);
      },
    ),
  },
  {
    name: 'cut off by a black hole',
    needs: ['proxy', 'failover'],
    proxied: true,
    moves: true,
    play: movedBy(
      (scene) => scene.proxyOf(scene.primary).blackhole(),
      async (scene, old) => {
        await scene.proxyOf(old).heal();
        await scene.seesDeposed(old);
      },
    ),
  },
  {
    name: 'cut off by resets',
    needs: ['proxy', 'failover'],
    proxied: true,
    moves: true,
    play: movedBy(
      (scene) => scene.proxyOf(scene.primary).cut(),
      async (scene, old) => {
        await scene.proxyOf(old).heal();
        await scene.seesDeposed(old);
      },
    ),
  },
  {
    name: 'fenced and unfenced',
    needs: ['fence'],
    moves: false,
    planned: true,
    async play(scene) {
      const node = scene.primary;
      await node.fence();
      await scene.seesFenced(node);
      await scene.rest(SHORTLY_MS);
      await node.unfence();
    },
  },
  {
    name: 'fenced, another promoted (switchover)',
    needs: ['fence', 'failover'],
    planned: true,
    moves: true,
    async play(scene) {
      const old = scene.primary;
      await old.fence();
      await scene.rest(SHORTLY_MS);
      await scene.failover();
      await scene.flows();
      await old.unfence();
      await scene.seesDeposed(old);
    },
  },
  {
    name: 'one backend crashed',
    needs: ['killBackend'],
    moves: false,
    play: (scene) => scene.strike(() => scene.primary.killBackend(scene.login.user)),
  },
  {
    name: 'connections exhausted',
    needs: ['exhaust'],
    moves: false,
    async play(scene) {
      const node = scene.primary;
      const release = await node.exhaust(scene.login, () => scene.load.strike());
      await scene.rest(SHORTLY_MS);
      await release();
    },
  },
  {
    name: 'listening session ended',
    needs: ['sql'],
    moves: false,
    planned: true,
    // All other work goes on, and notifications are sent during the gaps, so that some are really missed.
    async play(scene) {
      for (let times = scene.random.int(2, 4); times > 0; times--) {
        const gaps = scene.load.record.gaps.length;
        await until('the listening session is found and ended', async () => {
          const ended = await scene.primary.sql(END_LISTENER, [scene.login.user]);
          return ended.length > 0;
        });
        await until('the pool tells of a gap', () => scene.load.record.gaps.length > gaps);
        await scene.rest(SHORTLY_MS);
      }
    },
  },
  {
    name: 'slow (200 ms each way)',
    needs: ['proxy'],
    moves: false,
    proxied: true,
    planned: true,
    async play(scene) {
      const proxy = scene.proxyOf(scene.primary);
      proxy.latency(SLOW_MS);
      await scene.flows(1);
      await proxy.heal();
    },
  },
  {
    name: 'a standby lost',
    needs: ['crash'],
    moves: false,
    planned: true,
    async play(scene) {
      await scene.random.pick(scene.cluster.standbys()).crash();
      await scene.flows();
    },
  },
  {
    name: 'all nodes lost and back',
    needs: ['crash', 'start'],
    moves: false,
    async play(scene) {
      const { nodes } = scene.cluster;
      await scene.strike(() => Promise.all(nodes.map((node) => node.crash())));
      await Promise.all(nodes.map((node) => scene.seesDown(node)));
      await Promise.all(nodes.map((node) => node.start()));
    },
  },
  {
    name: 'two failovers in a row',
    needs: ['crash', 'failover', 'rejoin'],
    async play(scene) {
      const first = scene.primary;
      await scene.strike(() => first.crash());
      const second = await scene.failover();
      await first.rejoin(second);
      await scene.strike(() => second.crash());
      await scene.failover();
    },
  },
];

exports.FAULTS = FAULTS;
