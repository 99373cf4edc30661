'use strict';

// openDatabase(): one small face over PostgreSQL and SQLite, for programs that run on either. docs/sqlite-and-postgres.md tells what
// is alike and what is not.
//
// This file knows what was called where: a call within the function of a transaction joins it by an AsyncLocalStorage of the
// database. How a statement runs is the engine's business (postgres.js, sqlite.js).

const { AsyncLocalStorage } = require('node:async_hooks');
const { ParameterError, PoolClosedError, located } = require('../../errors.js');
const { callOptions } = require('../../options/call-options.js');
const { DATABASE, DATABASE_TRANSACTION } = require('../../options/database-rows.js');
const { Pool } = require('../pool.js');
const { PostgresEngine, openPostgres } = require('./postgres.js');
const { Scope, runIn, savepoint } = require('./scope.js');
const { openSqlite } = require('./sqlite.js');
const { Statement, checkControl, checkText } = require('./statement.js');

/** @typedef {import('./scope.js').Session} Session */

/**
 * @typedef {object} Engine
 * @property {'postgres' | 'sqlite'} name
 * @property {(sql: string) => import('./placeholders.js').Translation} translate
 * @property {(statement: Statement, params: readonly unknown[]) => readonly unknown[]} bind checks parameters, before any waiting
 * @property {<T>(work: (session: Session) => Promise<T>) => Promise<T>} run
 * @property {<T>(body: (session: Session) => Promise<T>) => Promise<T>} transaction
 * @property {() => Promise<void>} close
 */

/** How many statements prepare() remembers: programs call it again and again with the same few texts. */
const MOST_STATEMENTS = 500;

class Database {
  #engine;
  /** @type {AsyncLocalStorage<Scope>} */
  #storage = new AsyncLocalStorage();
  /** @type {Map<string, Statement>} */
  #statements = new Map();
  /** @type {Promise<void> | undefined} */
  #closed;

  /** @param {Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /** Which database this is. */
  get engine() {
    return this.#engine.name;
  }

  /**
   * A statement with `?` or `$1` for its parameters. Nothing is sent.
   * @param {string} sql
   */
  prepare(sql) {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    checkControl(checkText(sql, 'sql'));
    const statement = new Statement(this.#engine.translate(sql), (...call) => this.#execute(...call));
    if (this.#statements.size >= MOST_STATEMENTS) {
      this.#statements.delete(/** @type {string} */ (this.#statements.keys().next().value));
    }
    this.#statements.set(sql, statement);
    return statement;
  }

  /**
   * @param {import('./statement.js').Kind} kind
   * @param {Statement} statement
   * @param {readonly unknown[]} params
   */
  async #execute(kind, statement, params) {
    try {
      statement.check(params);
      const values = this.#engine.bind(statement, params);
      return await this.#run((session) => session.execute(kind, statement, values));
    } catch (error) {
      throw located(error);
    }
  }

  /**
   * Runs work in the transaction of the caller, or outside of any.
   * @template T
   * @param {(session: Session) => Promise<T>} work
   */
  #run(work) {
    const scope = this.#scope();
    return scope === undefined ? this.#engine.run(work) : scope.run(work);
  }

  /** The transaction within whose function the caller is. One that has begun before close() may go on. */
  #scope() {
    const scope = this.#storage.getStore();
    scope?.checkOpen();
    if (scope === undefined && this.#closed !== undefined) throw new PoolClosedError('the database is closed');
    return scope;
  }

  /**
   * Runs a script of any number of statements, as one transaction.
   * @param {string} script
   */
  async exec(script) {
    try {
      checkText(script, 'script');
      await this.#run((session) => session.exec(script));
    } catch (error) {
      throw located(error);
    }
  }

  /**
   * BEGIN, the function, COMMIT; ROLLBACK when it throws.
   * @template T
   * @param {(db: Database) => T | Promise<T>} fn
   * @param {object} [options]
   * @returns {Promise<T>}
   */
  async tx(fn, options) {
    if (typeof fn !== 'function') throw new ParameterError('tx needs a function');
    const { nested = DATABASE_TRANSACTION.nested.value } = callOptions(options, DATABASE_TRANSACTION);
    const call = () => fn(this);
    const scope = this.#scope();
    if (scope !== undefined) return nested === 'savepoint' ? savepoint(this.#storage, scope, call) : call();
    return this.#engine.transaction((session) => runIn(this.#storage, new Scope(session, 0), call));
  }

  /**
   * Takes no more calls, waits for those that were made, and closes what openDatabase() has opened.
   * @returns {Promise<void>}
   */
  async close() {
    this.#closed ??= this.#engine.close();
    await this.#closed;
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    await this.close();
  }
}

const TARGETS = "a pool, the options of a pool, 'postgres://...', 'sqlite:file' or 'sqlite::memory:'";

/** What a target is, without what it says: it may hold a password. @param {unknown} target */
function kindOf(target) {
  if (typeof target !== 'string') return target === null ? 'null' : Array.isArray(target) ? 'an array' : typeof target;
  const [, scheme] = /^([a-z][a-z0-9+.-]*):/i.exec(target) ?? [];
  return scheme === undefined ? 'a string without a scheme' : `'${scheme}:...'`;
}

/** The file of a target `sqlite:...`. @param {string} target */
function fileOf(target) {
  const file = target.slice('sqlite:'.length);
  if (file === '') throw new ParameterError("target: 'sqlite:' needs a file, or :memory:");
  if (/^\/\/[^/]/.test(file))
    throw new ParameterError("target: a file is 'sqlite:file.db' or 'sqlite:/dir/file.db', without //");
  if (file.includes('?'))
    throw new ParameterError('target: options of SQLite are in the second argument, not behind ?');
  if (file.includes('\0')) throw new ParameterError('target contains a NUL character');
  return file;
}

/** @param {Record<string, any>} options of SQLite */
function refuseForPostgres(options) {
  const [name] = Object.keys(options).filter((one) => one in DATABASE && options[one] !== undefined);
  if (name !== undefined) throw new ParameterError(`${name} is an option of SQLite, and the target is PostgreSQL`);
}

/**
 * Opens a database.
 * @param {unknown} target
 * @param {object} [options]
 */
async function openDatabase(target, options) {
  const checked = callOptions(options, DATABASE);
  if (typeof target === 'string' && target.startsWith('sqlite:')) {
    const { driver, readOnly = DATABASE.readOnly.value, busyTimeoutMs = DATABASE.busyTimeoutMs.value } = checked;
    return new Database(await openSqlite(fileOf(target), { driver, readOnly, busyTimeoutMs }));
  }
  refuseForPostgres(checked);
  if (target instanceof Pool) return new Database(new PostgresEngine(target, false));
  const isUri = typeof target === 'string' && /^postgres(?:ql)?:\/\//.test(target);
  const isOptions = typeof target === 'object' && target !== null && !Array.isArray(target);
  if (!isUri && !isOptions) throw new ParameterError(`target must be ${TARGETS}, not ${kindOf(target)}`);
  return new Database(openPostgres(target));
}

module.exports = { openDatabase };
