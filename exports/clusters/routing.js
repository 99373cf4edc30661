'use strict';

// Which node a statement goes to: by its `operation`, else by the cluster's readPreference, and by what it must see.
//
// Nothing here reads SQL. A statement of which nobody has said that it writes is tried where nothing can be written (pool.read: its
// sessions are read-only, whichever node they are on), and "the server decides": what it refuses runs on the primary.

const client = /** @type {any} */ (require('../../client.js'));

const { timedOutAs, watchLimits } = client[Symbol.for('hyperiondb-client.options')];

/** @typedef {import('./members.js').Cluster} Cluster */
/** @typedef {import('./members.js').Unit} Unit */
/** @typedef {{ cluster: Cluster, readPreference: string, consistencyLevel: string | undefined }} Route */
/** @typedef {Record<string, any> | undefined} Limits what the pool takes of the options of a call: timeoutMs, signal, rowMode, types */

/** read_only_sql_transaction: the statement writes. */
const READ_ONLY = '25006';
/**
 * What a standby says of more that only a primary can do. 0A000 feature_not_supported: unlogged tables, serializable transactions; 55000
 * object_not_in_prerequisite_state: functions of the WAL; XX000 internal_error: what the server itself does not expect there, large objects
 * before PostgreSQL 16 and pg_logical_emit_message ("cannot assign TransactionIds during recovery"). They may mean something else; then the
 * primary says the same. A standby that fails has changed nothing.
 */
const ONLY_ON_PRIMARY = new Set([READ_ONLY, '0A000', '55000', 'XX000']);

/** @param {any} error */
const belongsOnPrimary = (error) => ONLY_ON_PRIMARY.has(error?.code);

/** @param {any} error */
const wasWrite = (error) => error?.code === READ_ONLY;

/** How long it is believed which node is the nearest. */
const NEAREST_MS = 1_000;

/** Whether the primary answers sooner than every standby that is fit. @param {Unit} unit */
function primaryIsNearest({ nearest, pool }) {
  const now = performance.now();
  if (now < nearest.until) return nearest.isPrimary;
  /** @type {(role: string) => number} */
  const best = (role) =>
    Math.min(
      ...pool
        .nodes()
        .filter((node) => node.role === role && node.state === 'up' && (role === 'primary' || node.fit))
        .map(({ latencyMs }) => latencyMs ?? Infinity),
    );
  nearest.isPrimary = best('primary') <= best('standby');
  nearest.until = now + NEAREST_MS;
  return nearest.isPrimary;
}

const timedOut = timedOutAs('statement', ', while it waited for the position of earlier writes');

/**
 * Runs a statement where nothing can be written: on a standby if one is fit.
 * @param {Unit} unit
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Limits} limits
 * @param {boolean} followsWrites whether it must see what was written through this object
 * @returns {Promise<any>}
 */
function read({ pool, session }, sql, params, limits, followsWrites) {
  const position = followsWrites ? session.position() : undefined;
  if (position === undefined) return pool.read(sql, /** @type {any} */ (params), limits);
  if (typeof position === 'string') {
    return pool.read(
      sql,
      /** @type {any} */ (params),
      limits === undefined ? { after: position } : { ...limits, after: position },
    );
  }
  return readLater(pool, sql, params, limits ?? {}, position);
}

/**
 * @param {any} pool
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Record<string, any>} limits
 * @param {Promise<string>} position
 */
async function readLater(pool, sql, params, limits, position) {
  // A copy: the caller may change the array meanwhile.
  const given = Array.isArray(params) ? [...params] : params;
  const began = performance.now();
  // The pool refuses it in its own words.
  if (limits.signal?.aborted) return await pool.read(sql, given, limits);
  const { over, stop } = watchLimits(limits, timedOut);
  try {
    const after = await Promise.race([position, over]);
    return await pool.read(sql, given, { ...leftOf(limits, began), after });
  } finally {
    stop();
  }
}

/**
 * Runs a statement on the primary, which may write.
 * @param {Unit} unit
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Limits} limits
 * @param {boolean} isFollowed whether reads are likely to follow it: then its answer brings its position
 * @returns {Promise<any>}
 */
function write(unit, sql, params, limits, isFollowed) {
  return isFollowed
    ? followedWrite(unit, sql, params, limits)
    : unfollowedWrite(unit, unit.pool.query(sql, /** @type {any} */ (params), limits));
}

// The session is looked up when the write has ended: the unit may have been replaced meanwhile.

/** @param {Unit} unit @param {Promise<any>} written */
async function unfollowedWrite(unit, written) {
  try {
    return await written;
  } finally {
    unit.session.lose();
  }
}

/**
 * @param {Unit} unit
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Limits} limits
 */
async function followedWrite(unit, sql, params, limits) {
  try {
    const rows = /** @type {any} */ (
      await unit.pool.query(sql, /** @type {any} */ (params), { ...limits, token: true })
    );
    unit.session.wrote(rows.token);
    return rows;
  } catch (error) {
    unit.session.failed(error);
    throw error;
  }
}

/**
 * Runs a statement on one unit.
 * @param {Unit} unit
 * @param {Route} route
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Record<string, any>} options of the call, checked
 * @param {Limits} limits
 * @returns {Promise<any>} the rows
 */
function runOn(unit, { cluster, readPreference, consistencyLevel }, sql, params, options, limits) {
  const { operation } = options;
  const asksStandbys = operation === 'read' || (operation === undefined && readPreference !== 'primary');
  const level = options.consistencyLevel ?? consistencyLevel ?? (asksStandbys ? 'session' : 'strong');
  const isFollowed = level === 'session';
  if (!asksStandbys || level === 'strong') return write(unit, sql, params, limits, isFollowed);
  if (readPreference === 'nearest' && primaryIsNearest(unit)) {
    return operation === 'read'
      ? readOnPrimary(unit, sql, params, limits)
      : write(unit, sql, params, limits, isFollowed);
  }
  if (operation === 'read') return read(unit, sql, params, limits, isFollowed);
  const began = limits?.timeoutMs ? performance.now() : 0;
  return cluster.writeTexts.run(
    sql,
    () => read(unit, sql, params, limits, isFollowed),
    () => write(unit, sql, params, leftOf(limits, began), isFollowed),
    belongsOnPrimary,
  );
}

/** The limits with what is left of the time of a call that has waited already. @param {Limits} limits @param {number} began */
function leftOf(limits, began) {
  if (!limits?.timeoutMs) return limits;
  return { ...limits, timeoutMs: Math.max(1, Math.ceil(limits.timeoutMs - (performance.now() - began))) };
}

/**
 * What a call is that names nothing but its schema or cluster, if one statement is enough for it: 'write', 'read', or null.
 * @param {Route} route
 * @param {string} sql
 */
function directly({ cluster, readPreference, consistencyLevel }, sql) {
  if (readPreference === 'primary') return consistencyLevel === 'session' ? null : 'write';
  if (readPreference === 'nearest' || consistencyLevel === 'strong') return null;
  return cluster.writeTexts.isRead(sql) ? 'read' : null;
}

/**
 * Runs a statement on one unit where nothing can be written: a write is refused with 25006.
 * @param {Unit} unit
 * @param {Route} route
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Record<string, any>} options of the call, checked
 * @param {Limits} limits
 * @returns {Promise<any>} the rows
 */
function readOn(unit, { readPreference, consistencyLevel }, sql, params, options, limits) {
  const asksStandbys = options.operation === 'read' || readPreference !== 'primary';
  const level = options.consistencyLevel ?? consistencyLevel ?? (asksStandbys ? 'session' : 'strong');
  if (asksStandbys && level !== 'strong' && !(readPreference === 'nearest' && primaryIsNearest(unit))) {
    return read(unit, sql, params, limits, level === 'session');
  }
  return readOnPrimary(unit, sql, params, limits);
}

/**
 * Runs a statement on the primary, where it cannot write.
 * @param {Unit} unit
 * @param {string} sql
 * @param {readonly unknown[] | undefined} params
 * @param {Limits} limits
 * @returns {Promise<any>}
 */
function readOnPrimary(unit, sql, params, limits) {
  const { timeoutMs, signal } = limits ?? {};
  return unit.pool.transaction((tx) => tx.query(sql, /** @type {any} */ (params), limits), {
    readOnly: true,
    timeoutMs,
    signal,
  });
}

module.exports = { belongsOnPrimary, directly, leftOf, read, readOn, runOn, wasWrite, write };
