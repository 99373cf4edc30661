'use strict';

// A session of a server that its caller has to itself until it closes the session, with transactions of its own: for programs that
// were written for `pg` (hyperiondb-client/pg). It speaks as `pg` does: texts for parameters and results, the simple protocol for a
// text without values, portals that are read in parts. The core's part is src/query/pinned.rs.

const { FLAG, OP } = require('../core/numbers.js');
const { ConnectionLostError, PoolClosedError, located } = require('../errors.js');
const { HandedLoad } = require('./copy/handed-load.js');
const { Unload } = require('./copy/unload.js');
const { FlightCall, flagsOf } = require('./flight.js');
const { underSignal } = require('../core/under-signal.js');
const { rowsOf, watchedCursor, watchedLoad, withText } = require('./watched-session.js');

/** A session that has not answered for so long may not know that its node was fenced. Milliseconds, as FRESH in src/connection/connection.rs. */
const FRESH_MS = 100;

/** The letters of ReadyForQuery, by the numbers of TransactionStatus in src/protocol/response_observer.rs. */
const STATUS = /** @type {const} */ (['I', 'T', 'E']);

/** @typedef {import('./flight.js').FlightText} FlightText */
/** @typedef {import('./flight.js').RawField} RawField */
/** @typedef {{ rows: any[], fields: readonly RawField[], tag: string }} RawResult of one statement */

/**
 * What the holder of a session is told. Each is called outside of the delivery of results.
 * @typedef {object} Handlers
 * @property {(fields: any) => void} notice
 * @property {(notification: { processId: number, channel: string, payload: string }) => void} notification
 * @property {(name: string, value: string) => void} parameter
 * @property {(error: Error) => void} lost the session has ended although close() was not called
 * @property {() => void} retired its node was fenced, replaced or lost its role
 */

/**
 * @typedef {object} FlightOptions
 * @property {import('../values/types.js').Types} types of textTypes()
 * @property {'array'} [rowMode]
 * @property {(rows: any[], fields: readonly RawField[]) => void} [onRows] takes the rows as they come; the results have none then
 * @property {boolean} [binary] the values of a statement with `values` arrive as Buffers, in the binary format; its name is not used
 * @property {boolean} [pipelined] it may be sent together with others of the kind; it cannot be cancelled then
 * @property {boolean} [begins] of one statement with its values: a BEGIN goes ahead of it in the same flight; not together with
 *   `binary` or `pipelined`
 * @property {AbortSignal} [signal]
 * @property {number} [timeoutMs]
 */

class PinnedSession {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  /** The core ends the session when this handle is collected. @type {import('../../index.js').Transaction} */
  #handle;
  #number;
  /** @type {Handlers} */
  #handlers;
  /** @type {'open' | 'retired' | 'lost' | 'closed'} */
  #state = 'open';
  #status = 0;
  #answeredAt = performance.now();
  /** @type {Promise<void> | undefined} */
  #closing;
  /** Whether a statement has failed as on a fenced node, and nobody has looked at the node since. */
  isSuspect = false;
  /** @type {Promise<void> | undefined} */
  #looking;
  /** The last of the flights that may run. @type {FlightCall | undefined} */
  #lastCall;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {import('../../index.js').Transaction} handle
   * @param {number} number
   * @param {Handlers} handlers
   */
  constructor(runner, handle, number, handlers) {
    this.#runner = runner;
    this.#handle = handle;
    this.#number = number;
    this.#handlers = handlers;
    this.processId = 0;
    this.secretKey = 0;
    this.node = '';
    /** What the server reports of itself (ParameterStatus). @type {Record<string, string>} */
    this.parameters = {};
    runner.pinned.set(number, this);
  }

  /** @param {string} opened what the core says of the new session */
  begin(opened) {
    const { processId, secretKey, node, parameters } = JSON.parse(opened);
    this.processId = processId ?? 0;
    this.secretKey = secretKey;
    this.node = node;
    this.parameters = parameters;
  }

  /** Whether it may be used for new work. */
  get isUsable() {
    return this.#state === 'open';
  }

  /** Whether it has not answered lately: a fence of its node may be unknown. */
  get isStale() {
    return performance.now() - this.#answeredAt > FRESH_MS || this.parameters.in_hot_standby === undefined;
  }

  /** That of the last ReadyForQuery. */
  get transactionStatus() {
    return STATUS[this.#status];
  }

  /** For the calls of this file. @param {number} status */
  answered(status) {
    if (status >= 0) this.#status = status;
    this.#answeredAt = performance.now();
  }

  /**
   * Delivers an answer of a session that is suspect. If nothing else is to run, the core looks at the node first, so that the holder
   * knows with the answer that the session is retired: a pool would lend it once more.
   * @param {FlightCall} call
   * @param {() => void} deliver
   */
  whenLooked(call, deliver) {
    const isLast = this.#lastCall === call && this.#status === 0;
    if (this.#looking === undefined && !(isLast && this.isUsable)) return deliver();
    const done = () => {
      this.isSuspect = false;
      this.#looking = undefined;
    };
    this.#looking ??= this.check().then(done, done);
    this.#looking.then(deliver);
  }

  /** Takes an event of the core. @param {any} event */
  onEvent({ type, session: _session, ...detail }) {
    if (this.#state === 'closed') return;
    const handlers = this.#handlers;
    if (type === 'notice') {
      handlers.notice(detail);
    } else if (type === 'notification') {
      handlers.notification(detail);
    } else if (type === 'parameter') {
      this.parameters[detail.name] = detail.value;
      handlers.parameter(detail.name, detail.value);
    } else if (type === 'retired') {
      if (this.#state !== 'open') return;
      this.#state = 'retired';
      handlers.retired();
    } else if (type === 'lost' && this.#state !== 'lost') {
      this.#state = 'lost';
      this.#forget();
      const { node, reason, sqlstate } = detail;
      const error = new ConnectionLostError(`the connection to ${node} was lost: ${reason}`, 'ERR_CONNECTION_LOST');
      handlers.lost(Object.assign(error, { node, reason, sqlstate, outcome: 'not-applied', retryable: true }));
    }
  }

  #forget() {
    this.#runner.pinned.delete(this.#number);
    this.#handle.finish();
  }

  #checkOpen() {
    if (this.#state === 'closed') throw new PoolClosedError('the session is closed');
  }

  /**
   * @param {number} operation
   * @param {FlightText} flight
   * @param {FlightOptions} options
   * @param {number} flags
   * @param {number} extra
   */
  #submit(operation, { text, values, name }, { types, rowMode, onRows, timeoutMs = 0 }, flags, extra) {
    const { link, pool, statements } = this.#runner;
    const statement = statements.getUnchecked(text, types);
    const call = new FlightCall(this, statement);
    const id = link.register(call);
    call.asArrays = rowMode === 'array';
    if (onRows !== undefined) call.onRows = (rows) => rows.length > 0 && onRows(rows, call.fields);
    const count = (values?.length ?? 0) + (name === undefined ? 0 : 1);
    const { frames } = link;
    frames.open(operation, id, pool, statement.id, this.#number, flags, count, timeoutMs, extra);
    try {
      if (name !== undefined) frames.value(name, 0);
      if (values !== undefined) for (let i = 0; i < values.length; i++) frames.value(values[i], i + 1);
    } catch (error) {
      frames.abandon();
      link.release(call);
      call.reject(/** @type {Error} */ (error));
      return call;
    }
    frames.close();
    link.flushSoon();
    this.#lastCall = call;
    return call;
  }

  /**
   * Runs a text by the simple protocol, or one statement with its values.
   * @param {FlightText} flight
   * @param {FlightOptions} options
   * @returns {Promise<RawResult[]>}
   */
  query(flight, options) {
    this.#checkOpen();
    const { observer } = this.#runner;
    if (!observer.isWatching) return this.#send(flight, options, undefined);
    return observer.run('query', flight.text, flight.values, 0, async (watched) => {
      watched.node = this.node;
      const results = await this.#send(withText(flight, watched), options, watched.sent);
      watched.rowCount = results.reduce((sum, { tag }) => sum + rowsOf(tag), 0);
      return results;
    });
  }

  /**
   * @param {FlightText} flight
   * @param {FlightOptions} options
   * @param {((call: FlightCall) => void) | undefined} sent
   * @returns {Promise<RawResult[]>}
   */
  #send(flight, options, sent) {
    const flags =
      flagsOf(flight, options.binary === true) |
      (options.pipelined === true ? FLAG.PIPELINED : FLAG.HAS_SIGNAL) |
      (options.begins === true ? FLAG.BEGINS : 0);
    const { signal } = options;
    const given = options.binary === true ? { text: flight.text, values: flight.values } : flight;
    const submit = () => {
      const call = this.#submit(OP.FLIGHT, given, options, flags, 0);
      sent?.(call);
      return call;
    };
    if (signal === undefined) return submit().promise;
    const { link, pool } = this.#runner;
    return underSignal(link, pool, signal, (started) => {
      const call = submit();
      started(call);
      return call.promise;
    });
  }

  /**
   * A portal, whose rows are read in parts. Nothing else may run on the session until close().
   * @param {FlightText} flight
   * @param {FlightOptions} options
   */
  cursor(flight, options) {
    this.#checkOpen();
    const { observer } = this.#runner;
    if (!observer.isWatching) return this.#cursor(flight, options);
    return watchedCursor(observer, this.node, flight, (given) => this.#cursor(given, options));
  }

  /**
   * @param {FlightText} flight
   * @param {FlightOptions} options
   */
  #cursor(flight, options) {
    let isOpen = false;
    const read = async (
      /** @type {number} */ rows,
      /** @type {((call: any) => void) | undefined} */ sent = undefined,
    ) => {
      const call = isOpen
        ? this.#submit(OP.FETCH, { text: flight.text }, options, FLAG.HAS_SIGNAL, rows)
        : this.#submit(OP.FLIGHT, flight, options, FLAG.PORTAL | FLAG.HAS_SIGNAL, rows);
      isOpen = true;
      sent?.(call);
      const [{ rows: read, fields, tag }] = await call.promise;
      return { rows: read, fields, tag: call.suspended ? null : tag };
    };
    const close = async () => {
      if (isOpen) await this.#submit(OP.CLOSE_PORTAL, { text: flight.text }, options, 0, 0).promise;
      isOpen = false;
    };
    return { read, close };
  }

  /**
   * Loads data in one of COPY's formats.
   * @param {string} sql `COPY ... FROM STDIN`
   */
  copyIn(sql) {
    this.#checkOpen();
    const { observer } = this.#runner;
    const load = () => new HandedLoad(this.#runner, sql, this.#number);
    return observer.isWatching ? watchedLoad(observer, this.node, sql, load) : load();
  }

  /**
   * What COPY sends, as a Readable.
   * @param {string} sql `COPY ... TO STDOUT`
   */
  copyOut(sql) {
    this.#checkOpen();
    return new Unload(this.#runner, this.#number, sql, {}, (work) => work());
  }

  /** Asks the node, in one round trip, whether it still accepts writes. */
  async check() {
    this.#checkOpen();
    const { link, pool } = this.#runner;
    const call = await link.ask(OP.CHECK, pool, { transaction: this.#number });
    this.answered(call.node);
  }

  /** For the counts: what the session could not do runs again on another one. @param {string} cause the code of the error, if it has one */
  noteRetry(cause) {
    this.#runner.noteRetry(cause);
  }

  /** Cancels the flight that was sent last, if it runs. */
  cancel() {
    this.#runner.link.cancel(this.#lastCall, this.#runner.pool);
  }

  /** Ends the session when what runs has finished. @returns {Promise<void>} */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    const wasLost = this.#state === 'lost';
    this.#state = 'closed';
    if (wasLost) return;
    const { link, pool } = this.#runner;
    await link.ask(OP.ROLLBACK, pool, { transaction: this.#number }).catch(() => {});
    this.#forget();
  }
}

/** @typedef {(handlers: Handlers, options?: { timeoutMs?: number, signal?: AbortSignal }) => Promise<PinnedSession>} Pin */

/**
 * Opens a session on a node that suits the pool.
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {Handlers} handlers
 * @param {{ timeoutMs?: number, signal?: AbortSignal }} [options]
 */
async function pinSession(runner, handlers, options = {}) {
  const { link, pool, corePool } = runner;
  const { timeoutMs = 0, signal } = options;
  const handle = corePool.transaction();
  const number = handle.begin();
  const session = new PinnedSession(runner, handle, number, handlers);
  const details = { transaction: number, timeoutMs, flags: signal === undefined ? 0 : FLAG.HAS_SIGNAL };
  try {
    await underSignal(link, pool, signal, (started) =>
      link.ask(OP.PIN, pool, details, (call) => {
        call.onGrant = (_pieces, _count, opened) => session.begin(opened);
        started(call);
      }),
    );
  } catch (error) {
    runner.pinned.delete(number);
    handle.finish();
    throw located(error);
  }
  return session;
}

module.exports = { pinSession };
