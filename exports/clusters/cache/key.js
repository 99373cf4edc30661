'use strict';

// The key of an entry: the SHA-256 of all that decides what a call returns. Each value is written with its type and its length, so
// that the text can be read in one way only, and two different calls never have one key. A value whose meaning cannot be written for
// certain (a function, an instance of a class, an object with toJSON) has no key: its call is not cached.
//
// Every value is read once, and what was read is returned as a copy. The statement must run with this copy: between the key and the
// statement the caller may change an array or a buffer, or a getter may return something else.

const crypto = require('node:crypto');
const { isMap, isProxy, isSet, isUint8Array } = require('node:util').types;

/** Thrown for a value without a certain encoding. */
const UNCERTAIN = Symbol('no certain encoding');

/** Deeper values have no key; parameters nest up to this depth. */
const DEEPEST = 64;

/** Functions are known in one process only, and so is a key that has one. */
const PROCESS = crypto.randomBytes(16).toString('base64url');
/** @type {WeakMap<Function, number>} */
const functions = new WeakMap();
let lastFunction = 0;

/** @param {Function} fn */
function nameOfFunction(fn) {
  if (!functions.has(fn)) functions.set(fn, ++lastFunction);
  return `${PROCESS}.${functions.get(fn)}`;
}

/** Views of memory, but Buffer and Uint8Array: they are copied by their constructors. */
const TYPED_ARRAYS = new Map(
  [
    Int8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
  ].map((type) => [/** @type {object} */ (type.prototype), /** @type {any} */ (type)]),
);

/** @param {ArrayBufferView} view */
const latin1 = ({ buffer, byteOffset, byteLength }) =>
  Buffer.from(/** @type {ArrayBuffer} */ (buffer), byteOffset, byteLength).toString('latin1');

/** Memory that was transferred to another thread looks empty; a view of it throws. @param {ArrayBufferView} view */
function assertThere({ buffer, byteLength }) {
  if (byteLength === 0) new Uint8Array(buffer);
}

/** Writes values, and copies what may change. */
class Encoder {
  text = '';

  /** @param {{ withFunctions?: boolean }} [options] `withFunctions`: functions are told apart by their identity */
  constructor({ withFunctions = false } = {}) {
    this.withFunctions = withFunctions;
  }

  /** @param {string} tag @param {string} value */
  #write(tag, value) {
    this.text += `${tag}${value.length}:${value}`;
  }

  /**
   * @param {unknown} value
   * @param {number} [depth]
   * @returns {unknown} the copy
   */
  value(value, depth = 0) {
    switch (typeof value) {
      case 'string':
        this.#write('s', value);
        return value;
      case 'number':
        // String() writes -0 as 0, and all else so that it can be read back.
        this.#write('n', Object.is(value, -0) ? '-0' : String(value));
        return value;
      case 'bigint':
        this.#write('i', String(value));
        return value;
      case 'boolean':
        this.text += value ? 'T' : 'F';
        return value;
      case 'undefined':
        this.text += 'U';
        return value;
      case 'object':
        if (value !== null) return this.#object(value, depth);
        this.text += 'N';
        return value;
      case 'function':
        if (!this.withFunctions) throw UNCERTAIN;
        this.#write('f', nameOfFunction(value));
        return value;
      default:
        throw UNCERTAIN;
    }
  }

  /** @param {any} value @param {number} depth */
  #object(value, depth) {
    if (depth === DEEPEST || isProxy(value)) throw UNCERTAIN;
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Date.prototype) return this.#date(value);
    const isBytes = prototype === Buffer.prototype || prototype === Uint8Array.prototype;
    if (isBytes && isUint8Array(value)) return this.#bytes(value, prototype === Buffer.prototype);
    if (TYPED_ARRAYS.has(prototype) && ArrayBuffer.isView(value)) return this.#typedArray(value, prototype);
    // An object that says itself what its JSON is.
    if (typeof value.toJSON === 'function') throw UNCERTAIN;
    if (prototype === Array.prototype && Array.isArray(value)) return this.list('A', value, depth);
    if (prototype === Object.prototype || prototype === null) return this.#members('O', value, depth);
    if (prototype === Map.prototype && isMap(value)) return this.#map(value, depth);
    if (prototype === Set.prototype && isSet(value)) return new Set(this.list('E', [...value], depth));
    throw UNCERTAIN;
  }

  /** @param {Date} value */
  #date(value) {
    if (Object.hasOwn(value, 'toJSON')) throw UNCERTAIN;
    const ms = Date.prototype.getTime.call(value);
    this.#write('d', String(ms));
    return new Date(ms);
  }

  /** @param {Uint8Array} value @param {boolean} isBuffer */
  #bytes(value, isBuffer) {
    if (Object.hasOwn(value, 'toJSON')) throw UNCERTAIN;
    assertThere(value);
    const copy = isBuffer ? Buffer.from(value) : new Uint8Array(value);
    this.#write(isBuffer ? 'b' : 'u', latin1(copy));
    return copy;
  }

  /** @param {any} value @param {object} prototype */
  #typedArray(value, prototype) {
    if (Object.hasOwn(value, 'toJSON')) throw UNCERTAIN;
    assertThere(value);
    const type = TYPED_ARRAYS.get(prototype);
    const copy = new type(value);
    this.#write('v', `${type.name} ${latin1(copy)}`);
    return copy;
  }

  /**
   * @param {string} tag
   * @param {readonly unknown[]} values
   * @param {number} depth
   */
  list(tag, values, depth) {
    const { length } = values;
    this.text += `${tag}${length}:`;
    const copy = new Array(length);
    for (let i = 0; i < length; i++) copy[i] = this.value(values[i], depth + 1);
    return copy;
  }

  /** @param {string} tag @param {Record<string, unknown>} object @param {number} depth */
  #members(tag, object, depth) {
    const names = Object.keys(object);
    this.text += `${tag}${names.length}:`;
    /** @type {Record<string, unknown>} */
    const copy = Object.getPrototypeOf(object) === null ? Object.create(null) : {};
    for (const name of names) {
      this.#write('s', name);
      const value = this.value(object[name], depth + 1);
      if (name !== '__proto__') copy[name] = value;
      else Object.defineProperty(copy, name, { value, enumerable: true, writable: true, configurable: true });
    }
    return copy;
  }

  /** @param {Map<unknown, unknown>} map @param {number} depth */
  #map(map, depth) {
    const entries = [...map];
    this.text += `M${entries.length}:`;
    return new Map(entries.map(([name, value]) => [this.value(name, depth + 1), this.value(value, depth + 1)]));
  }
}

/** @param {string} text */
function sha256(text) {
  // UTF-8 has one form for all halves of surrogate pairs that stand alone; such a text is written in UTF-16.
  const data = text.isWellFormed() ? text : Buffer.from(`UTF-16 ${text}`, 'utf16le');
  const { hash } = /** @type {any} */ (crypto);
  // Node 20.12 and later.
  if (hash !== undefined) return hash('sha256', data, 'base64url');
  return crypto.createHash('sha256').update(data).digest('base64url');
}

/**
 * What decides the result of a call.
 * @typedef {object} Call
 * @property {string} clusterId
 * @property {string} [schema]
 * @property {string} identity who runs it on which database, with which settings and types
 * @property {string} sql
 * @property {readonly unknown[] | null} [params]
 * @property {string} [rowMode]
 * @property {unknown} [types]
 */

/**
 * The key of a call, and its parameters as they were when the key was made; null: there is no certain key.
 * @param {Call} call
 * @param {readonly string[]} labels what removes the entry: two calls with other tags have two entries, so that each tag removes its own
 * @returns {{ key: string, params: readonly unknown[] } | null}
 */
function keyOf({ clusterId, schema, identity, sql, params, rowMode, types }, labels) {
  if (typeof sql !== 'string' || (params != null && !Array.isArray(params))) return null;
  const encoder = new Encoder();
  const typesEncoder = new Encoder({ withFunctions: true });
  try {
    for (const part of [clusterId, schema, identity, rowMode ?? 'object', sql]) encoder.value(part);
    encoder.list('A', labels, 0);
    typesEncoder.value(types);
    const copy = encoder.list('A', params ?? [], 0);
    return { key: sha256(`${typesEncoder.text} ${encoder.text}`), params: copy };
  } catch {
    // UNCERTAIN; or a getter of the caller, or memory that is gone: the statement meets the same and says so.
    return null;
  }
}

module.exports = { keyOf };
