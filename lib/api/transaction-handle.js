'use strict';

// A transaction, or a part of one, as its caller holds it: the calls. Where and when they run is decided by its scope (scope.js).

const { allOrNone, readStatements } = require('./batch-statements.js');
const { copyFrom, copyTo } = require('./copy/index.js');
const { withMembers } = require('../options/with-members.js');
const { ParameterError, located } = require('../errors.js');
const { exec, execOptions } = require('./exec.js');
const { limitsOf, underLimits, waitedTooLong } = require('./limits.js');
const { addRowExpectations } = require('./row-expectations.js');
const { runner: templates, unfold } = require('./sql.js');
const { RowStream } = require('./stream.js');
const {
  JOINED_BATCH,
  LOAD,
  SAVEPOINT,
  STREAM,
  TRANSACTION_QUERY,
  UNLOAD,
  callOptions,
} = require('../options/call-options.js');

/** These look at the rows when they have come: COMMIT would be done. @param {string} method @param {any} options */
function refuseCommit(method, options) {
  if (options?.commit !== true) return;
  throw new ParameterError(`commit: what ${method}() expects is checked after COMMIT: use query()`);
}

class Transaction {
  /** @type {import('./scope.js').Scope} */
  #scope;
  /** @type {ReturnType<typeof templates> | undefined} */
  #sql;

  /** @param {import('./scope.js').Scope} scope */
  constructor(scope) {
    this.#scope = scope;
  }

  /** @param {unknown} tx @returns {import('./scope.js').Scope | undefined} */
  static scopeOf(tx) {
    return tx instanceof Transaction ? tx.#scope : undefined;
  }

  /**
   * Runs a statement in the transaction.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions & { commit?: boolean }} [options]
   */
  async query(sql, params, options) {
    const scope = this.#scope;
    scope.checkOpen();
    const checked = callOptions(options, TRANSACTION_QUERY);
    const [text, values] = unfold(sql, params);
    const { runner, id, level, root } = scope;
    try {
      if (checked.commit) return await scope.runLast(text, values, checked);
      // The usual case: nothing can have to wait.
      if (level.isPlain && root.readers === undefined) {
        return await runner.query(text, values, scope.limited(checked), id);
      }
      const own = limitsOf(checked);
      // A copy: the caller may change the array while the statement waits.
      const given = Array.isArray(values) ? [...values] : values;
      const left = () => scope.limited(underLimits(own, checked, waitedTooLong));
      return await scope.inTurn(() => runner.query(text, given, left(), id));
    } catch (error) {
      throw located(error);
    }
  }

  /** Runs a template in the transaction: an interpolated value becomes a parameter, never text. */
  get sql() {
    this.#sql ??= templates((fragment) => this.query(fragment));
    return this.#sql;
  }

  /**
   * The rows of a statement as they arrive.
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {import('../core/statement-runner.js').QueryOptions & { batchSize?: number }} [options]
   */
  stream(sql, params, options) {
    const scope = this.#scope;
    scope.checkOpen();
    const checked = callOptions(options, STREAM);
    const { batchSize = STREAM.batchSize.value } = checked;
    const [text, values] = unfold(sql, params);
    const { runner, id } = scope;
    /** @type {RowStream} */
    const stream = new RowStream(runner, (reader) =>
      scope.read(stream, () =>
        runner.query(text, values, withMembers(scope.limited(checked), { batchSize, reader }), id),
      ),
    );
    return stream;
  }

  /**
   * Runs statements in their order, all or none: in a savepoint.
   * @param {readonly (readonly [sql: string, params?: readonly unknown[]] | string)[]} statements
   * @param {object} [options]
   * @returns {Promise<any[]>}
   */
  async batch(statements, options) {
    const scope = this.#scope;
    scope.checkOpen();
    const { timeoutMs, signal, ...form } = callOptions(options, JOINED_BATCH);
    const items = readStatements(statements);
    if (items.length === 0) return [];
    return scope.part('savepoint', { timeoutMs, signal }, ({ handle }) =>
      allOrNone(items.map(({ sql, params }) => handle.query(sql, params, form))),
    );
  }

  /**
   * Runs a script by the simple protocol in the transaction.
   * @param {string} script
   * @param {object} [options]
   */
  async exec(script, options) {
    const scope = this.#scope;
    scope.checkOpen();
    const checked = execOptions(options);
    const { runner, id, level, root } = scope;
    return scope.inTurn(async () => {
      if (runner.turns.has(id)) await runner.sentAll(id);
      const limited = scope.limited(checked);
      try {
        return await exec(runner, id, script, limited);
      } catch (error) {
        if (/** @type {any} */ (error)?.code === 'ERR_TRANSACTION_ENDED') root.endedByScript();
        throw error;
      }
    }, !level.isPlain);
  }

  /**
   * Loads rows or ready data in the transaction.
   * @param {string} target
   * @param {unknown} source
   * @param {object} [options]
   */
  async copyFrom(target, source, options) {
    const scope = this.#scope;
    scope.checkOpen();
    const checked = callOptions(options, LOAD);
    const { runner, id } = scope;
    return scope.load(async () => {
      if (runner.turns.has(id)) await runner.sentAll(id);
      return copyFrom(runner, id, target, source, scope.limited(checked));
    });
  }

  /**
   * What COPY sends in the transaction, as a Readable.
   * @param {string} target
   * @param {object} [options]
   */
  copyTo(target, options) {
    const scope = this.#scope;
    scope.checkOpen();
    const checked = scope.limited(callOptions(options, UNLOAD));
    /** @type {import('./copy/unload.js').Unload} */
    const unload = copyTo(scope.runner, scope.id, target, checked, (work) => scope.read(unload, work));
    return unload;
  }

  /**
   * Runs `callback` in a savepoint: what it has done is undone when it throws, and the transaction goes on.
   * @template T
   * @param {(tx: Transaction) => Promise<T> | T} callback
   * @param {object} [options]
   * @returns {Promise<T>}
   */
  async transaction(callback, options) {
    this.#scope.checkOpen();
    if (typeof callback !== 'function') throw new ParameterError('transaction needs a function');
    const checked = callOptions(options, SAVEPOINT);
    return this.#scope.part('savepoint', checked, ({ handle }) => callback(handle));
  }

  /** Commits. Resolves only when the server has said so. */
  commit() {
    return this.#scope.commit();
  }

  /**
   * For hyperiondb-client/clusters: ends it with PREPARE TRANSACTION.
   * @param {string} gid
   * @param {{ timeoutMs?: number, signal?: AbortSignal }} [options]
   */
  [Symbol.for('hyperiondb-client.prepare')](gid, options) {
    return this.#scope.prepare(gid, options);
  }

  /** Undoes everything. */
  rollback() {
    return this.#scope.rollback();
  }

  /** Whether it has ended, or its end was asked for. */
  get ended() {
    return this.#scope.ended;
  }

  /** Rolls back if neither commit() nor rollback() was called. */
  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.#scope.dispose();
  }
}

addRowExpectations(Transaction, refuseCommit);

module.exports = { Transaction };
