'use strict';

// migrate() applies migrations to clusters and shards; migrationStatus() says what is applied where.

const client = /** @type {any} */ (require('../../../client.js'));
const { applyMigration } = require('./apply.js');
const { pendingOf, problemsOf } = require('./comparison.js');
const { refusal } = require('./errors.js');
const { readMigrations } = require('./files.js');
const { checkTable, findTable, readTable } = require('./ledger.js');
const { left, limitsFrom } = require('./limits.js');
const { underLock } = require('./lock.js');

const { HyperionError, ParameterError } = client;

/** @typedef {import('./files.js').Migration} Migration */
/** @typedef {import('./lock.js').Work} Work */
/** @typedef {{ name: string, pool: import('../../../client.js').Pool }} Unit */
/** @typedef {{ type: 'waiting' | 'begun' | 'applied', unit: string, name: string | null, durationMs?: number }} MigrationEvent */
/**
 * @typedef {object} MigrateOptions
 * @property {Unit[]} units
 * @property {string} [directory] with files `NNN_name.sql`
 * @property {{ name: string, sql: string }[]} [migrations] instead of it
 * @property {string} [table] where each database has what was applied; default: `hyperiondb_migrations`
 * @property {boolean} [dryRun] nothing is applied
 * @property {AbortSignal} [signal]
 * @property {number} [timeoutMs] for all of it
 * @property {(event: MigrationEvent) => void} [onEvent] what it throws is swallowed
 */
/** @typedef {{ unit: string, name: string }} Pending */
/** @typedef {{ applied: { unit: string, name: string, durationMs: number }[], skipped: number, pending: Pending[] }} Migrated */

const TABLE = 'hyperiondb_migrations';
const MEMBERS = new Set(['units', 'directory', 'migrations', 'table', 'dryRun', 'signal', 'timeoutMs', 'onEvent']);
/** The largest delay of a timer. */
const MAX_MS = 0x7fff_ffff;

/** @param {Record<string, unknown>} options @param {ReadonlySet<string>} known */
function checkOptions(options, known) {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw new ParameterError(`unknown option '${name}': there are ${[...known].join(', ')}`);
  }
  const { units, signal, timeoutMs, dryRun, onEvent } = /** @type {any} */ (options);
  if (!Array.isArray(units) || units.length === 0) throw new ParameterError('units must name at least one');
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new ParameterError('signal must be an AbortSignal');
  if (timeoutMs !== undefined && !(Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_MS)) {
    throw new ParameterError(`timeoutMs must be an integer from 1 to ${MAX_MS}`);
  }
  if (dryRun !== undefined && typeof dryRun !== 'boolean') throw new ParameterError('dryRun must be a boolean');
  if (onEvent !== undefined && typeof onEvent !== 'function') throw new ParameterError('onEvent must be a function');
}

/**
 * What each unit needs.
 * @param {MigrateOptions} options checked
 * @param {Migration[]} migrations
 * @returns {Work[]}
 */
function worksOf({ units, table = TABLE, onEvent = () => {}, ...options }, migrations) {
  const limits = limitsFrom(options);
  const emit = (/** @type {any} */ event) => {
    try {
      onEvent(event);
    } catch {
      // It only observes.
    }
  };
  return units.map((unit) => ({ unit, migrations, table: checkTable(table), limits, emit }));
}

/** What a unit has, without its lock. @param {Work} work */
async function appliedOf({ unit: { pool }, table, limits }) {
  return pool.outside(async () => readTable(pool, await findTable(pool, table, left(limits)), left(limits)));
}

/**
 * What a unit has. A migration that is `begun` may be under way in another process, which then has the lock.
 * @param {Work} work
 */
async function certainlyAppliedOf(work) {
  const applied = await appliedOf(work);
  if (applied.every(({ state }) => state === 'applied')) return applied;
  return underLock(work, async (_, held) => held.applied);
}

/** What each host has said, where no node could be used. @param {{ nodes?: { host: string, port: number, reason: string }[] }} error */
const reasonsOf = ({ nodes = [] }) =>
  nodes.length === 0 ? '' : ` (${nodes.map(({ host, port, reason }) => `${host}:${port}: ${reason}`).join('; ')})`;

/** @param {Work} work */
async function examine(work) {
  const { unit, migrations } = work;
  try {
    const applied = await certainlyAppliedOf(work);
    return { work, problems: problemsOf(unit.name, migrations, applied), pending: pendingOf(migrations, applied) };
  } catch (/** @type {any} */ cause) {
    if (!(cause instanceof HyperionError) || ['ABORT_ERR', 'ERR_INVALID_PARAM'].includes(cause.code)) throw cause;
    const message = `${unit.name}: it cannot be told what is applied: ${cause.message}${reasonsOf(cause)}`;
    const code = /** @type {const} */ ('ERR_MIGRATION_UNREACHABLE');
    return { work, problems: [{ unit: unit.name, number: null, name: null, code, message, cause }], pending: [] };
  }
}

/**
 * Applies to each unit what it does not have, in the order of numbers. Nothing is applied anywhere unless all units can be asked and
 * agree with the files.
 * @param {MigrateOptions} options
 * @returns {Promise<Migrated>}
 */
async function migrate(options) {
  checkOptions(/** @type {any} */ (options), MEMBERS);
  const migrations = await readMigrations(options);
  const examined = await Promise.all(worksOf(options, migrations).map(examine));
  const problems = examined.flatMap((one) => one.problems);
  if (problems.length > 0) throw refusal(problems, '; nothing was applied');
  const pending = migrations.flatMap(({ number, name }) =>
    examined
      .filter((one) => one.pending.some((missing) => missing.number === number))
      .map(({ work }) => ({ unit: work.unit.name, name })),
  );
  /** @type {Migrated} */
  const result = { applied: [], skipped: migrations.length * examined.length - pending.length, pending: [] };
  if (options.dryRun) return { ...result, pending };
  for (const migration of migrations) {
    const works = examined.filter((one) => one.pending.includes(migration)).map(({ work }) => work);
    await applyToAll(works, migration, result);
  }
  return result;
}

/**
 * The first unit goes ahead: what is wrong with a migration itself is met there, before the others have it. They follow side by side.
 * @param {Work[]} works
 * @param {Migration} migration
 * @param {Migrated} result
 */
async function applyToAll([first, ...others], migration, result) {
  if (first === undefined) return;
  const apply = async (/** @type {Work} */ work) => {
    const { isNew, durationMs } = await applyMigration(work, migration);
    const done = { unit: work.unit.name, name: migration.name, durationMs };
    if (isNew) result.applied.push(done);
    else result.skipped++;
    if (isNew) work.emit({ type: 'applied', ...done });
  };
  const settled = await Promise.allSettled([apply(first)]);
  if (settled[0].status === 'fulfilled') settled.push(...(await Promise.allSettled(others.map(apply))));
  const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  if (failures.length === 0) return;
  const [error, ...more] = failures;
  throw Object.assign(error, { applied: result.applied, ...(more.length > 0 ? { others: more } : {}) });
}

/** @typedef {'applied' | 'pending' | 'begun' | 'changed' | 'missing' | 'out of order' | 'ahead'} State */
/** @typedef {{ name: string, state: State, appliedAt: string | null, durationMs: number | null }} MigrationState */
/** @typedef {{ unit: string, error: Error | null, migrations: MigrationState[] }} UnitStatus */

/** @type {Record<string, State>} */
const STATES = {
  ERR_MIGRATION_CHANGED: 'changed',
  ERR_MIGRATION_MISSING: 'missing',
  ERR_MIGRATION_ORDER: 'out of order',
  ERR_MIGRATION_BEGUN: 'begun',
};

/** @param {Work} work @returns {Promise<UnitStatus>} */
async function statusOf(work) {
  const { unit, migrations } = work;
  try {
    const applied = await appliedOf(work);
    const codes = new Map(problemsOf(unit.name, migrations, applied).map(({ number, code }) => [number, code]));
    const files = new Set(migrations.map(({ number }) => number));
    const state = (/** @type {bigint} */ number, /** @type {State} */ otherwise) =>
      STATES[codes.get(number) ?? ''] ?? otherwise;
    const all = [
      ...applied.map(({ number, name, appliedAt, durationMs }) => ({
        ...{ number, name, state: state(number, files.has(number) ? 'applied' : 'ahead'), appliedAt, durationMs },
      })),
      ...pendingOf(migrations, applied).map(({ number, name }) => ({
        ...{ number, name, state: state(number, 'pending'), appliedAt: null, durationMs: null },
      })),
    ].sort((a, b) => (a.number < b.number ? -1 : 1));
    return { unit: unit.name, error: null, migrations: all.map(({ number: _, ...one }) => one) };
  } catch (/** @type {any} */ error) {
    if (!(error instanceof HyperionError) || ['ABORT_ERR', 'ERR_INVALID_PARAM'].includes(error.code)) throw error;
    return { unit: unit.name, error, migrations: [] };
  }
}

/**
 * What is applied where. Nothing is changed, and a unit that cannot be asked is no failure of the others.
 * @param {Omit<MigrateOptions, 'dryRun' | 'onEvent'>} options
 * @returns {Promise<UnitStatus[]>}
 */
async function migrationStatus(options) {
  const known = new Set([...MEMBERS].filter((name) => name !== 'dryRun' && name !== 'onEvent'));
  checkOptions(/** @type {any} */ (options), known);
  const migrations = await readMigrations(options);
  return Promise.all(worksOf(options, migrations).map(statusOf));
}

module.exports = { migrate, migrationStatus };
