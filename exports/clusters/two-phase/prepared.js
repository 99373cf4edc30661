'use strict';

// Prepared transactions: their identifiers, which there are on a cluster, and their end.

const { ask, persist, spare } = require('./asking.js');
const { DURABLE } = require('./decision-table.js');
const { NOT_IN_STATE, UNDEFINED_OBJECT, mayPass } = require('./errors.js');

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {{ unit: Unit, gid: string, id: string, age: number }} Prepared `age`: in ms, by the clock of its server */

const END = Symbol.for('hyperiondb-client.endPrepared');

/** What all identifiers of this package begin with. */
const FAMILY = 'hdb:';

/**
 * The identifier of a transaction's part on one participant. Each part has its own: two participants may be databases of one server,
 * which knows an identifier once.
 * @param {string} coordinator
 * @param {string} id
 * @param {number} part its place in the list of participants
 */
const gidOf = (coordinator, id, part) => `${FAMILY}${coordinator}:${id}.${part}`;

/**
 * The id of the transaction to which an identifier belongs; undefined: not one of this coordinator.
 * @param {string} coordinator
 * @param {string} gid
 */
function idOf(coordinator, gid) {
  const prefix = `${FAMILY}${coordinator}:`;
  return gid.startsWith(prefix) ? /^([0-9a-f]{24})\.\d+$/.exec(gid.slice(prefix.length))?.[1] : undefined;
}

/** Those of other databases of the server can be ended only there. */
const LIST = `SELECT gid::text AS gid,
  (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - prepared) * 1000)::text AS age
FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared`;

/**
 * What is prepared on a unit.
 * @param {Unit} unit
 * @param {string | undefined} coordinator undefined: none of them is ours
 * @param {number} until
 * @param {() => boolean} isOver
 * @returns {Promise<{ own: Prepared[], foreign: number }>}
 */
async function listPrepared(unit, coordinator, until, isOver) {
  const rows = await persist((timeoutMs) => ask(unit, LIST, [], timeoutMs), until, { isOver });
  /** @type {Prepared[]} */
  const own = [];
  for (const { gid, age } of rows) {
    const id = coordinator === undefined ? undefined : idOf(coordinator, gid);
    if (id !== undefined) own.push({ unit, gid, id, age: Number(age) });
  }
  return { own, foreign: rows.length - own.length };
}

/** A transaction that writes nothing but a record of the WAL, so that its COMMIT waits for the standby. */
const TOUCH = `SELECT pg_catalog.pg_logical_emit_message(true, 'hyperiondb-client', '')::text AS position, ${DURABLE} AS durability`;

/**
 * Resolves when all that the unit has committed so far is safe from a failover. If COMMIT PREPARED was carried out and did not wait for the
 * standby, the standby still has the transaction as a prepared one, and needs the decision.
 * @param {Unit} unit
 * @param {number} until
 */
async function untilReplicated(unit, until) {
  try {
    await persist((timeoutMs) => ask(unit, TOUCH, [], timeoutMs), until);
  } catch (/** @type {any} */ error) {
    // A service may have taken the function away from its users (42501): nothing else tells.
    if (error.code !== '42501') throw error;
  }
}

const SETTINGS = `SELECT pg_catalog.current_setting('max_prepared_transactions') AS most,
  (pg_catalog.current_setting('synchronous_commit') IN ('on', 'remote_apply'))::text AS waits`;

/** @typedef {{ canPrepare: boolean, waits: boolean }} Settings `waits`: COMMIT waits for the disk, and for a standby if it is to */

/** Those of the servers behind pools, which are asked once. @type {WeakMap<object, Settings>} */
const known = new WeakMap();

/**
 * What the sessions of a unit have set.
 * @param {Unit} unit
 * @returns {Promise<Settings>}
 */
async function settingsOf(unit) {
  const before = known.get(unit.pool);
  if (before !== undefined) return before;
  const [{ most, waits }] = await ask(unit, SETTINGS, []);
  const settings = { canPrepare: Number(most) > 0, waits: waits === 'true' };
  // What is not enough is looked at again: somebody may have changed it.
  if (settings.canPrepare) known.set(unit.pool, settings);
  return settings;
}

/** @param {any} error `busy`: another process is ending it, and has it ended a moment later */
const isPassing = (error) => mayPass(error) || error.code === NOT_IN_STATE;

/**
 * Ends a prepared transaction on one unit. Resolves when it is ended, by whomever; rejects when it may still be there.
 * @param {Unit} unit
 * @param {'COMMIT' | 'ROLLBACK'} how
 * @param {string} gid
 * @param {number} until
 * @param {() => boolean} [isOver]
 * @returns {Promise<boolean>} whether this call has ended it; if not, somebody else had
 */
async function endPrepared(unit, how, gid, until, isOver) {
  const { pool } = unit;
  const attempt = (/** @type {number} */ timeoutMs) => pool.outside(() => spare(pool)[END](how, gid, { timeoutMs }));
  let isOurs = true;
  try {
    await persist(attempt, until, { again: isPassing, isOver });
  } catch (/** @type {any} */ error) {
    if (error.code !== UNDEFINED_OBJECT) throw error;
    isOurs = false;
  }
  if (how === 'COMMIT') {
    const hasWaited = isOurs && (await settingsOf(unit).catch(() => ({ waits: false }))).waits;
    if (!hasWaited) await untilReplicated(unit, until);
  }
  return isOurs;
}

module.exports = { endPrepared, gidOf, listPrepared, settingsOf };
