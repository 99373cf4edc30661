'use strict';

// The two drivers of SQLite behind one face: node:sqlite, where Node has it with all that is needed (22.16, 24), and the optional
// better-sqlite3. Both run in the thread of the caller. Rows arrive as arrays, integers as BigInts.

const { HyperionError } = require('../../errors.js');

/**
 * @typedef {object} DriverStatement
 * @property {() => readonly { name: string, type: string | null }[]} columns as of the last run; none: it returns no rows
 * @property {(params: readonly unknown[]) => unknown[][]} all
 * @property {(params: readonly unknown[]) => unknown[] | undefined} get
 * @property {(params: readonly unknown[]) => number} run returns the number of changed rows
 */

/**
 * @typedef {object} Connection
 * @property {(sql: string) => DriverStatement} prepare the first statement of a text
 * @property {(script: string) => void} exec
 * @property {() => boolean} inTransaction
 * @property {() => void} close
 */

/** @typedef {(file: string, readOnly: boolean) => Connection} Open */

/** Requires node:sqlite without the warning that it is experimental: who opens a database with it has chosen it. */
function requireQuietly() {
  const { emitWarning } = process;
  process.emitWarning = /** @type {any} */ (
    (/** @type {any} */ warning, /** @type {any[]} */ ...rest) => {
      if (!(rest[0] === 'ExperimentalWarning' && /SQLite/.test(String(warning))))
        emitWarning.call(process, warning, ...rest);
    }
  );
  try {
    // @ts-expect-error: the types are those of Node 20, which does not have it.
    return require('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}

const isNode22 = process.versions.node.startsWith('22.');

/** @returns {Open | null} */
function nodeSqlite() {
  /** @type {any} */
  let sqlite;
  try {
    sqlite = requireQuietly();
  } catch {
    return null;
  }
  const { DatabaseSync, StatementSync } = sqlite;
  if (!('setReturnArrays' in StatementSync.prototype && 'columns' in StatementSync.prototype)) return null;
  return (file, readOnly) => {
    const db = new DatabaseSync(file, { readOnly });
    const changes = lazily(() => db.prepare('SELECT changes() AS n'));
    const inTransaction =
      'isTransaction' in db
        ? () => db.isTransaction
        : () => !canBegin(/** @param {string} sql */ (sql) => db.exec(sql));
    return {
      prepare(sql) {
        const statement = db.prepare(sql);
        statement.setReadBigInts(true);
        statement.setReturnArrays(true);
        const returnsRows = statement.columns().length > 0;
        // all() of Node 22 counts the columns before it runs the statement, and another process may have added some.
        const all = (/** @type {readonly unknown[]} */ params) =>
          isNode22 ? Array.from(statement.iterate(...params)) : statement.all(...params);
        return {
          columns: () => statement.columns(),
          all,
          get: (params) => statement.get(...params),
          run(params) {
            if (!returnsRows) return Number(statement.run(...params).changes);
            all(params);
            return changes().get().n;
          },
        };
      },
      exec: (script) => db.exec(script),
      inTransaction,
      close: () => db.close(),
    };
  };
}

/** Whether BEGIN succeeds: no transaction is open. @param {(sql: string) => void} exec */
function canBegin(exec) {
  try {
    exec('BEGIN');
  } catch {
    return false;
  }
  exec('ROLLBACK');
  return true;
}

/** @returns {Open | null} */
function betterSqlite3() {
  /** @type {any} */
  let Database;
  try {
    // @ts-expect-error: the package is optional, and has no types of its own.
    Database = require('better-sqlite3');
    // The package is there without its binary where install scripts do not run.
    new Database(':memory:').close();
  } catch {
    return null;
  }
  return (file, readOnly) => {
    const db = new Database(file, { readonly: readOnly, fileMustExist: readOnly, timeout: 0 });
    const changes = lazily(() => db.prepare('SELECT changes()').pluck());
    return {
      prepare(sql) {
        const statement = db.prepare(sql);
        if (!statement.reader) {
          const run = (/** @type {readonly unknown[]} */ params) => statement.run(...params).changes;
          /** @param {readonly unknown[]} params @returns {unknown[][]} */
          const all = (params) => {
            run(params);
            return [];
          };
          return { columns: () => [], all, get: (params) => all(params)[0], run };
        }
        statement.raw(true).safeIntegers(true);
        return {
          columns: () => statement.columns(),
          all: (params) => statement.all(...params),
          get: (params) => statement.get(...params),
          run(params) {
            statement.all(...params);
            return changes().get();
          },
        };
      },
      exec: (script) => db.exec(script),
      inTransaction: () => db.inTransaction,
      close: () => db.close(),
    };
  };
}

/** @template T @param {() => T} make @returns {() => T} */
function lazily(make) {
  /** @type {T | undefined} */
  let made;
  return () => {
    made ??= make();
    return made;
  };
}

/** In the order in which they are tried. @type {Readonly<Record<string, () => Open | null>>} */
const DRIVERS = { 'node:sqlite': nodeSqlite, 'better-sqlite3': betterSqlite3 };

/**
 * The driver that was asked for, else the first that is there.
 * @param {string} [wanted]
 * @returns {Open}
 */
function driverOf(wanted) {
  for (const [name, load] of Object.entries(DRIVERS)) {
    const open = wanted === undefined || wanted === name ? load() : null;
    if (open !== null) return open;
  }
  const what = wanted === undefined ? 'no driver of SQLite is there' : `the driver ${wanted} is not there`;
  throw new HyperionError(
    `${what}: use Node 22.16 or later, which has node:sqlite, or install better-sqlite3 (npm install better-sqlite3)`,
    'ERR_NO_SQLITE',
  );
}

module.exports = { driverOf };
