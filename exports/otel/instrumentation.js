'use strict';

// Makes spans and metrics of the messages on the channels of the pools (docs/observability.md says what they have).

const { channel } = require('node:diagnostics_channel');
const active = require('./active.js');
const { SCOPE } = require('./api.js');
const { PoolAttributes, descriptionOf, errorAttributes } = require('./attributes.js');
const { traceFailover } = require('./failover-span.js');
const { Metrics } = require('./metrics.js');
const { parameterAttributes } = require('./parameters.js');
const { QueryTexts } = require('./query-text.js');
const { withComment } = require('./sqlcommenter.js');

const client = /** @type {any} */ (require('../../client.js'));

const { openPools } = client[Symbol.for('hyperiondb-client.options')];

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('@opentelemetry/api').Span} Span */
/** @typedef {import('./attributes.js').Operation} Operation a statement that has begun has one */
/** @typedef {{ span: Span, pool: PoolAttributes, operation: Operation | undefined, startedAt: number }} Begun */

/** Statements whose text may have a comment of their span. COPY has no text of the caller, and a script may be of megabytes. */
const WITH_COMMENT = new Set(['query', 'read', 'stream']);

/**
 * What a statement has failed with. A batch whose statements stand for themselves has ended well although some of them have failed: the
 * first of those says it.
 * @param {any} message of hyperiondb:query
 */
function errorOf({ error, statements }) {
  return error ?? statements?.find((/** @type {any} */ statement) => statement.error !== undefined)?.error;
}

class Instrumentation {
  #api;
  #options;
  /** @type {import('@opentelemetry/api').Tracer} */
  #tracer;
  #metrics;
  #texts = new QueryTexts();
  /** @type {WeakMap<object, PoolAttributes>} */
  #pools = new WeakMap();
  /** The property of a message that has what was begun for it. */
  #key = Symbol('span');
  /** How many spans have begun and not ended. */
  #open = 0;
  #isEnabled = false;
  /** What ends each subscription: to beginnings, and to ends. @type {{ starts: (() => void)[], ends: (() => void)[] }} */
  #subscriptions = { starts: [], ends: [] };

  /**
   * @param {Api} api
   * @param {object | undefined} pool undefined: all
   * @param {Record<string, any>} options checked
   */
  constructor(api, pool, options) {
    this.#api = api;
    this.#options = options;
    /** Weak: what watches a pool does not keep it. @type {WeakRef<object> | undefined} */
    this.pool = pool === undefined ? undefined : new WeakRef(pool);
    this.#tracer = (options.tracerProvider ?? api.trace).getTracer(...SCOPE);
    this.#metrics = new Metrics(api, options.meterProvider, () => this.#measured());
  }

  enable() {
    this.#isEnabled = true;
    active.enable(this);
    const { starts, ends } = this.#subscriptions;
    starts.push(
      this.#subscribe('tracing:hyperiondb:query:start', this.#beginStatement),
      this.#bind('tracing:hyperiondb:transaction:start'),
      this.#subscribe('tracing:hyperiondb:transaction:start', this.#beginTransaction),
      this.#subscribe('hyperiondb:failover', this.#failover),
    );
    ends.push(
      this.#subscribe('tracing:hyperiondb:query:asyncEnd', this.#endStatement),
      this.#subscribe('tracing:hyperiondb:transaction:asyncEnd', this.#endTransaction),
    );
    this.#metrics.isOn();
  }

  disable() {
    if (!this.#isEnabled) return;
    this.#isEnabled = false;
    active.disable(this);
    this.#metrics.stop();
    for (const end of this.#subscriptions.starts) end();
    this.#endIfDone();
  }

  /** What has begun is told to its end, and then nobody listens any more. */
  #endIfDone() {
    if (this.#isEnabled || this.#open > 0) return;
    for (const end of this.#subscriptions.ends) end();
  }

  /**
   * @param {string} name
   * @param {(message: any) => void} handler
   * @returns {() => void} ends the subscription
   */
  #subscribe(name, handler) {
    const source = channel(name);
    const listener = (/** @type {any} */ message) => this.#guard(() => handler(message));
    source.subscribe(listener);
    return () => source.unsubscribe(listener);
  }

  /**
   * Makes the span of a transaction the active one in the callback of transaction(). The context of OpenTelemetry is not bound by its
   * store, which its manager keeps to itself, but by its own with(): runStores() needs nothing of a store but run(), on Node 20, 22
   * and 24.
   * @param {string} name
   */
  #bind(name) {
    const { context } = this.#api;
    const source = channel(name);
    const store = /** @type {any} */ ({
      run: (/** @type {any} */ bound, /** @type {() => unknown} */ fn) =>
        bound === undefined ? fn() : context.with(bound, fn),
    });
    source.bindStore(store, (message) => this.#guard(() => this.#contextOf(message)));
    return () => {
      source.unbindStore(store);
    };
  }

  /**
   * Nothing that an exporter, a sampler or a propagator throws ends the process: Node would hand it to 'uncaughtException'.
   * @template T
   * @param {() => T} work
   * @returns {T | undefined}
   */
  #guard(work) {
    try {
      return work();
    } catch (error) {
      this.#api.diag.error('hyperiondb-client/otel', error);
      return undefined;
    }
  }

  /** @param {object} pool */
  #owns(pool) {
    return active.ownerOf(pool) === this;
  }

  /** @param {object} pool */
  #attributesOf(pool) {
    const known = this.#pools.get(pool);
    if (known !== undefined) return known;
    const attributes = new PoolAttributes(pool, this.#texts);
    this.#pools.set(pool, attributes);
    return attributes;
  }

  /** The open pools that this instrumentation measures. */
  #measured() {
    /** @type {any[]} */
    const pools = openPools().map((/** @type {any} */ [, { pool }]) => pool);
    return pools.filter((pool) => this.#owns(pool));
  }

  /** @param {any} message @param {Begun} begun */
  #begun(message, begun) {
    message[this.#key] = begun;
    this.#open += 1;
  }

  /** What was begun for a message that has ended. @param {any} message @returns {Begun | undefined} */
  #taken(message) {
    const begun = message[this.#key];
    if (begun === undefined) return undefined;
    message[this.#key] = undefined;
    this.#open -= 1;
    return begun;
  }

  /** @param {any} message of hyperiondb:query */
  #beginStatement = (message) => {
    if (!this.#owns(message.pool)) return;
    const pool = this.#attributesOf(message.pool);
    const operation = pool.operationOf(message);
    const { SpanKind } = this.#api;
    const span = this.#tracer.startSpan(operation.name, { kind: SpanKind.CLIENT, attributes: operation.ofSpan });
    this.#begun(message, { span, pool, operation, startedAt: performance.now() });
    const { captureParameters, sqlcommenter } = this.#options;
    if (captureParameters && span.isRecording()) span.setAttributes(parameterAttributes(message.parameters));
    if (sqlcommenter !== false && WITH_COMMENT.has(message.operation)) {
      const text = withComment(this.#api, sqlcommenter, span, message.sql);
      if (text !== message.sql) message.text = text;
    }
  };

  /** @param {any} message of hyperiondb:query */
  #endStatement = (message) => {
    const begun = this.#taken(message);
    if (begun === undefined) return;
    const { span, pool, startedAt } = begun;
    const operation = /** @type {Operation} */ (begun.operation);
    const { node, rowCount } = message;
    const error = errorOf(message);
    const server = pool.server(node);
    try {
      const hasRows = this.#options.captureRows && operation.returns && error === undefined && rowCount !== undefined;
      if (span.isRecording()) {
        if (!pool.hasOneNode) span.setAttributes(server);
        if (hasRows) span.setAttribute('db.response.returned_rows', rowCount);
        if (error !== undefined) this.#fail(span, error);
      }
      span.end();
      if (!this.#metrics.isOn()) return;
      const ofAll = operation.ofMetrics(node, server);
      const attributes = error === undefined ? ofAll : { ...ofAll, ...errorAttributes(error) };
      this.#metrics.recordDuration((performance.now() - startedAt) / 1_000, attributes);
      if (hasRows) this.#metrics.recordRows(rowCount, attributes);
      // Within a transaction only its BEGIN has asked for a connection.
      if (message.transaction === undefined || message.waitMs > 0) {
        this.#metrics.recordWait(message.waitMs / 1_000, pool.ofPool);
      }
    } finally {
      this.#endIfDone();
    }
  };

  /** @param {Span} span @param {unknown} error */
  #fail(span, error) {
    span.setAttributes(errorAttributes(error));
    const message = descriptionOf(error, this.#options.captureParameters);
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message });
  }

  /** The context in which the callback of a transaction runs; undefined: that of its caller. @param {any} message */
  #contextOf(message) {
    this.#beginTransaction(message);
    const begun = message[this.#key];
    const { context, trace } = this.#api;
    return begun === undefined ? undefined : trace.setSpan(context.active(), begun.span);
  }

  /** @param {any} message of hyperiondb:transaction */
  #beginTransaction = (message) => {
    // The transaction of a callback has begun in #contextOf(): runStores() asks for what is bound before it publishes.
    if (message[this.#key] !== undefined || !this.#owns(message.pool)) return;
    const pool = this.#attributesOf(message.pool);
    const { isolation, readOnly } = message;
    // Not of kind CLIENT: it is no call of the server, but groups those within it, and holds the time of the callback.
    const span = this.#tracer.startSpan(`transaction ${pool.common['db.namespace']}`, {
      kind: this.#api.SpanKind.INTERNAL,
      attributes: {
        ...pool.common,
        ...(isolation !== undefined && { 'hyperiondb.transaction.isolation': isolation }),
        ...(readOnly !== undefined && { 'hyperiondb.transaction.read_only': readOnly }),
      },
    });
    this.#begun(message, { span, pool, operation: undefined, startedAt: 0 });
  };

  /** @param {any} message of hyperiondb:transaction */
  #endTransaction = (message) => {
    const begun = this.#taken(message);
    if (begun === undefined) return;
    const { span, pool } = begun;
    const { outcome, attempts, error, node } = message;
    span.setAttributes(pool.server(node));
    if (outcome !== undefined) span.setAttribute('hyperiondb.transaction.outcome', outcome);
    span.setAttribute('hyperiondb.transaction.attempts', attempts);
    if (error !== undefined) this.#fail(span, error);
    span.end();
    this.#endIfDone();
  };

  /** @param {any} failover */
  #failover = (failover) => {
    if (!this.#owns(failover.pool)) return;
    traceFailover(this.#api, this.#tracer, this.#attributesOf(failover.pool).common, failover);
  };
}

module.exports = { Instrumentation };
