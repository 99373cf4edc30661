'use strict';

// Some minutes in the life of a pool of three nodes, as a test or a screenshot needs them: load in waves, errors now and then, a
// switchover, a crash, and a failover that is under way. Times run by a clock of their own, so that minutes pass at once.

const { FakePool, Feed } = require('./dashboard.fake.js');

/** Numbers that look like chance, and are the same in every run. @param {number} seed */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * @typedef {object} Moment
 * @property {number} second
 * @property {number} at
 * @property {() => number} random
 * @property {FakePool} pool
 */

/** @param {Moment} moment */
function load({ second, random, pool }) {
  const wave = 1 + 0.35 * Math.sin(second / 37) + 0.15 * Math.sin(second / 9);
  pool.nodeList.forEach((node, index) => {
    if (node.state !== 'up') return;
    const isPrimary = node.role === 'primary';
    const times = Math.round((isPrimary ? 1_350 : 820 + index * 130) * wave * (0.92 + random() * 0.16));
    const typical = isPrimary ? 420 : 300 + index * 40;
    for (const [share, factor] of [
      [0.6, 1],
      [0.25, 1.4],
      [0.1, 2.2],
      [0.035, 5],
      [0.015, 8 + random() * 4],
    ]) {
      pool.statements(index, Math.round(times * share), typical * factor * (0.9 + random() * 0.2));
    }
    const counts = pool.raw.nodes[index];
    counts.inFlight = Math.round(3 + random() * 5 * wave);
    counts.connections = isPrimary ? 12 : 6;
    node.latencyMs = 0.2 + random() * 0.3;
    node.lagMs = isPrimary ? 0 : Math.round((4 + random() * 14) * wave * (index === 2 ? 2.2 : 1));
    node.lagBytes = isPrimary ? 0 : Math.round(node.lagMs * 310);
    node.lsn = `0/${(0x3000148 + second * 51_200 - node.lagBytes).toString(16).toUpperCase()}`;
  });
  const busy = Math.min(20, Math.round(9 * wave + random() * 4));
  pool.pool = {
    ...pool.pool,
    size: 18,
    inUse: busy,
    available: 18 - busy,
    waiting: busy > 13 ? Math.round(random() * 3) : 0,
  };
  pool.waits(Math.round(14 * wave * random()), 180 + random() * 900);
  pool.raw.transactions.begun += 90;
  pool.raw.transactions.committed += 88;
  pool.raw.transactions.rolledBack += 2;
  pool.raw.prepared.hits += 3_000;
  pool.raw.prepared.misses += second % 20 === 0 ? 3 : 0;
  if (random() < 0.08) pool.errors('23', 1);
  if (random() < 0.03) pool.errors('40', 1);
}

/** @param {Moment} moment @param {{ from: number, to: number, ms: number, writeMs: number, kind: 'fenced' | 'down' }} what */
function failover({ at, pool }, { from, to, ms, writeMs, kind }) {
  const [old, next] = [pool.nodeList[from], pool.nodeList[to]];
  const [a, b] = [pool.raw.nodes[from].node, pool.raw.nodes[to].node];
  const other = pool.raw.nodes.find(({ node }) => node !== a && node !== b)?.node ?? a;
  const noticed = at - ms - writeMs;
  const timeline = (old.timeline ?? 1) + 1;
  pool.raw.failovers.push({
    from: a,
    to: b,
    noticed,
    by:
      kind === 'fenced'
        ? { source: 'fence', node: a, reason: 'default_transaction_read_only is on' }
        : { source: 'connection', node: a, reason: 'the server closed the connection unexpectedly' },
    asked: [
      { at: noticed + 2, node: a, answer: kind, reason: kind === 'down' ? 'Connection refused (os error 111)' : null },
      { at: noticed + 3, node: other, answer: 'standby', reason: null },
      { at: noticed + 4, node: b, answer: 'standby', reason: null },
      { at: noticed + ms - 5, node: b, answer: 'primary', reason: null },
    ],
    ...{ found: noticed + ms, timeline, firstWrite: noticed + ms + writeMs },
    ...{ held: 412, retried: 31, unknown: kind === 'down' ? 2 : 0 },
  });
  pool.raw.failoverCount++;
  pool.raw.fenceEvictions += kind === 'fenced' ? 12 : 0;
  pool.raw.retries = { 'connection lost': 23, 'read-only node': 8 };
  Object.assign(old, {
    state: kind,
    fit: false,
    reason: kind,
    lastError:
      kind === 'down'
        ? 'Connection refused (os error 111)'
        : 'is a deposed primary: its timeline is 1, that of the primary is 2',
  });
  Object.assign(next, { role: 'primary', timeline });
  for (const node of pool.nodeList) if (node !== old) node.timeline = timeline;
  if (kind === 'down') Object.assign(old, { lagMs: null, lagBytes: null, latencyMs: null });
  Object.assign(pool.raw.nodes[from], { inFlight: 0, connections: 0 });
  if (kind === 'down') pool.errors('ERR_CONNECTION_LOST', 2);
  pool.waits(412, (ms + writeMs) * 1_000);
}

/** @param {Moment} moment @param {number} index */
function rejoin({ pool }, index) {
  Object.assign(pool.nodeList[index], {
    role: 'standby',
    state: 'up',
    fit: true,
    reason: null,
    lastError: null,
    latencyMs: 0.3,
  });
}

/** What has happened by its second, counted from the end. @type {Record<string, (moment: Moment) => void>} */
const EVENTS = {
  600: (moment) => failover(moment, { from: 0, to: 1, ms: 684, writeMs: 41, kind: 'fenced' }),
  560: (moment) => rejoin(moment, 0),
  140: (moment) => failover(moment, { from: 1, to: 2, ms: 1_312, writeMs: 96, kind: 'down' }),
  60: (moment) => rejoin(moment, 1),
};

/** The primary is down, and nobody is promoted yet. @param {FakePool} pool @param {number} at */
function crash(pool, at) {
  const index = pool.nodeList.findIndex(({ role, state }) => role === 'primary' && state === 'up');
  const node = pool.raw.nodes[index].node;
  const reason = 'Connection reset by peer (os error 104)';
  pool.raw.failovers.push({
    ...{ from: node, to: null, noticed: at, by: { source: 'statement', node, reason } },
    asked: pool.raw.nodes.map((one, other) => ({
      at: at + 2 + other,
      node: one.node,
      answer: other === index ? 'down' : 'standby',
      reason: other === index ? reason : null,
    })),
    ...{ found: null, timeline: null, firstWrite: null, held: 57, retried: 0, unknown: 1 },
  });
  pool.raw.failoverCount++;
  Object.assign(pool.nodeList[index], {
    state: 'down',
    fit: false,
    reason: 'down',
    lastError: reason,
    lagMs: null,
    lagBytes: null,
    latencyMs: null,
  });
  Object.assign(pool.raw.nodes[index], { inFlight: 0, connections: 0 });
  pool.pool.waiting = 57;
}

/**
 * A feed that has seen `seconds` of it, up to now. `eventful`: with the switchover and the crash, which need 601 seconds.
 * @param {{ seconds?: number, nodes?: number, name?: string | null, eventful?: boolean }} [options]
 */
function story({ seconds = 900, nodes = 3, name = 'orders', eventful = true } = {}) {
  const pool = new FakePool(nodes);
  const random = chance(7);
  const end = Date.now();
  const clock = { now: Date.now, performance: performance.now.bind(performance) };
  pool.raw.since = end - seconds * 1_000;
  const base = performance.now();
  /** @type {Feed | undefined} */
  let feed;
  try {
    for (let left = seconds; left >= 0; left--) {
      const at = end - left * 1_000;
      Date.now = () => at;
      performance.now = () => base - left * 1_000;
      const moment = { second: seconds - left, at, random, pool };
      load(moment);
      if (eventful) EVENTS[left]?.(moment);
      if (feed === undefined) feed = new Feed(pool.source(name), { intervalMs: 0x7fff_ffff });
      else feed.look();
    }
  } finally {
    Date.now = clock.now;
    performance.now = clock.performance;
  }
  let second = seconds;
  const next = () => {
    second++;
    load({ second, at: Date.now(), random, pool });
    /** @type {Feed} */ (feed).look();
  };
  return { feed: /** @type {Feed} */ (feed), pool, next, crash: () => crash(pool, Date.now()) };
}

module.exports = { story };
