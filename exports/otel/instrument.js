'use strict';

// instrument(): its arguments, and the package of OpenTelemetry.

const client = /** @type {any} */ (require('../../client.js'));
const { loadApi } = require('./api.js');
const { Instrumentation } = require('./instrumentation.js');

const { OptionError } = client;
const { boolean, kindOf, plainObject, refuseUnknown } = client[Symbol.for('hyperiondb-client.options')];

/** @param {string} name @param {any} value @param {string} method @param {string} what */
function withMethod(name, value, method, what) {
  if (typeof value?.[method] !== 'function') throw new OptionError(`${name} must be ${what}, not ${kindOf(value)}`);
  return value;
}

/** @param {unknown} value */
function commenter(value) {
  if (typeof value === 'boolean') return value;
  if (kindOf(value) !== 'object')
    throw new OptionError(`sqlcommenter must be a boolean or an object, not ${kindOf(value)}`);
  const given = /** @type {Record<string, unknown>} */ (value);
  refuseUnknown(given, { propagator: true }, { path: 'sqlcommenter' });
  return { propagator: withMethod('sqlcommenter.propagator', given.propagator, 'inject', 'a TextMapPropagator') };
}

/** @type {Record<string, { value: unknown, check: (value: unknown, name: string) => unknown }>} */
const OPTIONS = {
  tracerProvider: {
    value: undefined,
    check: (value, name) => withMethod(name, value, 'getTracer', 'a TracerProvider of @opentelemetry/api'),
  },
  meterProvider: {
    value: undefined,
    check: (value, name) => withMethod(name, value, 'getMeter', 'a MeterProvider of @opentelemetry/api'),
  },
  captureParameters: { value: false, check: boolean },
  captureRows: { value: false, check: boolean },
  sqlcommenter: { value: false, check: commenter },
};

/** Also a pool of another copy of the package. @param {any} value */
const isPool = (value) => typeof value?.[Symbol.for('hyperiondb-client.session')] === 'function';

/**
 * Whether it is written as options: anything else that is given alone was meant as a pool. Of another realm, too.
 * @param {unknown} value
 */
function isLiteral(value) {
  if (kindOf(value) !== 'object') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** @param {unknown} options */
function checkOptions(options) {
  const given = plainObject('options', options);
  refuseUnknown(given, OPTIONS);
  return Object.fromEntries(
    Object.entries(OPTIONS).map(([name, { value, check }]) => [
      name,
      given[name] === undefined ? value : check(given[name], name),
    ]),
  );
}

/** Instruments pools until they are collected. @type {FinalizationRegistry<Instrumentation>} */
const collected = new FinalizationRegistry((instrumentation) => instrumentation.disable());

/**
 * Makes spans and metrics of what a pool does, or, without one, all pools of this thread.
 * @param {any} [pool]
 * @param {unknown} [options]
 */
function instrument(pool, options) {
  // instrument({ captureParameters: true }): of all pools, too.
  const isOptions = options === undefined && isLiteral(pool);
  const [watched, given] = isOptions ? [undefined, pool] : [pool ?? undefined, options];
  if (watched !== undefined && !isPool(watched)) {
    throw new OptionError(
      `pool must be a Pool of hyperiondb-client, not ${kindOf(watched)}: instrument() without one is of all pools, those within ` +
        'the clients of other entry points included',
    );
  }
  const checked = checkOptions(given ?? {});
  const instrumentation = new Instrumentation(loadApi(), watched, checked);
  instrumentation.enable();
  if (watched !== undefined) collected.register(watched, instrumentation);
  return {
    disable() {
      instrumentation.disable();
    },
  };
}

module.exports = { instrument };
