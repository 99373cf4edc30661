'use strict';

// JSON of objects for which JSON.stringify has no answer, or `{}` although they hold something: Maps, Sets, typed arrays and BigInts
// are written as what they say; what has no JSON is refused by name. For everything else the text is that of JSON.stringify.

const { isBoxedPrimitive, isDate, isMap, isProxy, isSet } = require('node:util').types;
const { hasNumbers, isMemory, memoryName } = require('./views.js');

/** Why there is no JSON. */
class NoJsonError extends Error {
  /**
   * @param {string} message
   * @param {{ isMemory?: boolean }} [more] `isMemory`: the value has memory without numbers, which may be sent by its members
   */
  constructor(message, { isMemory = false } = {}) {
    super(message);
    this.isMemory = isMemory;
  }
}

/** @param {unknown} value */
const tagOf = (value) => Object.prototype.toString.call(value).slice(8, -1);

/**
 * What an object is, if JSON.stringify writes it without what it holds: `{}`, or only the fields that a subclass has.
 *
 * A name of a class that is not Object, and no property to write: it is not an empty object, but something whose contents are hidden,
 * such as a Promise, a WeakMap, an iterator, a RegExp, an Error.
 * @param {any} value neither array nor Date, and without toJSON
 * @returns {'Map' | 'Set' | 'memory' | 'hidden' | null} null: JSON.stringify writes what it holds
 */
function contentsOf(value) {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return null;
  const tag = tagOf(value);
  if (tag === 'Object') return null;
  if (isMap(value)) return 'Map';
  if (isSet(value)) return 'Set';
  if (isMemory(value)) return 'memory';
  if (isBoxedPrimitive(value)) return typeof value.valueOf() === 'symbol' ? 'hidden' : null;
  return Object.keys(value).length === 0 ? 'hidden' : null;
}

/** @param {unknown} value whose contents are hidden */
const nameOf = (value) => `${isProxy(value) ? 'Proxy of a ' : ''}${tagOf(value)}`;

/**
 * The entries of a Map by their names.
 * @param {Map<unknown, unknown>} map
 * @returns {[string, unknown][]}
 */
function entriesOf(map) {
  const entries = /** @type {[string, unknown][]} */ (Array.from(map));
  for (const [key] of entries) {
    if (typeof key === 'string') continue;
    const kind = /** @type {unknown} */ (key) === null ? 'null' : typeof key;
    throw new NoJsonError(`Map has a key of the type ${kind}: only strings can be names`);
  }
  return entries;
}

/**
 * Whether the text of JSON.stringify leaves out something that an object holds.
 * @param {string} text
 * @param {object} value
 */
function leavesOut(text, value) {
  // What is left out is an object within the object. Most parameters have none.
  if (text !== '{}' && text.indexOf('{', 1) < 0) return false;
  const open = [value];
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (typeof (/** @type {any} */ (one).toJSON) === 'function') {
      // Only toJSON knows what it has returned. That of a Date returns a string.
      if (!isDate(one) && text.includes('{}')) return true;
      continue;
    }
    if (!Array.isArray(one) && contentsOf(one) !== null) return true;
    for (const member of Array.isArray(one) ? one : Object.values(one)) {
      if (typeof member === 'object' && member !== null) open.push(member);
    }
  }
  return false;
}

class Writer {
  /** The objects that are being written. @type {Set<object>} */
  path = new Set();

  /**
   * @param {any} given
   * @param {string} key
   * @returns {string | undefined} undefined: JSON.stringify leaves it out
   */
  write(given, key) {
    const isObject = typeof given === 'object' && given !== null;
    // As SerializeJSONProperty of ECMAScript.
    const hasToJson = (isObject || typeof given === 'bigint') && typeof given.toJSON === 'function';
    const value = hasToJson ? given.toJSON(key) : given;
    if (typeof value === 'bigint') return value.toString();
    if (typeof value !== 'object' || value === null) return JSON.stringify(value);
    if (this.path.has(value)) throw new NoJsonError('Converting circular structure to JSON');
    this.path.add(value);
    const text = this.writeObject(value);
    this.path.delete(value);
    return text;
  }

  /** @param {any} value */
  writeObject(value) {
    if (Array.isArray(value)) return this.list(value);
    switch (contentsOf(value)) {
      case 'Map':
        return this.members(entriesOf(value));
      case 'Set':
        return this.list(Array.from(value));
      case 'memory':
        if (hasNumbers(value)) return this.list(Array.from(value));
        throw new NoJsonError(`${memoryName(value)} has no JSON`, { isMemory: true });
      case 'hidden':
        throw new NoJsonError(`${nameOf(value)} has no JSON`);
      default:
        return isBoxedPrimitive(value) ? JSON.stringify(value) : this.members(Object.entries(value));
    }
  }

  /** @param {unknown[]} items */
  list(items) {
    return `[${items.map((item, index) => this.write(item, String(index)) ?? 'null').join(',')}]`;
  }

  /** @param {[string, unknown][]} entries */
  members(entries) {
    const members = [];
    for (const [key, value] of entries) {
      const text = this.write(value, key);
      if (text !== undefined) members.push(`${JSON.stringify(key)}:${text}`);
    }
    return `{${members.join(',')}}`;
  }
}

/**
 * The JSON of a value, with all that it holds.
 * @param {unknown} value
 * @returns {string | undefined} undefined: its toJSON has returned nothing
 */
const exactJson = (value) => new Writer().write(value, '');

module.exports = { NoJsonError, contentsOf, entriesOf, exactJson, leavesOut, nameOf };
