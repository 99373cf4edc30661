'use strict';

// Memory as a parameter: ArrayBuffer, SharedArrayBuffer, DataView, and the typed arrays but Uint8Array. The core takes it as bytes for
// bytea, and as the list of its numbers for arrays and JSON. Uint8Array, and so Buffer, is only bytes, and needs no View.

const { isAnyArrayBuffer, isSharedArrayBuffer, isDataView, isUint8Array } = require('node:util').types;
const { ParameterError } = require('../errors.js');

/** The tag of each class; a contract with src/codec/encode/view.rs. */
const VIEW_TAGS = {
  ArrayBuffer: 16,
  SharedArrayBuffer: 17,
  DataView: 18,
  Int8Array: 19,
  Uint8ClampedArray: 20,
  Int16Array: 21,
  Uint16Array: 22,
  Int32Array: 23,
  Uint32Array: 24,
  Float16Array: 25,
  Float32Array: 26,
  Float64Array: 27,
  BigInt64Array: 28,
  BigUint64Array: 29,
};

/** The bytes of a view, and what they are. */
class View {
  /**
   * @param {number} tag
   * @param {Uint8Array} bytes
   */
  constructor(tag, bytes) {
    this.tag = tag;
    this.bytes = bytes;
  }
}

/** The class of a typed array, also of a subclass and of one of another realm. */
const classOfTypedArray = /** @type {() => string} */ (
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)?.get
);

/** The class of memory. @param {any} value */
function memoryName(value) {
  if (isAnyArrayBuffer(value)) return isSharedArrayBuffer(value) ? 'SharedArrayBuffer' : 'ArrayBuffer';
  return isDataView(value) ? 'DataView' : classOfTypedArray.call(value);
}

/** Whether the value is memory: a buffer or any view of one. @param {unknown} value */
const isMemory = (value) => ArrayBuffer.isView(value) || isAnyArrayBuffer(value);

/** Whether memory is a list of numbers, too. @param {unknown} value */
const hasNumbers = (value) => ArrayBuffer.isView(value) && !isDataView(value) && !isUint8Array(value);

/**
 * Memory that can be sent: a Uint8Array as it is, a View of everything else.
 * @param {any} value
 * @param {number} number of the parameter, for the error
 * @returns {Uint8Array | View}
 */
function memoryOf(value, number) {
  // Memory that was transferred to another thread looks empty, so the empty ones are looked at.
  if (isUint8Array(value) && value.length > 0) return value;
  const name = memoryName(value);
  try {
    const bytes = isAnyArrayBuffer(value)
      ? new Uint8Array(value)
      : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    if (isUint8Array(value)) return value;
    const tag = /** @type {Record<string, number>} */ (VIEW_TAGS)[name];
    if (tag !== undefined) return new View(tag, bytes);
  } catch (cause) {
    throw new ParameterError(`parameter $${number}: the memory of the ${name} is gone: it was transferred or shrunk`, {
      cause,
    });
  }
  throw new ParameterError(`parameter $${number}: ${name} cannot be sent`);
}

module.exports = { View, hasNumbers, isMemory, memoryName, memoryOf };
