'use strict';

// What the core reports of a pool: events, notifications, and requests for a password.

const { OP, FLAG } = require('../core/numbers.js');
const { failoverOf } = require('./statistics.js');
const { refuseSecretAsPassword, warnWithoutLease } = require('../options/lease-rows.js');
const { ParameterError, fromCore, rememberCause } = require('../errors.js');

let warned = false;

/** Warns once in a process: an operator may have revoked the right on purpose. */
function warnUnidentified() {
  if (warned) return;
  warned = true;
  process.emitWarning(
    'hyperiondb-client: the user may not execute pg_control_system(), so a host of another cluster is not recognised',
    { code: 'HYPERION_NO_SYSTEM_IDENTIFIER' },
  );
}

/**
 * What the reports of a pool need of it.
 * @typedef {object} Owner
 * @property {(event: string, ...details: any[]) => boolean} emit
 * @property {(notification: any) => void} dispatch hands a notification to its handlers
 * @property {() => boolean} isClosed
 * @property {() => unknown} password the option, if it is a function
 * @property {any} lease the option
 * @property {(event: any) => void} onLease takes an event of the core about a lease, before the listeners
 * @property {(work: () => void) => void} run runs the listeners
 */

class Reports {
  /** Whether the core sends notices: only while `notice` has listeners. */
  #receivesNotices = false;
  #owner;
  /** Set when the pool is open. @type {import('../core/statement-runner.js').StatementRunner} */
  runner = /** @type {any} */ (undefined);

  /** @param {Owner} owner */
  constructor(owner) {
    this.#owner = owner;
  }

  /** Asks the core for notices, or to stop them. @param {boolean} wanted */
  requestNotices(wanted) {
    if (this.#owner.isClosed() || this.#receivesNotices === wanted) return;
    this.#receivesNotices = wanted;
    const { link, pool } = this.runner;
    link.frames.open(OP.NOTICES, 0, pool, 0, 0, 0, Number(wanted), 0);
    link.frames.close();
    link.flushSoon();
  }

  /** @param {Record<string, unknown>} report of the core */
  onEvent(report) {
    // Not during the delivery of a batch: a listener that throws must not prevent other results.
    process.nextTick(() => this.#owner.run(() => this.#tell(report)));
  }

  /** @param {string} event @param {unknown} detail */
  #emit(event, detail) {
    this.runner.observer.event(event, detail);
    return this.#owner.emit(event, detail);
  }

  /** @param {Record<string, any>} report */
  #tell({ event, ...detail }) {
    const { dispatch, onLease } = this.#owner;
    const emit = (/** @type {string} */ name, /** @type {unknown} */ told) => this.#emit(name, told);
    if (event === 'notification') {
      dispatch(detail);
    } else if (event === 'session') {
      this.runner.pinned.get(detail.session)?.onEvent(detail);
    } else if (event === 'unidentified') {
      warnUnidentified();
    } else if (event === 'error') {
      emit(event, fromCore(JSON.stringify(detail)));
    } else if (event === 'lease') {
      const { error, ...rest } = /** @type {any} */ (detail);
      onLease(rest);
      if (rest.type === 'off') warnWithoutLease('a connection pooler stands between the client and the server');
      emit(event, error === undefined ? rest : { ...rest, error: fromCore(JSON.stringify(error)) });
    } else if (event === 'failover') {
      emit(event, failoverOf(/** @type {any} */ (detail)));
    } else if (event === 'gap') {
      const { since, until, ...rest } = /** @type {any} */ (detail);
      emit(event, { ...rest, since: new Date(since), until: new Date(until) });
    } else {
      const hasListeners = emit(/** @type {string} */ (event), detail);
      // Here, because listeners can be removed without a call of off(): removeAllListeners().
      if (event === 'notice' && !hasListeners) this.requestNotices(false);
    }
  }

  /** @param {number} request */
  async onPassword(request) {
    const { link, pool } = this.runner;
    let flags = 0;
    let text;
    try {
      text = await this.#owner.password();
      refuseSecretAsPassword(this.#owner.lease, text);
      if (typeof text !== 'string') throw new ParameterError('it did not return a string');
      if (text.includes('\0')) throw new ParameterError('it returned a string with a NUL character');
    } catch (error) {
      flags = FLAG.FAILED;
      rememberCause(request, error);
      text = error instanceof Error ? error.message : String(error);
      this.#emit('error', error);
    }
    link.sendText(OP.PASSWORD, request, pool, 0, 0, flags, 0, text);
  }
}

module.exports = { Reports };
