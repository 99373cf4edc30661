'use strict';

// Normalizes parameters before they are written: checks them, and runs all code of the user (toJSON, getters). The result has only
// numbers, strings, booleans, BigInts, nulls, Dates, byte arrays, Json, Structure, and arrays of these.

// Not instanceof: values of another realm (vm, test runners) have classes of their own.
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
 * An object by its members, for a composite, a range or an hstore. Only the core knows the type of the parameter, so the JSON is sent
 * beside the members, until a statement is known to need only the JSON.
 */
class Structure {
  /**
   * @param {Json | null} json null: it has none, or needs none
   * @param {[key: string, value: unknown][]} members
   */
  constructor(json, members) {
    this.json = json;
    this.members = members;
  }
}

/** PostgreSQL's arrays have at most 6 dimensions. Nested JSON may be deeper, up to this limit. */
const DEEPEST = 64;

/** Thrown for an object that cannot be sent by its members. */
const NO_STRUCTURE = Symbol('no structure');

/**
 * Normalizes a member, or an element of one.
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
 * The members of an object that its JSON has, too.
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
 * The object by its members, beside its JSON; the JSON alone if the members cannot be sent.
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
 * @param {boolean} withMembers whether the type of the parameter may take members
 */
function toJson(value, number, withMembers) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    // A BigInt has no JSON in JavaScript. The core writes its digits.
    const structure = typeof value.toJSON === 'function' ? null : toStructure(value, null, number);
    if (structure === null) throw unsendable(cause, number);
    return structure;
  }
  // toJSON may return undefined.
  if (text === undefined) return null;
  const json = new Json(text.toWellFormed());
  const isPlain = withMembers && typeof value.toJSON !== 'function' && !isBoxedPrimitive(value);
  return isPlain ? toStructure(value, json, number) : json;
}

/**
 * Normalizes one parameter, or an element of an array.
 * @param {unknown} value
 * @param {number} number of the parameter, for the error
 * @param {boolean} withMembers whether the type of the parameter may take members
 * @param {number} depth of arrays
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
 * The parameters of a statement, as an array.
 * @param {unknown} params
 * @returns {readonly unknown[]}
 */
function listOf(params) {
  if (params === undefined || params === null) return [];
  if (!Array.isArray(params)) throw new ParameterError('params must be an array');
  return params;
}

/**
 * Normalizes the parameters of a statement. The caller's array is not changed.
 * @param {unknown} params
 * @param {boolean | undefined} takesStructure whether a parameter takes an object by its members; undefined: not known
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
