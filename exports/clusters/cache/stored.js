'use strict';

// The stored form of a result: bytes, from which every hit makes a copy of its own that equals the result of the query.
//
// It is JSON, which every version of every runtime reads alike, and beside it what JSON does not say: BigInts, Dates, -0, NaN, infinities
// and undefined, each with its place, and the bytes of Buffers. What would come back as something else (an instance of a class, an
// accessor, a frozen object) is not stored at all: a parser of the user may return anything. The names of the columns are written once,
// not in each row. The fields stand before the rest, so that they are read once: frozen, as a pool makes them, all copies share them.
//
// The first byte says whether what follows is deflated. It is two numbers of 4 bytes, the lengths of two JSON texts, then these texts (the
// fields, and the rest), then the bytes of Buffers.

const { isDate } = require('node:util').types;
const zlib = require('node:zlib');

/** Thrown for a result that has no exact copy. */
const NO_COPY = Symbol('no exact copy');

/** Deeper values are not stored. */
const DEEPEST = 200;

const RAW = 0;
const DEFLATED = 1;
const HEAD_BYTES = 9;

/** What `rows` has beside its elements, where it is a result of a pool. */
const HIDDEN = ['rowCount', 'command', 'fields', 'node'];

/** @param {object} value whether its own properties are those of an object literal */
function hasPlainMembers(value) {
  const descriptors = Object.getOwnPropertyDescriptors(value);
  return (
    Object.isExtensible(value) &&
    Reflect.ownKeys(descriptors).every((name) => {
      const { enumerable, writable, configurable } = /** @type {any} */ (descriptors)[name];
      return typeof name === 'string' && enumerable && writable && configurable;
    })
  );
}

/** An array without holes and without other properties. @param {unknown[]} value */
function isPlainArray(value) {
  return Object.getPrototypeOf(value) === Array.prototype && hasOnlyElements(value, 0) && Object.isExtensible(value);
}

/** @param {unknown[]} value @param {number} others how many own properties it has beside its elements and `length` */
const hasOnlyElements = (value, others) => Reflect.ownKeys(value).length === value.length + 1 + others;

/**
 * What a place of the JSON has in truth.
 * @typedef {[path: (string | number)[], kind: keyof typeof KINDS, value?: string | number | [start: number, end: number]]} Special
 */

/** How what JSON does not say is read. @type {Record<string, (value: any, bytes: Buffer) => unknown>} */
const KINDS = {
  i: (text) => BigInt(text),
  n: (text) => Number(text),
  d: (ms) => new Date(ms ?? Number.NaN),
  u: () => undefined,
  // A Buffer with memory of its own: the caller may change it.
  b: ([start, end], bytes) => Buffer.from(bytes.subarray(start, end)),
};

/** Makes JSON of values; throws NO_COPY unless they come back exactly. */
class Writer {
  /** @type {Special[]} */
  specials = [];
  /** @type {Buffer[]} */
  buffers = [];
  #length = 0;
  /** @type {(string | number)[]} */
  #path = [];
  /** An object that stands in two places would come back as two. @type {Set<object>} */
  #seen = new Set();

  /** @param {string} kind @param {any} [value] @returns {null} what stands in the JSON */
  #special(kind, value) {
    this.specials.push(value === undefined ? [[...this.#path], kind] : [[...this.#path], kind, value]);
    return null;
  }

  /**
   * @param {any} value
   * @returns {unknown} the value as it stands in the JSON
   */
  value(value) {
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value;
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0)
          ? value
          : this.#special('n', Object.is(value, -0) ? '-0' : String(value));
      case 'bigint':
        return this.#special('i', String(value));
      case 'undefined':
        return this.#special('u');
      case 'object':
        return value === null ? null : this.#object(value);
      default:
        throw NO_COPY;
    }
  }

  /** @param {any} value */
  #object(value) {
    if (this.#path.length === DEEPEST || this.#seen.has(value)) throw NO_COPY;
    this.#seen.add(value);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) {
      if (Object.prototype.toString.call(value) !== '[object Object]' || !hasPlainMembers(value)) throw NO_COPY;
      return this.#members(value);
    }
    if (Array.isArray(value)) {
      if (!isPlainArray(value)) throw NO_COPY;
      return value.map((element, index) => this.at(index, element));
    }
    if (prototype === Date.prototype && isDate(value)) {
      if (Reflect.ownKeys(value).length > 0 || !Object.isExtensible(value)) throw NO_COPY;
      return this.#special('d', value.getTime());
    }
    if (prototype !== Buffer.prototype || !Buffer.isBuffer(value)) throw NO_COPY;
    this.buffers.push(value);
    this.#length += value.length;
    return this.#special('b', [this.#length - value.length, this.#length]);
  }

  /** @param {Record<string, unknown>} object */
  #members(object) {
    const copy = {};
    for (const name of Object.keys(object)) put(copy, name, this.at(name, object[name]));
    return copy;
  }

  /** A value in its place. @param {string | number} place @param {unknown} value */
  at(place, value) {
    this.#path.push(place);
    const written = this.value(value);
    this.#path.pop();
    return written;
  }
}

/** Sets a property, also `__proto__`. @param {any} object @param {string | number} name @param {unknown} value */
function put(object, name, value) {
  if (name !== '__proto__') object[name] = value;
  else Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
}

/** Puts what JSON does not say into its places. @param {any} json @param {Special[]} specials @param {Buffer} bytes */
function restore(json, specials, bytes) {
  for (const [path, kind, value] of specials) {
    const last = path.length - 1;
    let parent = json;
    for (let i = 0; i < last; i++) parent = parent[path[i]];
    put(parent, path[last], KINDS[kind](value, bytes));
  }
}

/**
 * The names of the columns, where all rows are objects with the same names in the same order; else null.
 * @param {any[]} rows
 */
function namesOf(rows) {
  if (rows.length === 0 || Array.isArray(rows[0])) return null;
  const names = Object.keys(rows[0]);
  const isSame = (/** @type {any} */ row) => {
    if (typeof row !== 'object' || row === null || Object.getPrototypeOf(row) !== Object.prototype) return false;
    const own = Reflect.ownKeys(row);
    return own.length === names.length && names.every((name, i) => own[i] === name);
  };
  return rows.every(isSame) ? names : null;
}

/** @param {object[]} rows @param {string[]} names */
function valuesOf(rows, names) {
  const values = [];
  for (const row of rows) for (const name of names) values.push(/** @type {any} */ (row)[name]);
  return values;
}

/** @param {unknown[]} values @param {string[]} names @param {number} count */
function rowsOf(values, names, count) {
  const rows = new Array(count);
  for (let row = 0, at = 1; row < count; row++) {
    /** @type {Record<string, unknown>} */
    const object = {};
    for (const name of names) put(object, name, values[at++]);
    rows[row] = object;
  }
  return rows;
}

/** @param {any} fields whether they are as a pool makes them, which freezes them */
const isFrozen = (fields) => Object.isFrozen(fields) && fields.every(Object.isFrozen);

/** An equal field that is not frozen. @param {any} field */
function thawed(field) {
  if (Object.getPrototypeOf(field) !== Object.prototype) throw NO_COPY;
  if (Reflect.ownKeys(field).length !== Object.keys(field).length) throw NO_COPY;
  return { ...field };
}

/**
 * The members of `rows` that are no elements; each has the value of the result's member of that name.
 * @param {any} rows
 * @param {any} result
 */
function hiddenOf(rows, result) {
  const names = HIDDEN.filter((name) => Object.hasOwn(rows, name));
  const isKnown = names.every((name) => {
    const property = Object.getOwnPropertyDescriptor(rows, name);
    return property?.enumerable === false && Object.is(property.value, result[name]);
  });
  if (!isKnown || !hasOnlyElements(rows, names.length)) throw NO_COPY;
  return names;
}

/** @param {any} result what a query resolved with */
function partsOf(result) {
  const { rows, fields } = result;
  if (!Array.isArray(rows) || !Array.isArray(fields)) throw NO_COPY;
  const hidden = hiddenOf(rows, result);
  const names = namesOf(rows);
  const values = names === null ? rows : valuesOf(rows, names);
  const own = new Writer();
  const areFrozen = isFrozen(fields);
  // They are frozen again when they are read.
  const ownFields = own.value(areFrozen ? fields.map(thawed) : fields);
  if (own.specials.length > 0) throw NO_COPY;
  const writer = new Writer();
  // In the order of its members.
  const rest = writer.at(0, { ...result, rows: null, fields: null });
  const written = values.map((value, index) => writer.at(index + 1, value));
  return {
    fields: [areFrozen, ownFields],
    rest: [[rest, ...written], writer.specials, hidden, rows.length, names],
    buffers: writer.buffers,
  };
}

/**
 * @typedef {object} Form
 * @property {boolean} enableCompression
 * @property {number} compressionThreshold
 */

/**
 * The bytes of a result; null: it has no exact copy.
 * @param {object} result
 * @param {Form} form
 * @returns {Buffer | null}
 */
function encode(result, { enableCompression, compressionThreshold }) {
  try {
    const { fields, rest, buffers } = partsOf(result);
    const texts = [fields, rest].map((part) => Buffer.from(JSON.stringify(part)));
    const head = Buffer.alloc(HEAD_BYTES);
    texts.forEach((text, index) => head.writeUInt32LE(text.length, 1 + 4 * index));
    const parts = [head, ...texts, ...buffers];
    // Not of Node's shared slab, which a small entry would keep as a whole.
    const bytes = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, 0));
    parts.reduce((at, part) => at + part.copy(bytes, at), 0);
    bytes[0] = RAW;
    if (!enableCompression || bytes.length < compressionThreshold) return bytes;
    const deflated = zlib.deflateRawSync(bytes.subarray(1), { level: zlib.constants.Z_BEST_SPEED });
    return deflated.length + 1 < bytes.length ? Buffer.concat([Buffer.of(DEFLATED), deflated]) : bytes;
  } catch {
    // NO_COPY, or what JSON.stringify says of a text that is too long.
    return null;
  }
}

/** The frozen fields of an entry, by its bytes. @type {WeakMap<Buffer, object>} */
const shared = new WeakMap();

/** @param {Buffer} bytes of the entry @param {Buffer} part of them that has the fields */
function fieldsOf(bytes, part) {
  const known = shared.get(bytes);
  if (known !== undefined) return known;
  const [areFrozen, fields] = JSON.parse(part.toString());
  if (!areFrozen) return fields;
  for (const field of fields) Object.freeze(field);
  shared.set(bytes, Object.freeze(fields));
  return fields;
}

/**
 * A new copy of the result. Throws on bytes that are no stored form.
 * @param {Buffer} bytes
 * @returns {any}
 */
function decode(bytes) {
  const plain =
    bytes[0] === DEFLATED ? Buffer.concat([bytes.subarray(0, 1), zlib.inflateRawSync(bytes.subarray(1))]) : bytes;
  const restAt = HEAD_BYTES + plain.readUInt32LE(1);
  const end = restAt + plain.readUInt32LE(5);
  const fields = fieldsOf(bytes, plain.subarray(HEAD_BYTES, restAt));
  const [values, specials, hidden, count, names] = JSON.parse(plain.toString('utf8', restAt, end));
  restore(values, specials, plain.subarray(end));
  const rest = values[0];
  const rows = names === null ? values.slice(1) : rowsOf(values, names, count);
  const result = Object.assign(rest, { rows, fields, cached: true });
  for (const name of hidden) {
    Object.defineProperty(rows, name, { value: result[name], writable: true, configurable: true });
  }
  return result;
}

module.exports = { decode, encode };
