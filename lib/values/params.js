'use strict';

// Parameters before they are written: checked, and with everything that can run the user's own code (toJSON, getters)
// behind them. What is left are numbers, strings, booleans, BigInts, nulls, Dates, byte arrays, Json, Structure, and arrays of
// these.

// By what they are, not by class: values of another realm (vm, test runners) have classes of their own.
const { isBoxedPrimitive, isDate, isUint8Array } = require('node:util').types;
const { ParameterError } = require('../errors.js');

/** An object as the JSON text that is sent for it. */
class Json {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * An object by its members, for a composite, a range or an hstore. What the parameter's type is is known to the core alone,
 * so the JSON goes with it until a statement is known to need only that.
 */
class Structure {
  /**
   * @param {Json | null} json null: the members say it all
   * @param {[key: string, value: unknown][]} members
   */
  constructor(json, members) {
    this.json = json;
    this.members = members;
  }
}

/** PostgreSQL's arrays have at most 6 dimensions; nested JSON may go deeper, but not without end. */
const DEEPEST = 64;

/** Thrown by what cannot be said by members. */
const NO_STRUCTURE = Symbol('no structure');

/**
 * A member, or an element of one.
 * @param {any} value
 * @param {number} depth
 * @returns {unknown}
 */
function memberOf(value, depth) {
  if (typeof value === 'string' && !value.isWellFormed()) throw NO_STRUCTURE;
  if (typeof value === 'function' || typeof value === 'symbol') throw NO_STRUCTURE;
  if (typeof value !== 'object' || value === null || isDate(value) || isUint8Array(value)) return value;
  if (depth === DEEPEST) throw NO_STRUCTURE;
  if (Array.isArray(value)) return Array.from(value, (element) => memberOf(element, depth + 1));
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(/** @type {any} */ (value));
  if (typeof value.toJSON === 'function' || isBoxedPrimitive(value)) {
    const text = JSON.stringify(value);
    return text === undefined ? null : new Json(text.toWellFormed());
  }
  return new Structure(null, membersOf(value, depth));
}

/**
 * Those that JSON has too.
 * @param {Record<string, unknown>} object
 * @param {number} depth
 */
function membersOf(object, depth) {
  /** @type {[string, unknown][]} */
  const members = [];
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol') continue;
    if (!key.isWellFormed()) throw NO_STRUCTURE;
    members.push([key, memberOf(value, depth + 1)]);
  }
  return members;
}

/**
 * @param {unknown} cause
 * @param {number} number
 */
function unsendable(cause, number) {
  const why = cause instanceof Error ? cause.message.split('\n')[0] : 'JSON.stringify failed';
  return new ParameterError(`parameter $${number}: object cannot be sent as JSON: ${why}`, { cause });
}

/**
 * The members beside the JSON, if they can be said.
 * @param {Record<string, unknown>} value
 * @param {Json | null} json
 * @param {number} number
 */
function toStructure(value, json, number) {
  try {
    return new Structure(json, membersOf(value, 0));
  } catch (error) {
    if (error === NO_STRUCTURE) return json;
    throw unsendable(error, number);
  }
}

/**
 * @param {any} value
 * @param {number} number of the parameter, for the error
 * @param {boolean} withMembers whether the type may take them
 */
function toJson(value, number, withMembers) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    // BigInts have no JSON of their own; the core writes all their digits.
    const structure = typeof value.toJSON === 'function' ? null : toStructure(value, null, number);
    if (structure === null) throw unsendable(cause, number);
    return structure;
  }
  // toJSON may say that there is nothing.
  if (text === undefined) return null;
  const json = new Json(text.toWellFormed());
  const isPlain = withMembers && typeof value.toJSON !== 'function' && !isBoxedPrimitive(value);
  return isPlain ? toStructure(value, json, number) : json;
}

/**
 * @param {unknown} value
 * @param {number} number
 * @param {boolean} withMembers
 * @param {number} depth
 * @returns {unknown}
 */
function normalizeOne(value, number, withMembers, depth = 0) {
  if (typeof value !== 'object' || value === null) return value;
  if (isDate(value) || isUint8Array(value)) return value;
  if (Array.isArray(value)) {
    if (depth === DEEPEST) throw new ParameterError(`parameter $${number}: arrays nest deeper than ${DEEPEST} levels`);
    return Array.from(value, (element) => normalizeOne(element, number, withMembers, depth + 1));
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(/** @type {any} */ (value));
  return toJson(value, number, withMembers);
}

/**
 * The parameters of one statement, as an array. The caller's is not changed.
 * @param {unknown} params
 * @returns {readonly unknown[]}
 */
function listOf(params) {
  if (params === undefined || params === null) return [];
  if (!Array.isArray(params)) throw new ParameterError('params must be an array');
  return params;
}

/**
 * The same, ready to be written.
 * @param {unknown} params
 * @param {boolean | undefined} takesStructure whether one of them takes an object by its members, if that is known
 * @returns {readonly unknown[]}
 */
function normalize(params, takesStructure) {
  const list = listOf(params);
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    if (typeof value === 'object' && value !== null) {
      const withMembers = takesStructure !== false;
      return Array.from(list, (element, index) => normalizeOne(element, index + 1, withMembers));
    }
  }
  return list;
}

module.exports = { Json, Structure, listOf, normalize, normalizeOne };
