'use strict';

// Makes values of the JSON documents that the core has parsed (src/codec/decode/json.rs), equal to those of JSON.parse.
//
// An object arrives as the number of its shape and a block of one 8-byte value for each key. For each shape a constructor
// is compiled: an object literal, so that all objects of a shape share one hidden class. The type of a value is not part of
// the shape; the code checks first for the type that it had in the first object of the shape. Where code generation from strings
// is forbidden, a plain loop is used.

const { HyperionError } = require('../errors.js');

/** High halves of slots that hold no plain number; a contract with src/codec/decode/json.rs. TEXT, OBJECT and RAW begin ranges. */
const TEXT = 0xfff8_0000 | 0;
const OBJECT = 0xfff9_0000 | 0;
const RAW = 0xfffa_0000 | 0;
const INT = 0xfffb_0000 | 0;
const ARRAY = INT + 1;
const NULL = INT + 2;
// INT + 3 is false.
const TRUE = INT + 4;

/**
 * @typedef {object} Place where the parts of a result are in its batch
 * @property {Int32Array} i32
 * @property {Float64Array} f64
 * @property {BigInt64Array} i64
 * @property {Buffer} bytes
 * @property {string} text of the whole batch
 * @property {number} slots index of its first slot
 * @property {number} aux index of its first array word
 * @property {number} textAt start of its text
 * @property {number} binAt start of its bytes
 * @property {Construct[]} objects constructors of JSON objects
 */

/**
 * Makes the object whose block begins at a word of the batch.
 * @callback Construct
 * @param {Place} place
 * @param {number} at
 * @returns {object}
 */

/**
 * Parses a document that the core has not parsed.
 * @param {string} text
 */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    // Without the message of JSON.parse, which quotes the document.
    const error = new HyperionError('the server sent a JSON document that is none', 'ERR_DECODE');
    throw Object.assign(error, { outcome: 'applied' });
  }
}

/**
 * @param {Place} place
 * @param {number} slot
 * @returns {unknown}
 */
function readValue(place, slot) {
  const { i32, text } = place;
  const low = i32[slot * 2];
  const high = i32[slot * 2 + 1];
  if (high >= 0 || high < TEXT) return place.f64[slot];
  if (high < OBJECT) return text.slice(place.textAt + low, place.textAt + low + high - TEXT);
  if (high < RAW) return place.objects[high - OBJECT](place, place.aux + low);
  if (high < INT) return parse(text.slice(place.textAt + low, place.textAt + low + high - RAW));
  if (high === INT) return low;
  if (high === ARRAY) return readArray(place, place.aux + low);
  return high === NULL ? null : high === TRUE;
}

/**
 * @param {Place} place
 * @param {number} at its block: the length, then the elements
 */
function readArray(place, at) {
  const { i32, text, textAt } = place;
  const length = i32[at * 2];
  if (length === 0) return [];
  const values = new Array(length);
  for (let i = 0, slot = at + 1; i < length; i++, slot++) {
    const low = i32[slot * 2];
    const high = i32[slot * 2 + 1];
    values[i] =
      high < OBJECT && high >= TEXT ? text.slice(textAt + low, textAt + low + high - TEXT) : readValue(place, slot);
  }
  return values;
}

/**
 * Reads a whole document. A slot whose high half is not negative holds a text that the core has not parsed.
 * @param {Place} place
 * @param {number} slot
 * @returns {unknown}
 */
function readDocument(place, slot) {
  const { i32, text, textAt } = place;
  const high = i32[slot * 2 + 1];
  return high < 0 ? readValue(place, slot) : parse(text.slice(textAt + i32[slot * 2], textAt + high));
}

/**
 * The expression that reads a whole document in compiled code.
 * @param {string} slot
 */
function documentExpression(slot) {
  const low = `i32[(${slot}) * 2]`;
  const isObject = `(high = i32[(${slot}) * 2 + 1]) >= ${OBJECT} && high < ${RAW}`;
  return `${isObject} ? objects[high - ${OBJECT}](place, aux + ${low}) : json.readDocument(place, ${slot})`;
}

/**
 * The expression that reads one member in compiled code; `b` is the first half word of the block.
 * @param {string} member the type of its value in the first object of the shape; a letter of src/codec/decode/json_shapes.rs
 * @param {number} index
 */
function memberExpression(member, index) {
  const low = `i32[b + ${index * 2}]`;
  const high = `(high = i32[b + ${index * 2 + 1}])`;
  const other = `readValue(place, at + ${index})`;
  switch (member) {
    case 't':
      return `${high} < ${OBJECT} && high >= ${TEXT}
        ? text.slice(start = textAt + ${low}, start + high - ${TEXT}) : ${other}`;
    case 'i':
      return `${high} === ${INT} ? ${low} : ${other}`;
    case 'n':
      return `${high} >= 0 || high < ${TEXT} ? f64[at + ${index}] : high === ${INT} ? ${low} : ${other}`;
    case 'o':
      return `${high} < ${RAW} && high >= ${OBJECT} ? objects[high - ${OBJECT}](place, aux + ${low}) : ${other}`;
    case 'a':
      return `${high} === ${ARRAY} ? readArray(place, aux + ${low}) : ${other}`;
    default:
      return other;
  }
}

/** A key of an object literal. `__proto__` is computed: a plain one would set the prototype. @param {string} name */
const key = (name) => (name === '__proto__' ? '["__proto__"]' : JSON.stringify(name));

/**
 * Sets a property, also `__proto__`.
 * @param {Record<string, unknown>} object
 * @param {string} name
 * @param {unknown} value
 */
function setProperty(object, name, value) {
  if (name === '__proto__') {
    Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  } else {
    object[name] = value;
  }
}

/**
 * @param {string[]} keys
 * @param {string} members
 * @returns {Construct}
 */
function compile(keys, members) {
  const literal = keys.map((name, i) => `${key(name)}: ${memberExpression(members[i], i)}`).join(',\n      ');
  const body = `
    const { i32, f64, text, textAt, aux, objects } = place;
    const b = at * 2;
    let high = 0;
    let start = 0;
    return {
      ${literal}
    };`;
  const make = new Function('readValue', 'readArray', `return function construct(place, at) {${body}\n}`);
  return make(readValue, readArray);
}

/**
 * @param {string[]} keys
 * @returns {Construct}
 */
function interpret(keys) {
  return (place, at) => {
    /** @type {Record<string, unknown>} */
    const object = {};
    for (let i = 0; i < keys.length; i++) setProperty(object, keys[i], readValue(place, at + i));
    return object;
  };
}

/**
 * The constructor of objects with these keys. Of equal keys the last counts, as in JSON.parse.
 * @param {string[]} keys
 * @param {string} members
 */
function constructorFor(keys, members) {
  try {
    return compile(keys, members);
  } catch (error) {
    if (error instanceof EvalError) return interpret(keys);
    throw error;
  }
}

module.exports = { constructorFor, documentExpression, key, readDocument, setProperty };
