'use strict';

// The options of a call, checked: those that query() takes, and what other methods have in common with it.

const { ParameterError } = require('../errors.js');
const { integer, oneOf, plainObject } = require('../options/validate.js');

/**
 * @typedef {object} QueryOptions
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal]
 * @property {boolean} [readOnly]
 * @property {'object' | 'array'} [rowMode]
 * @property {object} [types]
 */

const NONE = Object.freeze({ timeoutMs: 0, signal: undefined, readOnly: false });
const KNOWN = ['timeoutMs', 'signal', 'readOnly', 'rowMode', 'types'];
const STREAM_OPTIONS = [...KNOWN, 'batchSize'];

/** Not by its class: test runners and polyfills have classes of their own. @param {any} value */
const isSignal = (value) => typeof value?.aborted === 'boolean' && typeof value.addEventListener === 'function';

/**
 * Checks the options of one call. A mistake is a ParameterError, and nothing is sent.
 * @param {unknown} options
 * @param {readonly string[]} [known]
 * @returns {Record<string, any>}
 */
function callOptions(options, known = KNOWN) {
  if (options === undefined || options === null) return NONE;
  try {
    const given = plainObject('options', options);
    for (const name of Object.keys(given)) {
      if (!known.includes(name)) throw new ParameterError(`unknown option '${name}'`);
    }
    if (given.timeoutMs !== undefined && given.timeoutMs !== 0) integer('timeoutMs', given.timeoutMs, 1, 0x7fff_ffff);
    if (given.signal !== undefined && !isSignal(given.signal)) {
      throw new ParameterError('signal must be an AbortSignal');
    }
    if (given.rowMode !== undefined) oneOf('rowMode', given.rowMode, ['object', 'array']);
    if (given.batchSize !== undefined) integer('batchSize', given.batchSize, 1, 1_000_000);
    for (const name of ['readOnly', 'deferrable']) {
      if (given[name] !== undefined && typeof given[name] !== 'boolean') {
        throw new ParameterError(`${name} must be a boolean`);
      }
    }
    return given;
  } catch (error) {
    if (error instanceof ParameterError) throw error;
    throw new ParameterError(/** @type {Error} */ (error).message);
  }
}

module.exports = { NONE, STREAM_OPTIONS, callOptions };
