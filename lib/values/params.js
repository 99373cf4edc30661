'use strict';

// Normalizes parameters before they are written: checks them, and runs all code of the user (toJSON, getters). The result has only
// numbers, strings, booleans, BigInts, nulls, Dates, Uint8Arrays, View, Json, Structure, SetElements, and arrays of these.

// Not instanceof: values of another realm (vm, test runners) have classes of their own.
const { isBoxedPrimitive, isDate } = require('node:util').types;
const { ParameterError } = require('../errors.js');
const { NoJsonError, contentsOf, entriesOf, exactJson, leavesOut, nameOf } = require('./exact-json.js');
const { isMemory, memoryOf } = require('./views.js');

/** An object as the JSON text that is sent for it. */
class Json {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * An object or a Map by its members, for a composite, a range or an hstore. Only the core knows the type of the parameter, so the JSON
 * is sent beside the members, until a statement is known to need only the JSON.
 */
class Structure {
  /**
   * @param {Json | null} json null: the core makes it of the members, or refuses it
   * @param {[key: string, value: unknown][]} members
   * @param {boolean} isMap
   */
  constructor(json, members, isMap) {
    this.json = json;
    this.members = members;
    this.isMap = isMap;
  }
}

/** The elements of a Set, which is sent as an array. */
class SetElements {
  /** @param {unknown[]} elements */
  constructor(elements) {
    this.elements = elements;
  }
}

/** PostgreSQL's arrays have at most 6 dimensions. Nested JSON may be deeper, up to this limit. */
const DEEPEST = 64;

/** Thrown for an object that cannot be sent by its members. */
const NO_STRUCTURE = Symbol('no structure');

/** @param {any} value */
const hasToJson = (value) => typeof value.toJSON === 'function';

/**
 * The JSON of an object; null: its toJSON has returned nothing.
 * @param {object} value
 */
function jsonOf(value) {
  /** @type {string | undefined} */
  let text;
  let isExact = false;
  try {
    text = JSON.stringify(value);
    isExact = text === undefined || !leavesOut(text, value);
  } catch {
    // It has a BigInt, which exactJson can write; or it fails there, too.
  }
  if (!isExact) text = exactJson(value);
  return text === undefined ? null : new Json(text.toWellFormed());
}

/**
 * Normalizes a member, or an element of one.
 * @param {any} value
 * @param {number} number of the parameter
 * @param {number} depth
 * @returns {unknown}
 */
function memberOf(value, number, depth) {
  if (typeof value === 'string' && !value.isWellFormed()) throw NO_STRUCTURE;
  if (typeof value === 'function' || typeof value === 'symbol') throw NO_STRUCTURE;
  if (typeof value !== 'object' || value === null || isDate(value)) return value;
  if (isMemory(value)) return memoryOf(value, number);
  if (depth === DEEPEST) throw NO_STRUCTURE;
  if (Array.isArray(value)) return Array.from(value, (element) => memberOf(element, number, depth + 1));
  if (hasToJson(value) || isBoxedPrimitive(value)) return jsonOf(value);
  const contents = contentsOf(value);
  if (contents === 'hidden') throw new NoJsonError(`${nameOf(value)} has no JSON`);
  if (contents !== 'Set') return structureOf(value, null, number, depth);
  return new SetElements(Array.from(value, (element) => memberOf(element, number, depth + 1)));
}

/**
 * An object or a Map by the members that its JSON has, too.
 * @param {any} object
 * @param {Json | null} json
 * @param {number} number of the parameter
 * @param {number} depth
 */
function structureOf(object, json, number, depth) {
  const isMap = contentsOf(object) === 'Map';
  /** @type {[string, unknown][]} */
  const members = [];
  for (const [key, value] of isMap ? entriesOf(object) : Object.entries(object)) {
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol') continue;
    if (!key.isWellFormed()) throw NO_STRUCTURE;
    members.push([key, memberOf(value, number, depth + 1)]);
  }
  return new Structure(json, members, isMap);
}

/**
 * @param {unknown} cause
 * @param {number} number
 * @param {string} [what] cannot be sent
 */
function unsendable(cause, number, what = 'object') {
  if (cause instanceof ParameterError) return cause;
  const why = cause instanceof Error ? cause.message.split('\n')[0] : 'JSON.stringify failed';
  const how = what === 'object' ? ' as JSON' : '';
  return new ParameterError(`parameter $${number}: ${what} cannot be sent${how}: ${why}`, { cause });
}

/**
 * An object by its members, beside its JSON; the JSON alone if the members cannot be sent or are not wanted.
 * @param {any} value
 * @param {number} number of the parameter, for the error
 * @param {boolean} withMembers whether the type of the parameter may take members
 */
function toJson(value, number, withMembers) {
  const isOwnJson = hasToJson(value);
  const contents = isOwnJson ? null : contentsOf(value);
  if (contents === 'hidden') throw new ParameterError(`parameter $${number}: ${nameOf(value)} cannot be sent`);
  const what = contents === 'Map' ? 'Map' : 'object';
  let json = null;
  let failure;
  try {
    json = contents === 'Map' ? new Json(String(exactJson(value))) : jsonOf(value);
  } catch (error) {
    // Memory may be a member of a composite: the core, which knows the type, refuses what is none.
    if (!(error instanceof NoJsonError && error.isMemory) || isOwnJson) throw unsendable(error, number, what);
    failure = error;
  }
  // A Map has its members in any case, and so its name in an error of the core.
  const needsMembers = withMembers || failure !== undefined || contents === 'Map';
  if (!needsMembers || isOwnJson || isBoxedPrimitive(value)) return json;
  try {
    return structureOf(value, json, number, 0);
  } catch (error) {
    if (error === NO_STRUCTURE && failure === undefined) return json;
    throw unsendable(error === NO_STRUCTURE ? failure : error, number, what);
  }
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
  // Most are plain objects, which need no further look.
  if (Object.getPrototypeOf(value) === Object.prototype) return toJson(value, number, withMembers);
  if (isDate(value)) return value;
  if (isMemory(value)) return memoryOf(value, number);
  const isArray = Array.isArray(value);
  if (!isArray && (hasToJson(value) || contentsOf(value) !== 'Set')) return toJson(value, number, withMembers);
  if (depth === DEEPEST) throw new ParameterError(`parameter $${number}: arrays nest deeper than ${DEEPEST} levels`);
  const elements = Array.from(/** @type {Iterable<unknown>} */ (value), (element) =>
    normalizeOne(element, number, withMembers, depth + 1),
  );
  return isArray ? elements : new SetElements(elements);
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

module.exports = { Json, SetElements, Structure, listOf, normalize, normalizeOne };
