'use strict';

// The metrics of opentelemetry.io/docs/specs/semconv/db/database-metrics, as far as a pool knows them.

const { SCOPE } = require('./api.js');
const { POOL_NAME } = require('./attributes.js');

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('@opentelemetry/api').Attributes} Attributes */
/** @typedef {{ name: string, status(): any, stats(): any }} Measured a pool */

/** The boundaries that the convention advises for durations of operations, and for rows. */
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
const ROWS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

const STATE = 'db.client.connection.state';

class Metrics {
  #api;
  #provider;
  /** @type {() => Measured[]} */
  #pools;
  /** @type {import('@opentelemetry/api').Meter | undefined} */
  #meter;
  /** @type {import('@opentelemetry/api').Histogram | undefined} */
  #duration;
  /** @type {import('@opentelemetry/api').Histogram | undefined} */
  #waitTime;
  /** @type {import('@opentelemetry/api').Histogram | undefined} */
  #rows;
  /** @type {import('@opentelemetry/api').Observable[]} */
  #observed = [];

  /**
   * @param {Api} api
   * @param {import('@opentelemetry/api').MeterProvider | undefined} provider undefined: the global one
   * @param {() => Measured[]} pools those that are measured
   */
  constructor(api, provider, pools) {
    this.#api = api;
    this.#provider = provider;
    this.#pools = pools;
  }

  /**
   * Whether there is somebody who takes metrics. The API has proxies for tracers that are asked for before there is a provider, and none
   * for meters: it gives one that does nothing, so a real one is asked for again.
   */
  isOn() {
    return this.#meter !== undefined || this.#start();
  }

  #start() {
    const { metrics, createNoopMeter } = this.#api;
    const meter = (this.#provider ?? metrics.getMeterProvider()).getMeter(SCOPE[0], SCOPE[1]);
    if (meter instanceof /** @type {any} */ (createNoopMeter().constructor)) return false;
    this.#meter = meter;
    this.#duration = meter.createHistogram('db.client.operation.duration', {
      description: 'Duration of database client operations.',
      unit: 's',
      advice: { explicitBucketBoundaries: SECONDS },
    });
    this.#waitTime = meter.createHistogram('db.client.connection.wait_time', {
      description: 'The time it took to obtain an open connection from the pool.',
      unit: 's',
      advice: { explicitBucketBoundaries: SECONDS },
    });
    this.#rows = meter.createHistogram('db.client.response.returned_rows', {
      description: 'The actual number of records returned by the database operation.',
      unit: '{row}',
      advice: { explicitBucketBoundaries: ROWS },
    });
    this.#observed = this.#observables(meter);
    meter.addBatchObservableCallback(this.#observe, this.#observed);
    return true;
  }

  /** @param {import('@opentelemetry/api').Meter} meter */
  #observables(meter) {
    /** @param {string} name @param {string} unit @param {string} description */
    const gauge = (name, unit, description) =>
      meter.createObservableUpDownCounter(`db.client.connection.${name}`, { unit, description });
    return [
      gauge(
        'count',
        '{connection}',
        'The number of connections that are currently in state described by the state attribute.',
      ),
      gauge('max', '{connection}', 'The maximum number of open connections allowed.'),
      gauge('idle.max', '{connection}', 'The maximum number of idle open connections allowed.'),
      gauge('idle.min', '{connection}', 'The minimum number of idle open connections allowed.'),
      gauge('pending_requests', '{request}', 'The number of current pending requests for an open connection.'),
      meter.createObservableCounter('db.client.connection.timeouts', {
        unit: '{timeout}',
        description:
          'The number of connection timeouts that have occurred trying to obtain a connection from the pool.',
      }),
    ];
  }

  /** @param {import('@opentelemetry/api').BatchObservableResult} result */
  #observe = (result) => {
    const [count, max, idleMax, idleMin, pending, timeouts] = this.#observed;
    for (const pool of this.#pools()) {
      const name = { [POOL_NAME]: pool.name };
      const { maxSize, size, inUse, waiting } = pool.status();
      result.observe(count, size - inUse, { ...name, [STATE]: 'idle' });
      result.observe(count, inUse, { ...name, [STATE]: 'used' });
      result.observe(max, maxSize, name);
      // A connection may be idle until idleTimeoutMs has passed, and none has to be kept.
      result.observe(idleMax, maxSize, name);
      result.observe(idleMin, 0, name);
      result.observe(pending, waiting, name);
      result.observe(timeouts, pool.stats().errors.ERR_ACQUIRE_TIMEOUT ?? 0, name);
    }
  };

  /** @param {number} seconds @param {Attributes} attributes */
  recordDuration(seconds, attributes) {
    this.#duration?.record(seconds, attributes);
  }

  /** @param {number} seconds @param {Attributes} pool */
  recordWait(seconds, pool) {
    this.#waitTime?.record(seconds, pool);
  }

  /** @param {number} rows @param {Attributes} attributes */
  recordRows(rows, attributes) {
    this.#rows?.record(rows, attributes);
  }

  /** Observes no pool any more. What has begun is still recorded. */
  stop() {
    this.#meter?.removeBatchObservableCallback(this.#observe, this.#observed);
  }
}

module.exports = { Metrics };
