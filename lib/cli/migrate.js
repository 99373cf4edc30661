'use strict';

// `migrate`: applies migrations to one cluster, or to the clusters and shards of a configuration. migrations-page.js makes the text.

const fs = require('node:fs/promises');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { MultiClusterPostgres } = /** @type {any} */ (require('../../exports/clusters/index.js'));
const { migrate, migrationStatus } = require('../../exports/clusters/migrations/index.js');
const { HyperionError, OptionError, ParameterError } = require('../errors.js');
const { parseOptions } = require('../options/options.js');
const { UsageError } = require('./arguments.js');
const { label } = require('./format.js');
const { eventLine, failureLines, resultLines, statusLines } = require('./migrations-page.js');

/** @typedef {import('./arguments.js').Arguments} Arguments */
/** @typedef {import('./arguments.js').Migrating} Migrating */
/** @typedef {Awaited<ReturnType<typeof migrate>>} Migrated */
/** @typedef {Awaited<ReturnType<typeof migrationStatus>>} Status */
/**
 * What migrates: of a pool, or of a MultiClusterPostgres.
 * @typedef {object} Target
 * @property {(options: any) => Promise<Migrated>} migrate
 * @property {(options: any) => Promise<Status>} migrationStatus
 * @property {() => Promise<unknown>} end
 */

/** One holds the lock while another runs what cannot run in a transaction. */
const CONNECTIONS = 2;

/**
 * @param {Arguments} asked
 * @param {(options: import('../../client.js').PoolOptions) => import('../../client.js').Pool} openPool
 * @param {{ out: NodeJS.WritableStream, colors: boolean }} surroundings
 * @returns {Promise<number>} the exit code
 */
async function migrateClusters(asked, openPool, { out, colors }) {
  const { directory, task } = /** @type {Migrating} */ (asked.migrating);
  const { json, table } = asked;
  const print = (/** @type {string[]} */ lines) => out.write(lines.map((line) => `${line}\n`).join(''));
  const onEvent = (/** @type {any} */ event) => json || print([eventLine(event)]);
  const what = { directory, ...(table === undefined ? {} : { table }) };
  /** @type {Target | undefined} */
  let target;
  try {
    target = await targetOf(asked, openPool);
    if (task === 'look') {
      const units = await target.migrationStatus(what);
      print(json ? [JSON.stringify({ units: units.map(plainStatus) }, null, 2)] : statusLines(units, colors));
      return units.every(isUpToDate) ? 0 : 1;
    }
    const result = await target.migrate({ ...what, dryRun: task === 'rehearse', onEvent });
    print(json ? [JSON.stringify(result, null, 2)] : resultLines(result, task));
    return 0;
  } catch (error) {
    if (error instanceof OptionError || error instanceof ParameterError) throw new UsageError(error.message);
    if (!(error instanceof HyperionError)) throw error;
    if (json) print([JSON.stringify(plainError(error), null, 2)]);
    else
      process.stderr.write(
        failureLines(error)
          .map((line) => `${line}\n`)
          .join(''),
      );
    return 1;
  } finally {
    await target?.end();
  }
}

/**
 * @param {Arguments} asked
 * @param {(options: import('../../client.js').PoolOptions) => import('../../client.js').Pool} openPool
 * @returns {Promise<Target>}
 */
async function targetOf({ pool: options, migrating }, openPool) {
  const { config, clusters, schemas } = /** @type {Migrating} */ (migrating);
  if (config === undefined) {
    const pool = openPool({ ...options, poolSize: CONNECTIONS, applicationName: 'hyperiondb-client migrate' });
    const units = [{ name: parseOptions(options).hosts.map(label).join(), pool }];
    return {
      migrate: (what) => migrate({ ...what, units }),
      migrationStatus: (what) => migrationStatus({ ...what, units }),
      end: () => pool.end(),
    };
  }
  const configuration = await readConfiguration(config);
  // Nothing of it is needed here: no table of decisions, nothing that looks again and again.
  const multi = new MultiClusterPostgres({ enableCache: false, enableMetrics: false, enableTransactions: false });
  await multi.initialize(configuration);
  const chosen = { ...(clusters === undefined ? {} : { clusters }), ...(schemas === undefined ? {} : { schemas }) };
  return {
    migrate: (what) => multi.migrate({ ...what, ...chosen }),
    migrationStatus: (what) => multi.migrationStatus({ ...what, ...chosen }),
    end: () => multi.close(),
  };
}

/**
 * The configuration in a file. An error of its syntax quotes the text, which has passwords: it is not repeated.
 * @param {string} file
 * @returns {Promise<Record<string, any>>}
 */
async function readConfiguration(file) {
  if (!/\.(json|[cm]?js)$/.test(file)) throw new UsageError('--config must be a .json, .js, .cjs or .mjs file');
  let found;
  try {
    found = file.endsWith('.json') ? JSON.parse(await fs.readFile(file, 'utf8')) : await exported(file);
  } catch (/** @type {any} */ error) {
    const why = error instanceof SyntaxError ? 'its syntax is wrong' : (error.code ?? error.message);
    throw new UsageError(`--config cannot be read: ${why}`);
  }
  if (typeof found !== 'object' || found === null || Array.isArray(found)) {
    throw new UsageError('--config must have an object: what MultiClusterPostgres.initialize() takes');
  }
  return found;
}

/** What a module exports: its default, else what it names. @param {string} file */
async function exported(file) {
  const module = await import(pathToFileURL(path.resolve(file)).href);
  return module.default ?? module;
}

/** @param {Status[number]} status */
const isUpToDate = ({ error, migrations }) =>
  error === null && migrations.every(({ state }) => state === 'applied' || state === 'ahead');

/** @param {Status[number]} status */
const plainStatus = ({ error, ...status }) => ({ ...status, error: error === null ? null : error.message });

/** @param {any} error */
function plainError({ code, message, unit, migration, line, column, outcome, problems, applied }) {
  return { error: { code, message, unit, migration, line, column, outcome, problems }, applied: applied ?? [] };
}

module.exports = { migrateClusters };
