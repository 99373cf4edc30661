'use strict';

// Parameters before they are written: checked, and with everything that can run the user's own code (toJSON, getters)
// behind them. What is left are numbers, strings, booleans, BigInts, nulls, Dates, byte arrays, Json, and arrays of these.

// By what they are, not by class: values of another realm (vm, test runners) have classes of their own.
const { isDate, isUint8Array } = require('node:util').types;
const { ParameterError } = require('./errors.js');

/** An object as the JSON text that is sent for it. */
class Json {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * @param {object} value
 * @param {number} number of the parameter, for the error
 */
function toJson(value, number) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : 'JSON.stringify failed';
    throw new ParameterError(`parameter $${number}: object cannot be sent as JSON: ${why}`, { cause });
  }
  // toJSON may say that there is nothing.
  return text === undefined ? null : new Json(text.toWellFormed());
}

/** PostgreSQL's arrays have at most 6 dimensions; nested JSON may go deeper, but not without end. */
const DEEPEST = 64;

/**
 * @param {unknown} value
 * @param {number} number
 * @param {number} depth
 * @returns {unknown}
 */
function normalizeOne(value, number, depth = 0) {
  if (typeof value !== 'object' || value === null) return value;
  if (isDate(value) || isUint8Array(value)) return value;
  if (Array.isArray(value)) {
    if (depth === DEEPEST) throw new ParameterError(`parameter $${number}: arrays nest deeper than ${DEEPEST} levels`);
    return Array.from(value, (element) => normalizeOne(element, number, depth + 1));
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(/** @type {any} */ (value));
  return toJson(value, number);
}

/**
 * The parameters of one statement. The caller's array is not changed.
 * @param {unknown} params
 * @returns {readonly unknown[]}
 */
function normalize(params) {
  if (params === undefined || params === null) return [];
  if (!Array.isArray(params)) throw new ParameterError('params must be an array');
  for (let i = 0; i < params.length; i++) {
    const value = params[i];
    if (typeof value === 'object' && value !== null) {
      return Array.from(params, (element, index) => normalizeOne(element, index + 1));
    }
  }
  return params;
}

module.exports = { Json, normalize, normalizeOne };
