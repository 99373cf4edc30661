'use strict';

// Transactions that span clusters: two-phase commit with a durable decision, and the recovery after a crash.

const { setTimeout: sleep } = require('node:timers/promises');
const { PoolClosedError } = require('../../../client.js');
const { Context } = require('./context.js');
const { randomId } = require('./decision-table.js');
const { mayHaveRun, notPrepared } = require('./errors.js');
const { settingsOf } = require('./prepared.js');
const { Recovery } = require('./recovery.js');
const { GlobalTransaction } = require('./transaction.js');

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {import('./recovery.js').Recovered} Recovered */
/** @typedef {import('./transaction.js').RunArguments} RunArguments */

/** The time between two recoveries while this process knows of a transaction in doubt: its locks are held. */
const IN_DOUBT_MS = 2_000;

class TwoPhase {
  #context;
  #units;
  #emit;
  #counts = { started: 0, committed: 0, aborted: 0, recovered: 0 };
  /** Those that this process knows of, by their ids. @type {Set<string>} */
  #inDoubt = new Set();
  /** Calls that are not over, with the clusters that they may use. @type {Set<{ clusterIds: string[], over: Promise<void> }>} */
  #calls = new Set();
  /** @type {Promise<Recovered> | undefined} */
  #recovering;
  #isStarted = false;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  /**
   * @param {object} given
   * @param {Record<string, any>} given.options checked, see rows.js
   * @param {() => Unit[]} given.units
   * @param {() => Unit} given.decisionUnit the one that has the table of decisions
   * @param {(event: string, payload: { id: string, clusters: string[] }) => void} given.emit
   */
  constructor({ options, units, decisionUnit, emit }) {
    this.#context = new Context(this, options, decisionUnit);
    this.#units = units;
    this.#emit = emit;
  }

  /**
   * Runs a callback in a transaction that may span clusters. Resolves with its value when all of it is committed, or decided to be.
   * @param {RunArguments} args
   */
  async run(args) {
    if (this.#context.closing) throw new PoolClosedError('the clusters are closed');
    const call = this.#run(args);
    const entry = {
      clusterIds: args.clusterIds,
      over: call.then(
        () => {},
        () => {},
      ),
    };
    this.#calls.add(entry);
    entry.over.then(() => this.#calls.delete(entry));
    return await call;
  }

  /** @param {RunArguments} args */
  async #run(args) {
    await this.#beReady(args);
    const id = randomId();
    const { active } = this.#context;
    const transaction = new GlobalTransaction(id, this.#context, args);
    this.#counts.started++;
    this.#emit('transactionStarted', { id, clusters: [...args.clusterIds] });
    active.set(id, transaction);
    try {
      const value = await transaction.run();
      this.#counts.committed++;
      this.#emit('transactionCommitted', { id, clusters: transaction.names });
      if (transaction.pending.size > 0) this.#doubt(id, [...transaction.pending]);
      return value;
    } catch (error) {
      if (mayHaveRun(error) && /** @type {any} */ (error).transactionId === id) this.#doubt(id, transaction.names);
      else {
        this.#counts.aborted++;
        this.#emit('transactionAborted', { id, clusters: transaction.names });
      }
      throw error;
    } finally {
      active.delete(id);
    }
  }

  /** Fails before anything is done when a commit in two phases would fail. @param {RunArguments} args */
  async #beReady({ clusterIds, timeoutMs }) {
    const { options, decisions } = this.#context;
    const until = performance.now() + Math.min(timeoutMs || Infinity, options.finishTimeoutMs);
    const units = this.#units().filter(({ clusterId }) => clusterIds.includes(clusterId));
    await Promise.all([decisions.coordinator(until), ...units.map((unit) => this.#checkUnit(unit))]);
  }

  /** @param {Unit} unit */
  async #checkUnit(unit) {
    // A cluster that does not answer now may not be needed; if it is, its own error tells more.
    const settings = await settingsOf(unit).catch(() => undefined);
    if (settings?.canPrepare === false) throw notPrepared(unit.name);
  }

  /** @param {string} id @param {string[]} clusters */
  #doubt(id, clusters) {
    if (this.#inDoubt.has(id)) return;
    this.#inDoubt.add(id);
    this.#schedule();
    this.#emit('inDoubt', { id, clusters });
  }

  /**
   * Finishes what is in doubt. Rejects when the decisions cannot be read; all else that fails is in the result.
   * @returns {Promise<Recovered>}
   */
  recover() {
    this.#recovering ??= this.#recover().finally(() => {
      this.#recovering = undefined;
    });
    return this.#recovering;
  }

  async #recover() {
    const recovery = new Recovery(this.#context, this.#units());
    const result = await recovery.run();
    this.#counts.recovered += result.committed + result.rolledBack;
    for (const [id, clusters] of recovery.pending) this.#doubt(id, [...clusters]);
    for (const id of this.#inDoubt) if (recovery.isOver(id)) this.#inDoubt.delete(id);
    return result;
  }

  /** Recovers, now and every `recoverIntervalMs`; sooner while something is in doubt. Keeps no process alive. */
  start() {
    this.#isStarted = true;
    this.#recoverAgain();
  }

  /** What fails is tried again the next time. */
  async #recoverAgain() {
    await this.recover().catch(() => {});
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (!this.#isStarted || this.#context.closing) return;
    const { recoverIntervalMs } = this.#context.options;
    const soon = this.#inDoubt.size === 0 ? recoverIntervalMs : Math.min(recoverIntervalMs, IN_DOUBT_MS);
    this.#timer = setTimeout(() => this.#recoverAgain(), soon);
    this.#timer.unref();
  }

  /**
   * Resolves when the transactions are over that use one of these clusters now, so that its pool can end.
   * @param {string[]} clusterIds
   */
  async idle(clusterIds) {
    const calls = [...this.#calls].filter((call) => call.clusterIds.some((id) => clusterIds.includes(id)));
    await Promise.all(calls.map(({ over }) => over));
    await this.#context.settled();
  }

  /**
   * Begins no more transactions, and resolves when those that have begun are over. After the time those in their callback are rolled back,
   * and what cannot be reached is left to a recovery.
   * @param {{ timeoutMs?: number }} [options]
   */
  async close({ timeoutMs = 0 } = {}) {
    this.#context.closing = true;
    clearTimeout(this.#timer);
    const over = this.#over();
    const waiting = new AbortController();
    const time = timeoutMs > 0 ? sleep(timeoutMs, undefined, { signal: waiting.signal }).catch(() => {}) : over;
    await Promise.race([over, time]);
    waiting.abort();
    this.#context.closed = true;
    for (const transaction of this.#context.active.values()) transaction.cancel();
    await over;
  }

  async #over() {
    await Promise.all([...this.#calls].map(({ over }) => over));
    await this.#recovering?.catch(() => {});
    // The removal of a decision begins when its second phase is over.
    await this.#context.settled();
    await this.#context.settled();
  }

  /** How many there were so far; `inDoubt`: how many this process knows to be in doubt now. */
  stats() {
    const { started, committed, aborted, recovered } = this.#counts;
    return { started, committed, aborted, inDoubt: this.#inDoubt.size, recovered };
  }
}

module.exports = { TwoPhase };
