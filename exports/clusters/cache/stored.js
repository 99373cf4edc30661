'use strict';

// The stored form of a result: bytes, from which every hit makes a copy of its own that equals the result of the query.
//
// It is what v8.serialize makes, with three differences. What would come back as something else (an instance of a class, an accessor, a
// frozen object) is not stored at all: a parser of the user may return anything. Buffers are copied: v8.deserialize returns views of
// the stored bytes, which the caller could change. And the names of the columns are written once, not in each row. The fields stand
// before the rest, so that they are read once: frozen, as a pool makes them, all copies share them.
//
// The first byte says whether what follows is deflated. It is the length of the fields (4 bytes), the fields, and the rest.

const v8 = require('node:v8');
const zlib = require('node:zlib');

/** Thrown for a result that has no exact copy. */
const NO_COPY = Symbol('no exact copy');

/** Deeper values are not stored. */
const DEEPEST = 200;

const RAW = 0;
const DEFLATED = 1;
const LENGTH_BYTES = 4;

/** What `rows` has beside its elements, where it is a result of a pool. */
const HIDDEN = ['rowCount', 'command', 'fields', 'node'];

/** @type {new (bytes: Buffer) => any} */
const DefaultDeserializer = v8.DefaultDeserializer;

class Deserializer extends DefaultDeserializer {
  /** A Buffer with memory of its own. */
  _readHostObject() {
    return Buffer.from(super._readHostObject());
  }
}

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
 * Throws NO_COPY unless the value comes back from its bytes exactly.
 * @param {any} value
 * @param {number} [depth]
 */
function check(value, depth = 0) {
  if (typeof value === 'function' || typeof value === 'symbol') throw NO_COPY;
  if (typeof value !== 'object' || value === null) return;
  if (depth === DEEPEST) throw NO_COPY;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) {
    if (Object.prototype.toString.call(value) !== '[object Object]' || !hasPlainMembers(value)) throw NO_COPY;
    for (const name of Object.keys(value)) check(value[name], depth + 1);
  } else if (Array.isArray(value)) {
    if (!isPlainArray(value)) throw NO_COPY;
    for (const element of value) check(element, depth + 1);
  } else if (prototype === Date.prototype) {
    if (Reflect.ownKeys(value).length > 0 || !Object.isExtensible(value)) throw NO_COPY;
  } else if (!Buffer.isBuffer(value) || prototype !== Buffer.prototype) {
    throw NO_COPY;
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
  for (let row = 0, at = 0; row < count; row++) {
    /** @type {Record<string, unknown>} */
    const object = {};
    for (const name of names) {
      const value = values[at++];
      if (name !== '__proto__') object[name] = value;
      else Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
    }
    rows[row] = object;
  }
  return rows;
}

/** @param {any} fields whether they are as a pool makes them, which freezes them */
const isFrozen = (fields) => Object.isFrozen(fields) && fields.every(Object.isFrozen);

/** What each field has. @param {any} fields */
function checkFields(fields) {
  if (!Array.isArray(fields)) throw NO_COPY;
  check(fields.map((field) => ({ ...field })));
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
  if (!Array.isArray(rows)) throw NO_COPY;
  const hidden = hiddenOf(rows, result);
  // In the order of its members.
  const rest = { ...result, rows: null, fields: null };
  const names = namesOf(rows);
  const values = names === null ? Array.from(rows) : valuesOf(rows, names);
  checkFields(fields);
  for (const value of values) check(value);
  check(rest);
  return { fields: [isFrozen(fields), fields], rest: [rest, hidden, rows.length, names, values] };
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
    const parts = partsOf(result);
    const fields = v8.serialize(parts.fields);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(fields.length);
    const plain = Buffer.concat([length, fields, v8.serialize(parts.rest)]);
    const isLarge = enableCompression && plain.length >= compressionThreshold;
    const deflated = isLarge ? zlib.deflateRawSync(plain, { level: zlib.constants.Z_BEST_SPEED }) : plain;
    const [kind, body] = deflated.length < plain.length ? [DEFLATED, deflated] : [RAW, plain];
    // Not of Node's shared slab, which a small entry would keep as a whole.
    const bytes = Buffer.allocUnsafeSlow(body.length + 1);
    bytes[0] = kind;
    body.copy(bytes, 1);
    return bytes;
  } catch {
    // NO_COPY, or what V8 says of a value that nests too deep or is too large.
    return null;
  }
}

/** Bun has v8.deserialize, which copies buffers there, and no class to change it by. */
const canExtend = 'readHeader' in DefaultDeserializer.prototype;

/** @param {Buffer} bytes @returns {any} */
function read(bytes) {
  if (!canExtend) return v8.deserialize(bytes);
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/** The frozen fields of an entry, by its bytes. @type {WeakMap<Buffer, object>} */
const shared = new WeakMap();

/** @param {Buffer} bytes of the entry @param {Buffer} part of them that has the fields */
function fieldsOf(bytes, part) {
  const known = shared.get(bytes);
  if (known !== undefined) return known;
  const [areFrozen, fields] = read(part);
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
  const body = bytes.subarray(1);
  const plain = bytes[0] === DEFLATED ? zlib.inflateRawSync(body) : body;
  const end = LENGTH_BYTES + plain.readUInt32LE(0);
  const fields = fieldsOf(bytes, plain.subarray(LENGTH_BYTES, end));
  const [rest, hidden, count, names, values] = read(plain.subarray(end));
  const rows = names === null ? values : rowsOf(values, names, count);
  const result = Object.assign(rest, { rows, fields, cached: true });
  for (const name of hidden) {
    Object.defineProperty(rows, name, { value: result[name], writable: true, configurable: true });
  }
  return result;
}

module.exports = { decode, encode };
