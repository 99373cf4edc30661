'use strict';

// One look at a unit: whether it accepts writes, and what its pool knows of its nodes.

const { setTimeout: sleep } = require('node:timers/promises');
const { HyperionError, PoolClosedError } = require('../../client.js');

/** @typedef {import('../../client.js').Pool} Pool */
/** @typedef {import('../../client.js').NodeStatus} NodeStatus */
/** @typedef {import('./index.d.ts').NodeHealth} NodeHealth */
/** @typedef {{ name: string, clusterId: string, shard: number | null, pool: Pool }} Unit */
/** @typedef {{ unit: Unit, primary: string | null, reason: string | null, nodes: Omit<NodeHealth, 'failureCount'>[] }} UnitHealth */
/**
 * @typedef {object} Asking
 * @property {AbortSignal} signal ends the look
 * @property {Map<string, Promise<void>>} asked the last statement to each unit. One that is still being cancelled is waited for, or they
 *   would pile up in the pool of a server that is frozen.
 */

/** It has a row where writes are accepted: a standby has none, nor has a fenced primary (default_transaction_read_only). */
const PROBE = "SELECT 1 WHERE pg_catalog.current_setting('transaction_read_only') = 'off'";

/** The time between two glances at what a new pool has found out of its nodes. */
const GLANCE_MS = 10;

/** @param {{ host: string, port: number }} node */
const addressOf = ({ host, port }) => `${host}:${port}`;

/** Whether the pool has an answer of the node, or has met a reason why there is none. @param {NodeStatus} status */
const isKnown = ({ role, lastError }) => role !== 'unknown' || lastError !== null;

/**
 * Whether the statement failed for want of a connection alone. The primary is up by the monitor, which has a connection of its own.
 * @param {Pool} pool
 * @param {any} error
 */
function isBusy(pool, error) {
  if (error.code !== '57014' && error.code !== 'ERR_ACQUIRE_TIMEOUT') return false;
  const { maxSize, inUse } = pool.status();
  return inUse >= maxSize && pool.nodes().some(isPrimary);
}

/** @param {NodeStatus} status */
const isPrimary = ({ role, state, latencyMs }) => role === 'primary' && state === 'up' && latencyMs !== null;

/**
 * The node that accepts writes.
 * @param {Unit} unit
 * @param {number} timeoutMs
 * @param {Asking} asking
 */
async function findPrimary({ name, pool }, timeoutMs, { signal, asked }) {
  const ends = performance.now() + timeoutMs;
  await asked.get(name);
  const left = Math.ceil(ends - performance.now());
  if (left < 1 || signal.aborted) throw new HyperionError('', '57014');
  const limits = { timeoutMs: left, signal, readOnly: true };
  // Outside: healthCheck() may be called within a transaction of this pool that the statement would join (`ambient`).
  const answer = pool.outside(() => pool.query(PROBE, [], limits));
  asked.set(
    name,
    answer.then(
      () => {},
      () => {},
    ),
  );
  const { rowCount, node } = await answer;
  if (rowCount === 1) return /** @type {string} */ (node);
  throw new HyperionError(`${node} accepts no writes`, '25006');
}

/**
 * Settles as `work` does, but rejects when the time is up or `signal` fires. The pool alone takes longer for that: it waits for up to
 * connectTimeoutMs until the server has taken the cancellation, which a frozen one does not.
 * @template T
 * @param {Promise<T>} work
 * @param {number} timeoutMs
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
function within(work, timeoutMs, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new PoolClosedError());
    const timer = setTimeout(() => reject(new HyperionError('', '57014')), timeoutMs);
    signal.addEventListener('abort', stop, { once: true });
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
    work.finally(settle).then(resolve, reject);
  });
}

/**
 * A new pool has not heard of all nodes when its primary has answered. A node that does not answer is waited for until the time is up.
 * @param {Pool} pool
 * @param {number} timeoutMs
 * @param {AbortSignal} signal
 */
async function untilAllKnown(pool, timeoutMs, signal) {
  const begun = performance.now();
  const isOver = () => signal.aborted || performance.now() - begun >= timeoutMs;
  while (!pool.nodes().every(isKnown) && !isOver()) await sleep(GLANCE_MS);
}

/**
 * @param {NodeStatus} status
 * @param {Unit} unit
 * @param {string | null} reason why the unit accepts no writes
 */
function healthOf(status, { shard }, reason) {
  const { role, state, latencyMs, lagBytes, lastError } = status;
  const isHealthy = state === 'up' && (reason === null || role !== 'primary');
  return {
    node: addressOf(status),
    ...(shard === null ? {} : { shard }),
    role,
    healthy: isHealthy,
    responseTime: latencyMs,
    lagBytes,
    error: isHealthy ? null : (lastError ?? (state === 'fenced' ? 'accepts no writes' : (reason ?? 'does not answer'))),
  };
}

/**
 * Why there is no primary, with what the servers have said.
 * @param {Unit} unit
 * @param {any} error
 * @param {number} timeoutMs
 */
function reasonOf({ name, shard, pool }, error, timeoutMs) {
  const said = error.code === '57014' ? `no answer within ${timeoutMs} ms` : String(error.message);
  const nodes = pool
    .nodes()
    .filter(({ lastError }) => lastError !== null && !said.includes(lastError))
    .map((status) => `${addressOf(status)}: ${status.lastError}`);
  return `${shard === null ? '' : `${name}: `}${said}${nodes.length === 0 ? '' : ` (${nodes.join('; ')})`}`;
}

/**
 * @param {Unit} unit
 * @param {number} timeoutMs
 * @param {Asking} asking
 * @returns {Promise<{ primary: string } | { primary: null, reason: string }>}
 */
async function primaryOf(unit, timeoutMs, asking) {
  try {
    return { primary: await within(findPrimary(unit, timeoutMs, asking), timeoutMs, asking.signal) };
  } catch (error) {
    const primary = isBusy(unit.pool, error) ? unit.pool.nodes().find(isPrimary) : undefined;
    if (primary !== undefined) return { primary: addressOf(primary) };
    return { primary: null, reason: reasonOf(unit, error, timeoutMs) };
  }
}

/**
 * @param {Unit} unit
 * @param {number} timeoutMs
 * @param {Asking} asking
 * @returns {Promise<UnitHealth>}
 */
async function lookAt(unit, timeoutMs, asking) {
  const [found] = await Promise.all([
    primaryOf(unit, timeoutMs, asking),
    untilAllKnown(unit.pool, timeoutMs, asking.signal),
  ]);
  const reason = found.primary === null ? found.reason : null;
  const nodes = unit.pool.nodes().map((status) => healthOf(status, unit, reason));
  return { unit, primary: found.primary, reason, nodes };
}

module.exports = { lookAt };
