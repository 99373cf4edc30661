'use strict';

// One transaction that may span clusters: what its callback is given, and its end. The table of what a crash at each point comes to is in
// docs/two-phase-commit.md.

const {
  HyperionError,
  ParameterError,
  PoolClosedError,
  [Symbol.for('hyperiondb-client.options')]: checks,
} = /** @type {any} */ (require('../../../client.js'));
const { setTimeout: sleep } = require('node:timers/promises');
const { COMMIT_WITHIN_S } = require('./decision-table.js');
const { errorOf, mayHaveRun, rolledBack, timedOut } = require('./errors.js');
const { Participant } = require('./participant.js');
const { endPrepared, gidOf } = require('./prepared.js');

/** @typedef {import('./asking.js').Unit} Unit */
/**
 * @typedef {object} RunArguments
 * @property {string[]} schemas
 * @property {(schema: string | undefined, shardKey: unknown, clusterId: string | undefined) => Unit | Promise<Unit>} unitOf
 *   throws for a schema that was not named
 * @property {(tx: any) => unknown} callback
 * @property {string} [isolation]
 * @property {number} [timeoutMs] of the whole transaction
 * @property {string[]} clusterIds the clusters that may take part
 */

/** A caller waits so long at most for what is undone, once it is certain that it will be. */
const UNDO_MS = 1_000;

/** The options of tx.query(): those of a query in a transaction, and which cluster it goes to. */
const OF_ROUTE = new Set(['schema', 'shardKey', 'clusterId']);
const OF_QUERY = new Set(['timeoutMs', 'signal', 'rowMode', 'types']);

/**
 * @param {any} options of tx.query()
 * @param {string[]} schemas of the transaction
 */
function routeOf(options, schemas) {
  const given = checks.plainObject('options', options);
  for (const name of Object.keys(given)) {
    if (!OF_ROUTE.has(name) && !OF_QUERY.has(name)) throw new ParameterError(`tx.query: unknown option '${name}'`);
  }
  const { schema, shardKey, clusterId, ...query } = given;
  if (schema === undefined && clusterId === undefined && schemas.length !== 1) {
    throw new ParameterError(`tx.query: schema must be one of ${schemas.map((name) => `'${name}'`).join(', ')}`);
  }
  return { schema: schema ?? (clusterId === undefined ? schemas[0] : undefined), shardKey, clusterId, query };
}

/** What a callback is given. */
class Handle {
  #transaction;

  /** @param {GlobalTransaction} transaction */
  constructor(transaction) {
    this.#transaction = transaction;
  }

  /** The id under which its decision and its prepared parts are found. */
  get id() {
    return this.#transaction.id;
  }

  /** After the end: the clusters that have not yet committed what is decided. */
  get pending() {
    return [...this.#transaction.pending];
  }

  /**
   * @param {string} sql
   * @param {readonly unknown[]} [params]
   * @param {object} [options]
   */
  query(sql, params, options = {}) {
    return this.#transaction.query(sql, params, options);
  }
}

class GlobalTransaction {
  #context;
  #args;
  /** @type {Map<Unit, Participant>} */
  #participants = new Map();
  /** Statements that were not awaited yet. @type {Set<Promise<unknown>>} */
  #running = new Set();
  #abort = new AbortController();
  /** Ends the wait for the callback. @type {(error: Error) => void} */
  #giveUp = () => {};
  #isOver = false;
  #until;
  /** @type {Set<string>} */
  pending = new Set();
  handle = new Handle(this);

  /**
   * @param {string} id
   * @param {import('./context.js').Context} context
   * @param {RunArguments} args
   */
  constructor(id, context, args) {
    this.id = id;
    this.#context = context;
    this.#args = args;
    this.#until = args.timeoutMs ? performance.now() + args.timeoutMs : Infinity;
  }

  /** The names of those that take part so far. */
  get names() {
    return [...this.#participants.values()].map(({ name }) => name);
  }

  /** @param {string} sql @param {readonly unknown[] | undefined} params @param {unknown} options */
  query(sql, params, options) {
    // A copy: it is sent later, and the caller may change the array meanwhile.
    const running = this.#query(sql, Array.isArray(params) ? params.slice() : params, options);
    this.#running.add(running);
    const over = () => this.#running.delete(running);
    running.then(over, over);
    return running;
  }

  /** @param {string} sql @param {readonly unknown[] | undefined} params @param {any} options */
  async #query(sql, params, options) {
    this.#checkOpen();
    const { schema, shardKey, clusterId, query } = routeOf(options, this.#args.schemas);
    const unit = await this.#args.unitOf(schema, shardKey, clusterId);
    this.#checkOpen();
    const rows = await this.#participant(unit).query(sql, params, query);
    const { rowCount, command, fields, node } = rows;
    return { rows, rowCount, command, fields, clusterId: unit.clusterId, node, cached: false };
  }

  #checkOpen() {
    if (this.#isOver) throw new HyperionError('the transaction has ended', 'ERR_TRANSACTION_ENDED');
  }

  /** @param {Unit} unit */
  #participant(unit) {
    let participant = this.#participants.get(unit);
    if (participant === undefined) {
      const { isolation } = this.#args;
      const timeoutMs = this.#left(0);
      participant = new Participant(unit, {
        ...(isolation === undefined ? {} : { isolation }),
        ...(timeoutMs === 0 ? {} : { timeoutMs }),
        signal: this.#abort.signal,
      });
      this.#participants.set(unit, participant);
    }
    return participant;
  }

  /** What is left of the time, at most so much. 0 stands for no limit. @param {number} most */
  #left(most) {
    if (this.#until === Infinity) return most;
    const left = Math.max(1, Math.ceil(this.#until - performance.now()));
    return most === 0 ? left : Math.min(left, most);
  }

  /** Rolls it back if it is in its callback; what has begun to end is not tried again. */
  cancel() {
    this.#giveUp(
      Object.assign(new PoolClosedError('the clusters are closed, and the transaction was rolled back'), {
        outcome: 'not-applied',
      }),
    );
    this.#abort.abort();
  }

  /** Runs the callback and ends the transaction. */
  async run() {
    try {
      const value = await this.#callback();
      await this.#end();
      return value;
    } catch (error) {
      this.#isOver = true;
      // Statements that still run would keep their participants from being rolled back. What has ended is left alone.
      this.#abort.abort();
      await this.#undo(this.#all().map((participant) => participant.rollback()));
      throw error;
    }
  }

  async #callback() {
    const { callback, timeoutMs = 0 } = this.#args;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const over = new Promise((_, reject) => {
      this.#giveUp = reject;
      if (timeoutMs > 0) timer = setTimeout(() => reject(timedOut(timeoutMs, this.id)), timeoutMs);
    });
    try {
      const value = await Promise.race([(async () => callback(this.handle))(), over]);
      // Those that the callback has not awaited belong to the transaction, too.
      while (this.#running.size > 0) await Promise.race([Promise.allSettled([...this.#running]), over]);
      return value;
    } finally {
      clearTimeout(timer);
      this.#isOver = true;
    }
  }

  #all() {
    return [...this.#participants.values()];
  }

  /** Waits a little for what is undone. @param {Promise<unknown>[]} undoing which never reject */
  async #undo(undoing) {
    const all = Promise.allSettled(undoing);
    this.#context.background(all);
    await Promise.race([all, sleep(UNDO_MS, undefined, { ref: false })]);
  }

  async #end() {
    const all = this.#all();
    if (all.length === 0) return;
    if (all.length === 1) return this.#commitPlainly(all[0]);
    const examined = await this.#each(all, (participant) => participant.examine());
    const readers = all.filter((_, i) => !examined[i].hasWritten);
    const writers = all.filter((_, i) => examined[i].hasWritten);
    // First: the COMMIT of a serializable transaction may fail although it has only read.
    await this.#each(readers, (participant) => participant.commit());
    if (writers.length === 0) return;
    if (writers.length === 1) return this.#commitPlainly(writers[0]);
    await this.#commitInTwoPhases(writers, Math.min(...examined.map(({ now }) => now)) + COMMIT_WITHIN_S);
  }

  /**
   * The same for several participants at once. If one fails, its error is thrown when all have answered.
   * @template T
   * @param {Participant[]} participants
   * @param {(participant: Participant) => Promise<T>} work
   */
  async #each(participants, work) {
    const results = await Promise.allSettled(participants.map(work));
    const failed = results.findIndex(({ status }) => status === 'rejected');
    if (failed !== -1) {
      const { reason } = /** @type {PromiseRejectedResult} */ (results[failed]);
      throw this.#failure(reason, participants[failed]);
    }
    return results.map((result) => /** @type {PromiseFulfilledResult<T>} */ (result).value);
  }

  /** The error of the transaction, when all of it is or will be rolled back. @param {unknown} error @param {Participant} participant */
  #failure(error, participant) {
    if (performance.now() > this.#until) return timedOut(/** @type {number} */ (this.#args.timeoutMs), this.id);
    return rolledBack(error, participant.name, this.id);
  }

  /** The only one that has written: its COMMIT is the decision. @param {Participant} participant */
  async #commitPlainly(participant) {
    try {
      await participant.commit();
    } catch (/** @type {any} */ error) {
      throw error instanceof HyperionError ? Object.assign(error, { transactionId: this.id }) : error;
    }
  }

  /**
   * @param {Participant[]} writers
   * @param {number} before a decision is accepted, in seconds since 1970
   */
  async #commitInTwoPhases(writers, before) {
    const context = this.#context;
    const coordinator = await context.decisions.coordinator(performance.now() + context.options.finishTimeoutMs);
    const gids = writers.map((_, part) => gidOf(coordinator, this.id, part));
    await this.#prepare(writers, gids);
    if (context.at !== undefined) await context.at('prepared');
    await this.#decide(writers, gids, before);
    if (context.at !== undefined) await context.at('decided');
    this.pending = new Set(writers.map(({ name }) => name));
    const finishing = context.finish(
      this.id,
      writers.map(({ unit }, part) => ({ unit, gid: gids[part] })),
      this.pending,
    );
    const timeoutMs = this.#left(0);
    await (timeoutMs === 0 ? finishing : Promise.race([finishing, sleep(timeoutMs, undefined, { ref: false })]));
  }

  /** The first phase. @param {Participant[]} writers @param {string[]} gids */
  async #prepare(writers, gids) {
    const context = this.#context;
    const { graceMs } = context.options;
    const results = await Promise.allSettled(
      writers.map(async (participant, part) => {
        if (context.at !== undefined) await context.at('prepare', part);
        if (performance.now() > this.#until) throw timedOut(/** @type {number} */ (this.#args.timeoutMs), this.id);
        await participant.prepare(gids[part], this.#left(graceMs));
        if (context.at !== undefined) await context.at('prepared one', part);
      }),
    );
    const failed = results.findIndex(({ status }) => status === 'rejected');
    if (failed === -1) return;
    const may = results.map((result) => result.status === 'fulfilled' || mayHaveRun(result.reason));
    await this.#rollBackPrepared(writers, gids, may);
    // The error that says most: not that of a participant whose answer was only lost.
    const clear = results.findIndex((result) => result.status === 'rejected' && !mayHaveRun(result.reason));
    const told = clear === -1 ? failed : clear;
    throw this.#failure(/** @type {PromiseRejectedResult} */ (results[told]).reason, writers[told]);
  }

  /**
   * Undoes the first phase. What cannot be reached is left to the recovery: no decision to commit will ever be there.
   * @param {Participant[]} writers
   * @param {string[]} gids
   * @param {boolean[]} may whether each may be prepared
   */
  async #rollBackPrepared(writers, gids, may) {
    const { options, isClosed } = this.#context;
    const until = performance.now() + options.finishTimeoutMs;
    await this.#undo(
      writers.map((participant, part) =>
        may[part] ? endPrepared(participant.unit, 'ROLLBACK', gids[part], until, isClosed) : participant.rollback(),
      ),
    );
  }

  /** @param {Participant[]} writers @param {string[]} gids @param {number} before */
  async #decide(writers, gids, before) {
    const { decisions, options } = this.#context;
    const names = writers.map(({ name }) => name);
    const all = writers.map(() => true);
    const until = Math.min(this.#until, performance.now() + options.finishTimeoutMs);
    if (performance.now() > this.#until) {
      await this.#rollBackPrepared(writers, gids, all);
      throw timedOut(/** @type {number} */ (this.#args.timeoutMs), this.id);
    }
    let decision;
    try {
      decision = await decisions.decide(this.id, 'commit', names, before, until, this.#context.isClosed);
    } catch (/** @type {any} */ error) {
      if (mayHaveRun(error)) throw this.#inDoubt(error, names);
      await this.#rollBackPrepared(writers, gids, all);
      throw Object.assign(error, { outcome: 'not-applied', transactionId: this.id });
    }
    if (decision.outcome !== 'abort') return;
    await this.#rollBackPrepared(writers, gids, all);
    throw errorOf(
      'the transaction was rolled back on all clusters: it had been prepared for too long (decisions.graceMs), and a recovery has ended it',
      'ERR_TRANSACTION_ABORTED',
      { outcome: 'not-applied', retryable: true, transactionId: this.id },
    );
  }

  /** @param {any} error @param {string[]} names */
  #inDoubt(error, names) {
    return errorOf(
      `it is not known whether transaction ${this.id} is decided to be committed: ${error.message}. A recovery finishes it; ` +
        `until then it is prepared on ${names.join(', ')}`,
      'ERR_OUTCOME_UNKNOWN',
      { cause: error, outcome: 'unknown', retryable: false, transactionId: this.id },
    );
  }
}

module.exports = { GlobalTransaction };
