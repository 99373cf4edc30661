'use strict';

// Sends statements and waits for their results, for a pool and for its transactions.

const { FLAG, OP } = require('./numbers.js');
const { ParameterError } = require('../errors.js');
const { listOf, normalize } = require('../values/params.js');
const { labelOf } = require('../options/hosts.js');
const { Observer } = require('./observer.js');
const { PlainCall, StatementCall } = require('./statement-call.js');
const { underSignal } = require('./under-signal.js');
const { withMembers } = require('../options/with-members.js');

/** Whether the engine finds the caller of a promise without an async function in between: V8 does, the one of Bun does not. */
const FINDS_CALLERS = process.versions.bun === undefined;

/**
 * @typedef {object} QueryOptions
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal]
 * @property {boolean} [readOnly]
 * @property {'object' | 'array'} [rowMode]
 * @property {object} [types]
 * @property {boolean} [token]
 */

/**
 * What a statement is, for those who watch.
 * @param {Record<string, any>} options
 */
function operationOf({ reader, flags = 0 }) {
  if (reader !== undefined) return 'stream';
  return flags & FLAG.READ ? 'read' : 'query';
}

/** Sends statements for one pool. */
class StatementRunner {
  /**
   * @param {import('./core-link.js').CoreLink} link
   * @param {import('../../index.js').Pool} corePool
   * @param {import('./statements.js').Statements} statements
   * @param {Readonly<Record<string, any>>} options of the pool
   * @param {import('./observer.js').Owner} owner the pool
   */
  constructor(link, corePool, statements, options, owner) {
    this.link = link;
    this.corePool = corePool;
    /** Handles of transactions that have finished. @type {import('../../index.js').Transaction[]} */
    this.freeHandles = [];
    /** The pool's number in frames. */
    this.pool = corePool.id;
    this.statements = statements;
    /** The names of the nodes. @type {string[]} */
    this.nodes = options.hosts.map(labelOf);
    /** Tells others what runs. */
    this.observer = new Observer(owner, this.nodes, options);
    this.tracer = this.observer.tracer;
    /** @type {import('../values/types.js').Types} */
    this.types = options.types;
    /** For each transaction, the last of its statements that wait to be sent. @type {Map<number, Promise<unknown>>} */
    this.turns = new Map();
    /**
     * The scope of a transaction in which the caller runs (lib/api/scope.js). A pool whose `ambient` is off has it from its first
     * savepoint on.
     * @type {import('node:async_hooks').AsyncLocalStorage<any> | undefined}
     */
    this.scopes = undefined;
    /** How often work has run again that JavaScript repeats, by the code of the error. @type {Map<string, number>} */
    this.retries = new Map();
    /** The pinned sessions (lib/api/pinned-session.js), by their numbers. @type {Map<number, { onEvent(event: any): void }>} */
    this.pinned = new Map();
  }

  /**
   * Runs a statement, and tells those who watch of it.
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options checked
   * @param {number} transaction 0 outside of one
   * @returns {Promise<object[]>}
   */
  query(sql, params, options, transaction) {
    if (!this.observer.isWatching) return this.send(sql, params, options, transaction, undefined);
    return this.observer.run(operationOf(options), sql, params, transaction, (watched) => {
      options.reader?.onWatched(watched);
      return this.sendWatched(watched, params, options, transaction);
    });
  }

  /** Whether nobody watches, and no parameter needs a serializer: then a statement without options may take queryPlain(). */
  get isPlain() {
    return FINDS_CALLERS && !this.observer.isWatching && this.types.serializers.size === 0;
  }

  /**
   * Runs a statement without options, outside of transactions, if isPlain. An error has the stack of the caller.
   * @param {string} sql
   * @param {unknown} params
   * @returns {Promise<object[]>}
   */
  queryPlain(sql, params) {
    const statement = this.statements.get(sql);
    const values = normalize(params, statement.takesStructure);
    const call = new PlainCall(statement, this.nodes);
    const { frames } = this.link;
    const { length } = values;
    frames.open(OP.QUERY, this.link.register(call), this.pool, statement.id, 0, 0, length, 0);
    try {
      for (let i = 0; i < length; i++) frames.value(values[i], i + 1);
    } catch (error) {
      frames.abandon();
      this.link.release(call);
      throw error;
    }
    frames.close();
    this.link.flushSoon();
    return call.promise;
  }

  /**
   * Sends a statement that is watched, with the text that a subscriber may have set.
   * @param {import('./observer.js').Watched} watched
   * @param {unknown} params
   * @param {Record<string, any>} options
   * @param {number} transaction
   */
  sendWatched({ sql, text, sent }, params, options, transaction) {
    return this.send(sql, params, text === sql ? options : withMembers(options, { text }), transaction, sent);
  }

  /**
   * Sends a statement: at once, or later when the types of its parameters must be learned first, or earlier statements of its
   * transaction wait for that.
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options
   * @param {number} transaction
   * @param {((call: StatementCall) => void) | undefined} sent
   * @returns {Promise<object[]>}
   */
  send(sql, params, options, transaction, sent) {
    const types = options.types === undefined ? undefined : this.types.with(options.types);
    const statement = this.statements.get(sql, types);
    const { serializers } = types ?? this.types;
    const waits = transaction !== 0 && this.turns.has(transaction);
    if (waits || (serializers.size > 0 && listOf(params).length > 0 && statement.serializers === undefined)) {
      return this.sendLater(statement, params, options, transaction, sent);
    }
    return this.sendNow(statement, params, options, transaction, sent);
  }

  /**
   * @param {import('./statements.js').Statement} statement
   * @param {unknown} params
   * @param {Record<string, any>} options
   * @param {number} transaction
   * @param {((call: StatementCall) => void) | undefined} sent
   * @returns {Promise<object[]>}
   */
  sendNow(statement, params, options, transaction, sent) {
    const values = normalize(this.serialize(statement, params), statement.takesStructure);
    if (options.signal !== undefined) {
      return underSignal(this.link, this.pool, options.signal, (started) =>
        this.submit(statement, values, options, transaction, (call) => {
          started(call);
          sent?.(call);
        }),
      );
    }
    return this.submit(statement, values, options, transaction, sent);
  }

  /**
   * Sends a statement when the types of its parameters are known. Later statements of its transaction wait for it.
   * @param {import('./statements.js').Statement} statement
   * @param {unknown} params
   * @param {Record<string, any>} options
   * @param {number} transaction
   * @param {((call: StatementCall) => void) | undefined} sent
   * @returns {Promise<object[]>}
   */
  sendLater(statement, params, options, transaction, sent) {
    // A copy: the caller may change the array meanwhile.
    const given = [...listOf(params)];
    const before = this.turns.get(transaction);
    const ready = (async () => {
      await before;
      if (given.length > 0) await this.learnParameters(statement, options, transaction);
    })();
    const result = ready.then(() => this.sendNow(statement, given, options, transaction, sent));
    if (transaction !== 0) {
      // The next statement may be sent, also when this one has failed.
      const turn = ready.then(
        () => {},
        () => {},
      );
      this.turns.set(transaction, turn);
      turn.then(() => this.turns.get(transaction) === turn && this.turns.delete(transaction));
    }
    return result;
  }

  /**
   * Chooses the serializers of a statement's parameters. If there are any serializers, the core is asked for the types.
   * @param {import('./statements.js').Statement} statement
   * @param {Record<string, any>} options
   * @param {number} transaction
   */
  async learnParameters(statement, options, transaction) {
    const types = statement.types ?? this.types;
    if (types.serializers.size === 0 || statement.serializers !== undefined) return;
    let described = '[]';
    const { timeoutMs, signal, flags = 0, readOptions } = options;
    // A node that the statement itself may use knows the types.
    const ofRun = FLAG.TOKEN | FLAG.COMMITS;
    const asked = { timeoutMs, signal, readOnly: true, flags: FLAG.DESCRIBE | (flags & ~ofRun), readOptions };
    const run = (/** @type {(call: StatementCall) => void} */ started) =>
      this.submit(statement, [], asked, transaction, (call) => {
        call.onGrant = (_pieces, _bytes, text) => {
          described = text;
        };
        started(call);
      });
    await underSignal(this.link, this.pool, signal, run);
    statement.serializers = JSON.parse(described).map((/** @type {import('../values/types.js').Type} */ type) =>
      types.serializer(type),
    );
  }

  /**
   * Applies the serializers to the parameters.
   * @param {import('./statements.js').Statement} statement whose serializers are known
   * @param {unknown} params
   * @returns {unknown}
   */
  serialize({ serializers }, params) {
    if (serializers === undefined || serializers.every((one) => one === null)) return params;
    return listOf(params).map((value, index) => {
      const serializer = serializers[index] ?? null;
      if (serializer === null || value === null || value === undefined) return value;
      try {
        return serializer(value);
      } catch (error) {
        if (error instanceof ParameterError) error.message = `parameter $${index + 1}: ${error.message}`;
        throw error;
      }
    });
  }

  /** Work runs again that the core may not run again itself. @param {string} cause the code of the error, if it has one */
  noteRetry(cause) {
    this.retries.set(cause, (this.retries.get(cause) ?? 0) + 1);
  }

  /** Resolves when all waiting statements of a transaction have been sent. @param {number} transaction */
  async sentAll(transaction) {
    while (this.turns.has(transaction)) await this.turns.get(transaction);
  }

  /**
   * Writes the frame. Methods add to the options of a call: `flags`, further flags of the frame; `readOptions`, the JSON of
   * FLAG.READ_OPTIONS; `onGrant`, which takes the token of FLAG.TOKEN as its third argument; `reader`, which takes the rows of a stream;
   * `text`, which is sent in place of that of the statement; `onSent`, which is called when the frame of FLAG.COMMITS is written.
   * @param {import('./statements.js').Statement} statement
   * @param {readonly unknown[]} values
   * @param {Record<string, any>} options
   * @param {number} transaction
   * @param {((call: StatementCall) => void) | undefined} sent
   * @returns {Promise<object[]>}
   */
  submit(statement, values, options, transaction, sent) {
    const { link } = this;
    const { frames } = link;
    const { reader, text } = options;
    const named = text === undefined ? statement : this.statements.once(statement, text);
    const call = new StatementCall(statement, this.nodes);
    const id = link.register(call);
    call.asArrays = options.rowMode === 'array';
    let flags = (options.readOnly ? FLAG.READ_ONLY : 0) | (options.signal === undefined ? 0 : FLAG.HAS_SIGNAL);
    if (reader !== undefined) {
      call.onRows = reader.onRows;
      reader.onCall(call);
      // The reader may end the stream at any time, so the core must be able to cancel.
      flags |= FLAG.STREAM | FLAG.HAS_SIGNAL;
    }
    flags |= options.flags ?? 0;
    const { length } = values;
    frames.open(
      OP.QUERY,
      id,
      this.pool,
      named.id,
      transaction,
      flags,
      length,
      options.timeoutMs ?? 0,
      options.batchSize ?? 0,
    );
    if (flags & FLAG.TOKEN) call.onGrant = options.onGrant;
    try {
      if (flags & FLAG.READ_OPTIONS) frames.readOptions(options.readOptions);
      for (let i = 0; i < length; i++) frames.value(values[i], i + 1);
    } catch (error) {
      frames.abandon();
      if (named !== statement) this.statements.forget(named);
      link.release(call);
      call.reject(/** @type {Error} */ (error));
      return call.promise;
    }
    frames.close();
    if (flags & FLAG.COMMITS) options.onSent();
    if (named !== statement) this.statements.forget(named);
    link.flushSoon();
    sent?.(call);
    return call.promise;
  }
}

module.exports = { StatementRunner };
