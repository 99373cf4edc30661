'use strict';

// openDatabase() over SQLite: one connection, on which one piece of work runs after another.
//
// A transaction is one piece: what is called outside of it waits until it has ended, in the order of the calls. A statement runs in
// the thread of the caller, at once when nothing runs or waits.
//
// As in PostgreSQL, a transaction in which a statement has failed can only be rolled back (25P02): what works here works there, too.
// When another process writes to the file, work is tried again until busyTimeoutMs has passed. SQLite's own busy_timeout would block
// the thread meanwhile, and with it another database of the same process that holds the lock.

const { setTimeout: sleep } = require('node:timers/promises');
const { commandOf } = require('../../core/sql-tokens.js');
const { DatabaseError, HyperionError, ParameterError } = require('../../errors.js');
const { forSqlite: translate } = require('./placeholders.js');
const { databaseError, fromSqlite, isBusy } = require('./sqlite-errors.js');
const { driverOf } = require('./sqlite-drivers.js');
const { outlineOf } = require('./sqlite-lexer.js');
const { forSqlite: valueForSqlite, readerFor } = require('./sqlite-values.js');
const { Turns } = require('./turns.js');

/** @typedef {import('./statement.js').Kind} Kind */
/** @typedef {import('./statement.js').Statement} Statement */
/** @typedef {import('./sqlite-drivers.js').Connection} Connection */

/** A statement as the connection keeps it. */
class Compiled {
  /** @type {readonly { name: string, type: string | null }[]} */
  #columns = [];
  /** @type {((value: any) => unknown)[]} */
  #readers = [];
  /** Whether another process may change what its columns are: `SELECT *`. */
  #hasStar;

  /** @param {import('./sqlite-drivers.js').DriverStatement} statement @param {string} text */
  constructor(statement, text) {
    this.statement = statement;
    const command = commandOf(text);
    this.changesRows = /^(?:INSERT|UPDATE|DELETE|REPLACE)$/.test(command);
    /** Whether it may change what other statements have been prepared for. */
    this.changesSchema = !this.changesRows && command !== 'SELECT';
    this.#hasStar = text.includes('*');
    this.#describe();
  }

  #describe() {
    this.#columns = this.statement.columns();
    this.#readers = this.#columns.map(({ type }) => readerFor(type));
  }

  /** Rows as objects. @param {readonly unknown[][]} rows */
  rows(rows) {
    if (this.#hasStar && rows.length > 0) this.#describe();
    return rows.map((row) => this.#row(row));
  }

  /** @param {readonly unknown[]} values */
  #row(values) {
    /** @type {Record<string, unknown>} */
    const row = {};
    for (let i = 0; i < values.length; i++) {
      const { name } = this.#columns[i];
      const value = this.#readers[i](values[i]);
      // Not by assignment, which would set the prototype.
      if (name === '__proto__')
        Object.defineProperty(row, '__proto__', { value, enumerable: true, configurable: true, writable: true });
      else row[name] = value;
    }
    return row;
  }
}

/** How many prepared statements are kept, as in a pool (statementCacheSize). */
const MOST_STATEMENTS = 256;

/** The connection, with its prepared statements. Its methods are synchronous and throw what the driver throws. */
class Client {
  /** By their texts. @type {Map<string, Compiled>} */
  #compiled = new Map();

  /** @param {Connection} connection */
  constructor(connection) {
    this.connection = connection;
  }

  /** @param {string} text */
  #compile(text) {
    const known = this.#compiled.get(text);
    if (known !== undefined) return known;
    // node:sqlite would pass over all but the first statement.
    if (outlineOf(text).statements > 1) {
      throw databaseError('cannot insert multiple commands into a prepared statement', '42601');
    }
    const compiled = new Compiled(this.connection.prepare(text), text);
    if (this.#compiled.size >= MOST_STATEMENTS) {
      this.#compiled.delete(/** @type {string} */ (this.#compiled.keys().next().value));
    }
    if (!compiled.changesSchema) this.#compiled.set(text, compiled);
    return compiled;
  }

  /**
   * @param {Kind} kind
   * @param {string} text
   * @param {readonly unknown[]} values
   * @returns {unknown}
   */
  execute(kind, text, values) {
    const compiled = this.#compile(text);
    const { statement } = compiled;
    if (kind === 'run') {
      const changes = statement.run(values);
      if (compiled.changesSchema) this.#compiled.clear();
      return { changes: compiled.changesRows ? changes : 0, lastInsertRowid: null };
    }
    const first = kind === 'get' ? statement.get(values) : undefined;
    const rows = compiled.rows(kind === 'get' ? (first === undefined ? [] : [first]) : statement.all(values));
    if (compiled.changesSchema) this.#compiled.clear();
    return kind === 'get' ? rows[0] : rows;
  }

  /** @param {string} script */
  exec(script) {
    this.#compiled.clear();
    this.connection.exec(script);
  }

  /** Runs BEGIN and its like, which change no schema. @param {string} sql */
  command(sql) {
    this.connection.exec(sql);
  }
}

/** What is bound for each `?`. @param {Statement} statement @param {readonly unknown[]} params */
function bound({ order }, params) {
  const values = params.map((value, i) => valueForSqlite(value, i + 1));
  return order === null ? values : order.map((parameter) => values[parameter]);
}

/** Tries until nobody else holds the file, or the time is over. */
class Patience {
  /** @param {number} busyTimeoutMs */
  constructor(busyTimeoutMs) {
    this.busyTimeoutMs = busyTimeoutMs;
  }

  /**
   * @template T
   * @param {() => T} work synchronous
   * @returns {Promise<T>}
   */
  async run(work) {
    const until = performance.now() + this.busyTimeoutMs;
    for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
      try {
        return work();
      } catch (error) {
        const left = until - performance.now();
        if (!isBusy(error) || left <= 0) throw fromSqlite(error);
        await sleep(Math.min(pause, left));
      }
    }
  }
}

/** What is called outside of transactions: a Session of scope.js. */
class Autocommit {
  #client;
  #patience;

  #begin;

  /** @param {Client} client @param {Patience} patience @param {string} begin */
  constructor(client, patience, begin) {
    this.#client = client;
    this.#patience = patience;
    this.#begin = begin;
  }

  /** @type {import('./scope.js').Session['execute']} */
  execute(kind, { text }, values) {
    return this.#patience.run(() => this.#client.execute(kind, text, values));
  }

  /** As in PostgreSQL, a script is one transaction, unless it says BEGIN and COMMIT itself. @param {string} script */
  async exec(script) {
    const { statements, control } = outlineOf(script);
    const isOwn = statements > 1 && control === null;
    if (isOwn) await this.command(this.#begin);
    try {
      await (isOwn ? this.#runOnce(script) : this.#patience.run(() => this.#client.exec(script)));
      if (isOwn) await this.command('COMMIT');
    } catch (error) {
      this.#undo();
      throw error;
    }
    if (!this.#undo()) return;
    const error = new HyperionError(
      'the script left a transaction open, which was rolled back',
      'ERR_TRANSACTION_OPEN',
    );
    throw Object.assign(error, { outcome: 'not-applied' });
  }

  /** A script whose beginning has run is not tried again. @param {string} script */
  async #runOnce(script) {
    try {
      this.#client.exec(script);
    } catch (error) {
      throw fromSqlite(error);
    }
  }

  /** Ends a transaction that is open; whether one was. */
  #undo() {
    if (!this.#client.connection.inTransaction()) return false;
    this.#client.command('ROLLBACK');
    return true;
  }

  /** @param {string} sql */
  async command(sql) {
    await this.#patience.run(() => this.#client.command(sql));
  }
}

/** A transaction that has begun: a Session of scope.js, and its end. */
class SqliteTransaction {
  #client;
  #patience;
  #failed = false;

  /** @param {Client} client @param {Patience} patience */
  constructor(client, patience) {
    this.#client = client;
    this.#patience = patience;
  }

  /**
   * Runs what SQLite may refuse; then the transaction has failed.
   * @template T
   * @param {() => T} work
   * @returns {Promise<T>}
   */
  async #try(work) {
    if (this.#failed) {
      throw databaseError('current transaction is aborted, commands ignored until end of transaction block', '25P02');
    }
    try {
      return await this.#patience.run(work);
    } catch (error) {
      // What was refused before it ran, or could not be read after it, has changed nothing in the transaction.
      this.#failed = error instanceof DatabaseError || !(error instanceof HyperionError);
      throw error;
    }
  }

  /** @type {import('./scope.js').Session['execute']} */
  execute(kind, { text }, values) {
    return this.#try(() => this.#client.execute(kind, text, values));
  }

  /** @param {string} script */
  async exec(script) {
    const { control } = outlineOf(script);
    if (control !== null) throw new ParameterError(`script: ${control} cannot be sent in a transaction: use tx()`);
    await this.#try(() => this.#client.exec(script));
  }

  /** @param {string} sql SAVEPOINT and what ends it */
  async command(sql) {
    // The savepoint before the failure: the transaction goes on from there, if SQLite has not rolled all of it back.
    if (sql.startsWith('ROLLBACK TO ') && this.#client.connection.inTransaction()) this.#failed = false;
    await this.#try(() => this.#client.command(sql));
  }

  async commit() {
    if (!this.#failed) {
      try {
        await this.#patience.run(() => this.#client.command('COMMIT'));
        return;
      } catch (error) {
        this.rollback();
        throw error;
      }
    }
    this.rollback();
    throw databaseError('the transaction was rolled back: one of its statements had failed', '25P02');
  }

  rollback() {
    // After some failures SQLite has rolled back by itself (sqlite.org/lang_transaction.html, 3).
    if (this.#client.connection.inTransaction()) this.#client.command('ROLLBACK');
  }
}

class SqliteEngine {
  name = /** @type {const} */ ('sqlite');
  translate = translate;
  bind = bound;
  #turns = new Turns();
  #client;
  #patience;
  #begin;
  /** @type {Autocommit} */
  #session;

  /** @param {Connection} connection @param {Patience} patience @param {boolean} readOnly */
  constructor(connection, patience, readOnly) {
    this.#client = new Client(connection);
    this.#patience = patience;
    // The lock of a writer is taken at once: a transaction that reads first could not get it later when another has written.
    this.#begin = readOnly ? 'BEGIN' : 'BEGIN IMMEDIATE';
    this.#session = new Autocommit(this.#client, patience, this.#begin);
  }

  /**
   * Runs work outside of transactions.
   * @template T
   * @param {(session: Autocommit) => Promise<T>} work
   */
  run(work) {
    return this.#turns.run(() => work(this.#session));
  }

  /**
   * @template T
   * @param {(session: SqliteTransaction) => Promise<T>} body
   * @returns {Promise<T>}
   */
  transaction(body) {
    return this.#turns.run(async () => {
      await this.#session.command(this.#begin);
      const transaction = new SqliteTransaction(this.#client, this.#patience);
      /** @type {T} */
      let result;
      try {
        result = await body(transaction);
      } catch (error) {
        transaction.rollback();
        throw error;
      }
      await transaction.commit();
      return result;
    });
  }

  /** Waits for all work that was called before. */
  close() {
    return this.#turns.run(async () => this.#client.connection.close());
  }
}

/** @param {import('./sqlite-drivers.js').Open} open @param {string} file @param {boolean} readOnly */
function connect(open, file, readOnly) {
  try {
    return open(file, readOnly);
  } catch (error) {
    const known = fromSqlite(error);
    if (known instanceof DatabaseError) throw known;
    const failed = databaseError('unable to open database file', '58030', { sqliteCode: 'SQLITE_CANTOPEN' });
    throw Object.defineProperty(failed, 'cause', { value: error, configurable: true, writable: true });
  }
}

/**
 * @param {string} file or ':memory:'
 * @param {{ driver?: string, readOnly: boolean, busyTimeoutMs: number }} options
 */
async function openSqlite(file, { driver, readOnly, busyTimeoutMs }) {
  const connection = connect(driverOf(driver), file, readOnly);
  const patience = new Patience(busyTimeoutMs);
  try {
    await patience.run(() => {
      connection.exec('PRAGMA foreign_keys = ON');
      // So that readers do not wait for a writer, and a COMMIT has reached the disk when it resolves.
      if (!readOnly && file !== ':memory:') connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
      // A file that is no database is found when it is first read.
      connection.exec('SELECT count(*) FROM sqlite_schema');
    });
  } catch (error) {
    connection.close();
    throw error;
  }
  return new SqliteEngine(connection, patience, readOnly);
}

module.exports = { openSqlite };
