'use strict';

// Health checks: whether each cluster accepts writes, when one is down, and when it is back.

const { setMaxListeners } = require('node:events');
const { PoolClosedError } = require('../../client.js');
const { lookAt } = require('./health-look.js');

/** @typedef {import('./health-look.js').Unit} Unit */
/** @typedef {import('./health-look.js').UnitHealth} UnitHealth */
/** @typedef {import('./index.d.ts').NodeHealth} NodeHealth */
/** @typedef {import('./index.d.ts').ClusterHealth} ClusterHealth */
/** @typedef {{ id: string, units: Unit[] }} Cluster */
/** @typedef {(event: string, payload: object) => void} Emit */
/** @typedef {{ healthCheckIntervalMs: number, healthTimeoutMs: number, maxFailuresBeforeMarkDown: number }} Options */

/** What the looks at a cluster have found so far. */
class Watched {
  /** How many looks in a row have failed, and when the first of them began. */
  failures = 0;
  failedAt = 0;
  /** Whether clusterDown was emitted. */
  isDown = false;
  /** How many looks in a row found a node that is not healthy; by unit and node. @type {Map<string, number>} */
  failuresOf = new Map();
  /** The look that has not ended. @type {Promise<ClusterHealth | null> | null} */
  look = null;
  /** Ends it. */
  end = new AbortController();
  /** @type {import('./health-look.js').Asking} */
  asking = { signal: this.end.signal, asked: new Map() };

  constructor() {
    // Each statement of a look at a sharded cluster listens to it.
    setMaxListeners(0, this.end.signal);
  }

  /** @param {UnitHealth} found @returns {NodeHealth[]} */
  count({ unit, nodes }) {
    return nodes.map(({ error, ...node }) => {
      const key = `${unit.name} ${node.node}`;
      const failureCount = node.healthy ? 0 : (this.failuresOf.get(key) ?? 0) + 1;
      this.failuresOf.set(key, failureCount);
      return { ...node, failureCount, error };
    });
  }
}

class Health {
  #clusters;
  #options;
  #emit;
  /** @type {Map<string, Watched>} */
  #watched = new Map();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #isClosed = false;

  /** @param {{ clusters: () => Cluster[], options: Options, emit: Emit }} settings */
  constructor({ clusters, options, emit }) {
    this.#clusters = clusters;
    this.#options = options;
    this.#emit = emit;
  }

  /** Looks at each cluster every healthCheckIntervalMs. It keeps no process alive. */
  start() {
    const { healthCheckIntervalMs } = this.#options;
    if (this.#isClosed || this.#timer !== undefined || healthCheckIntervalMs === 0) return;
    this.#timer = setInterval(() => this.#lookAtAll(), healthCheckIntervalMs);
    this.#timer.unref();
  }

  /** A cluster that is slow has no second look meanwhile, and no other cluster waits for it. */
  #lookAtAll() {
    for (const cluster of this.#clusters()) this.#look(cluster);
  }

  /** @returns {Promise<import('./index.d.ts').HealthReport>} */
  async check() {
    const looks = this.#clusters().map(async (cluster) => ({ id: cluster.id, health: await this.#look(cluster) }));
    const found = await Promise.all(looks);
    if (this.#isClosed) throw new PoolClosedError();
    // One that was removed meanwhile has no health.
    const clusters = Object.fromEntries(
      found.filter(({ health }) => health !== null).map(({ id, health }) => [id, structuredClone(health)]),
    );
    return {
      healthy: Object.values(clusters).every((health) => health?.healthy),
      clusters: /** @type {any} */ (clusters),
    };
  }

  /** What is known of a cluster that was removed. @param {string} clusterId */
  forget(clusterId) {
    const watched = this.#watched.get(clusterId);
    this.#watched.delete(clusterId);
    watched?.end.abort();
  }

  /** Another one has the place of a cluster. If that was down, the recovery is told of the new one. @param {string} clusterId */
  replace(clusterId) {
    const { isDown, failures, failedAt } = this.#watched.get(clusterId) ?? new Watched();
    this.forget(clusterId);
    if (isDown) this.#watched.set(clusterId, Object.assign(new Watched(), { isDown, failures, failedAt }));
  }

  /** Ends the looks; nothing is emitted any more. */
  async close() {
    this.#isClosed = true;
    clearInterval(this.#timer);
    const looks = [...this.#watched.values()].map(({ look }) => look);
    for (const id of [...this.#watched.keys()]) this.forget(id);
    await Promise.allSettled(looks);
  }

  /** The look that is under way, else a new one; null when the cluster was removed meanwhile. @param {Cluster} cluster */
  #look(cluster) {
    const watched = this.#watched.get(cluster.id) ?? new Watched();
    this.#watched.set(cluster.id, watched);
    watched.look ??= this.#lookOnce(cluster, watched).finally(() => {
      watched.look = null;
    });
    return watched.look;
  }

  /** @param {Cluster} cluster @param {Watched} watched @returns {Promise<ClusterHealth | null>} */
  async #lookOnce({ id, units }, watched) {
    const { healthTimeoutMs } = this.#options;
    const begun = performance.now();
    const found = await Promise.all(units.map((unit) => lookAt(unit, healthTimeoutMs, watched.asking)));
    if (watched.end.signal.aborted) return null;
    const reasons = found.map(({ reason }) => reason).filter((reason) => reason !== null);
    const health = {
      healthy: reasons.length === 0,
      primary: found.length === 1 ? found[0].primary : null,
      nodes: found.flatMap((one) => watched.count(one)),
    };
    if (health.healthy) this.#succeeded(id, watched);
    else this.#failed(id, watched, { reason: reasons.join('; '), begun });
    return health;
  }

  /** @param {string} clusterId @param {Watched} watched @param {{ reason: string, begun: number }} look */
  #failed(clusterId, watched, { reason, begun }) {
    if (watched.failures++ === 0) watched.failedAt = begun;
    if (watched.isDown || watched.failures < this.#options.maxFailuresBeforeMarkDown) return;
    watched.isDown = true;
    this.#emit('clusterDown', { clusterId, reason });
  }

  /** @param {string} clusterId @param {Watched} watched */
  #succeeded(clusterId, watched) {
    const wasDown = watched.isDown;
    watched.failures = 0;
    watched.isDown = false;
    if (wasDown) this.#emit('clusterRecovered', { clusterId, downtime: performance.now() - watched.failedAt });
  }
}

/**
 * Emits `failover` whenever another node becomes the primary of a unit.
 * @param {Unit} unit
 * @param {Emit} emit
 */
function watchFailovers({ clusterId, shard, pool }, emit) {
  pool.on('primary', ({ from, to }) => {
    if (from === null || from === to) return;
    emit('failover', shard === null ? { clusterId, from, to } : { clusterId, shard, from, to });
  });
}

module.exports = { Health, watchFailovers };
