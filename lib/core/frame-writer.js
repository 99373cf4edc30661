'use strict';

// The submission buffer: frames of work for the core (src/binding/frames.rs), written as plain memory.
//
// A frame is a head of ten i32 words and a payload padded to 8 bytes. Frames are collected until the microtask queue runs, and are
// sent in one call. A caller calls open(), then the methods that write the payload, then close(). Nothing else may write in between,
// so no code of the user may run there: lib/values/params.js has run it before. A frame that does not fit gets a larger buffer.

const { isDate } = require('node:util').types;
const { ParameterError } = require('../errors.js');
const { Json, SetElements, Structure } = require('../values/params.js');
const { View } = require('../values/views.js');
const { WORDS } = require('./numbers.js');

const CAPACITY = 1 << 20;
const HEAD_BYTES = WORDS.FRAME * 4;
const ITEM_HEAD_BYTES = WORDS.ITEM * 4;
/** Strings up to this length are copied byte by byte while they are ASCII, which is faster than a call into the runtime. */
const SHORT = 48;
/** The kinds of parameters; the numbers are a contract with src/codec/encode/param.rs. Those of a View are in lib/values/views.js. */
const TAG = {
  NULL: 0,
  FALSE: 1,
  TRUE: 2,
  NUMBER: 3,
  INT: 4,
  BIGINT: 5,
  BIG_DECIMAL: 6,
  STRING: 7,
  BYTES: 8,
  DATE: 9,
  JSON: 10,
  ARRAY: 11,
  OBJECT: 12,
  MAP: 13,
  SET: 14,
};

const MIN_I64 = -(2n ** 63n);
const MAX_I64 = 2n ** 63n - 1n;

/**
 * Methods of Node's buffers that its public types leave out: they write a text and return the number of bytes.
 * @typedef {Buffer<ArrayBuffer> & Record<'utf8Write' | 'latin1Write', (text: string, offset: number, length: number) => number>} Writable
 */

/** @param {number} bytes */
const allocate = (bytes) => /** @type {Writable} */ (Buffer.allocUnsafeSlow(bytes));

class FrameWriter {
  /**
   * @param {(buffer: Buffer, length: number) => void} send takes the bytes; they are reused when it returns
   * @param {number} [capacity]
   */
  constructor(send, capacity = CAPACITY) {
    this.send = send;
    this.home = allocate(capacity);
    this.buffer = this.home;
    this.i32 = new Int32Array(this.home.buffer, 0, 0);
    this.f64 = new Float64Array(this.home.buffer, 0, 0);
    this.i64 = new BigInt64Array(this.home.buffer, 0, 0);
    this.use(this.home);
    /** The end of what was written. */
    this.at = 0;
    /** Where the open frame starts. */
    this.start = 0;
  }

  /** @param {Writable} buffer */
  use(buffer) {
    this.buffer = buffer;
    this.i32 = new Int32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2);
    this.f64 = new Float64Array(buffer.buffer, buffer.byteOffset, buffer.length >> 3);
    this.i64 = new BigInt64Array(buffer.buffer, buffer.byteOffset, buffer.length >> 3);
  }

  /**
   * Starts a frame.
   * @param {number} operation
   * @param {number} id
   * @param {number} pool
   * @param {number} statement
   * @param {number} transaction
   * @param {number} flags
   * @param {number} count
   * @param {number} timeoutMs
   * @param {number} [extra]
   */
  open(operation, id, pool, statement, transaction, flags, count, timeoutMs, extra = 0) {
    this.start = this.at;
    this.reserve(HEAD_BYTES);
    const { i32 } = this;
    const head = this.at >> 2;
    i32[head] = operation;
    i32[head + 1] = id;
    i32[head + 2] = pool;
    i32[head + 3] = statement;
    i32[head + 4] = transaction;
    i32[head + 5] = flags;
    i32[head + 6] = count;
    i32[head + 7] = timeoutMs;
    i32[head + 9] = extra;
    this.at += HEAD_BYTES;
  }

  /**
   * Sets the number of parameters or rows of the open frame, if it was not known before.
   * @param {number} count
   */
  setCount(count) {
    this.i32[(this.start >> 2) + 6] = count;
  }

  /**
   * Writes bytes as the payload or its next part. The frame has no other payload, and must be flushed alone.
   * @param {Uint8Array} bytes
   */
  raw(bytes) {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Ends the open frame. */
  close() {
    this.i32[(this.start >> 2) + 8] = this.at - this.start - HEAD_BYTES;
    this.start = this.at;
    if (this.buffer !== this.home) this.flush();
  }

  /** Drops the open frame: one of its values cannot be sent. */
  abandon() {
    this.at = this.start;
    if (this.buffer !== this.home) this.flush();
  }

  /** Sends all complete frames. */
  flush() {
    const { at } = this;
    this.at = 0;
    this.start = 0;
    if (at > 0) this.send(this.buffer, at);
    if (this.buffer !== this.home) this.use(this.home);
  }

  /**
   * Makes room for `bytes` more in the open frame.
   * @param {number} bytes
   */
  reserve(bytes) {
    if (this.at + bytes + 8 > this.buffer.length) this.makeRoom(bytes);
  }

  /** @param {number} bytes */
  makeRoom(bytes) {
    const { start } = this;
    if (start > 0) {
      // The complete frames are sent; the open frame moves to the front.
      const open = Buffer.from(this.buffer.subarray(start, this.at));
      this.at = start;
      this.flush();
      open.copy(this.buffer, 0);
      this.at = open.length;
    }
    const needed = this.at + bytes + 8;
    if (needed > this.buffer.length) {
      const larger = allocate(Math.ceil(Math.max(needed, this.buffer.length * 2) / 8) * 8);
      this.buffer.copy(larger, 0, 0, this.at);
      this.use(larger);
    }
  }

  /**
   * Writes a text as the whole payload.
   * @param {string} text
   */
  text(text) {
    const bytes = Buffer.byteLength(text);
    this.reserve(bytes);
    const from = this.at;
    this.buffer.utf8Write(text, from, bytes);
    // The payload's exact length goes into the head; the padding does not count.
    this.i32[(this.start >> 2) + 8] = bytes;
    this.at = (from + bytes + 7) & ~7;
  }

  /**
   * Writes a text of ASCII before other payload.
   * @param {string} text
   */
  ascii(text) {
    this.reserve(text.length);
    this.buffer.latin1Write(text, this.at, text.length);
    this.at = (this.at + text.length + 7) & ~7;
  }

  /**
   * Writes a statement of a batch.
   * @param {number} id
   * @param {number} statement
   * @param {readonly unknown[]} values
   */
  item(id, statement, values) {
    this.reserve(ITEM_HEAD_BYTES);
    // Relative to the start: the open frame may move to another buffer while the values are written.
    const head = this.at - this.start;
    this.at += ITEM_HEAD_BYTES;
    const from = this.at - this.start;
    for (let i = 0; i < values.length; i++) this.value(values[i], i + 1);
    const word = (this.start + head) >> 2;
    this.i32[word] = id;
    this.i32[word + 1] = statement;
    this.i32[word + 2] = values.length;
    this.i32[word + 3] = this.at - this.start - from;
  }

  /**
   * Writes the options of a read, which the parameters follow: the length of the JSON, 0, and the JSON.
   * @param {string} json
   */
  readOptions(json) {
    const most = json.length * 3;
    this.reserve(8 + most);
    const from = this.at + 8;
    const bytes = this.buffer.utf8Write(json, from, most);
    const word = this.at >> 2;
    this.i32[word] = bytes;
    this.i32[word + 1] = 0;
    this.at = (from + bytes + 7) & ~7;
  }

  /** Ends a frame whose payload is one text(). */
  closeText() {
    this.start = this.at;
    if (this.buffer !== this.home) this.flush();
  }

  /**
   * @param {number} tag
   * @param {number} length
   */
  tag(tag, length) {
    this.reserve(16);
    const word = this.at >> 2;
    this.i32[word] = tag;
    this.i32[word + 1] = length;
    this.at += 8;
  }

  /**
   * Writes a parameter, or an element of an array parameter.
   * @param {unknown} value
   * @param {number} number of the parameter, for the error
   */
  value(value, number) {
    switch (typeof value) {
      case 'number':
        if ((value | 0) === value && !(value === 0 && 1 / value < 0)) {
          this.tag(TAG.INT, value);
        } else {
          this.tag(TAG.NUMBER, 0);
          this.f64[this.at >> 3] = value;
          this.at += 8;
        }
        break;
      case 'string':
        this.string(TAG.STRING, value, number);
        break;
      case 'boolean':
        this.tag(value ? TAG.TRUE : TAG.FALSE, 0);
        break;
      case 'undefined':
        this.tag(TAG.NULL, 0);
        break;
      case 'bigint':
        this.bigint(value, number);
        break;
      case 'object':
        if (value === null) this.tag(TAG.NULL, 0);
        else this.object(value, number);
        break;
      default:
        throw new ParameterError(`parameter $${number}: a ${typeof value} cannot be sent`);
    }
  }

  /**
   * @param {bigint} value
   * @param {number} number
   */
  bigint(value, number) {
    if (value >= MIN_I64 && value <= MAX_I64) {
      this.tag(TAG.BIGINT, 0);
      this.i64[this.at >> 3] = value;
      this.at += 8;
    } else {
      this.string(TAG.BIG_DECIMAL, value.toString(), number);
    }
  }

  /**
   * @param {number} tag
   * @param {string} value
   * @param {number} number
   */
  string(tag, value, number) {
    const { length } = value;
    if (length <= SHORT) {
      this.reserve(8 + SHORT);
      const { buffer } = this;
      const from = this.at + 8;
      let i = 0;
      for (; i < length; i++) {
        const code = value.charCodeAt(i);
        if (code > 127) break;
        buffer[from + i] = code;
      }
      if (i === length) {
        this.tag(tag, length);
        this.at = (from + length + 7) & ~7;
        return;
      }
    }
    // An unpaired surrogate has no UTF-8 form: another character would be sent.
    if (!value.isWellFormed()) {
      throw new ParameterError(`parameter $${number}: string contains an unpaired surrogate, which UTF-8 cannot hold`);
    }
    const bytes = length > 65_536 ? Buffer.byteLength(value) : length * 3;
    this.reserve(8 + bytes);
    const from = this.at + 8;
    const written = this.buffer.utf8Write(value, from, bytes);
    this.tag(tag, written);
    this.at = (from + written + 7) & ~7;
  }

  /**
   * @param {object} value
   * @param {number} number
   */
  object(value, number) {
    if (Array.isArray(value)) {
      this.array(TAG.ARRAY, value, number);
    } else if (value instanceof Json) {
      this.string(TAG.JSON, value.text, number);
    } else if (value instanceof Structure) {
      this.structure(value, number);
    } else if (isDate(value)) {
      this.tag(TAG.DATE, 0);
      this.f64[this.at >> 3] = Date.prototype.getTime.call(value);
      this.at += 8;
    } else if (value instanceof SetElements) {
      this.array(TAG.SET, value.elements, number);
    } else if (value instanceof View) {
      this.bytes(value.tag, value.bytes);
    } else {
      this.bytes(TAG.BYTES, /** @type {Uint8Array} */ (value));
    }
  }

  /**
   * @param {number} tag
   * @param {unknown[]} values
   * @param {number} number
   */
  array(tag, values, number) {
    this.tag(tag, values.length);
    for (let i = 0; i < values.length; i++) this.value(values[i], number);
  }

  /**
   * Writes the JSON or nothing, then the members.
   * @param {Structure} structure
   * @param {number} number
   */
  structure({ json, members, isMap }, number) {
    this.tag(isMap ? TAG.MAP : TAG.OBJECT, members.length);
    this.value(json, number);
    for (let i = 0; i < members.length; i++) {
      this.string(TAG.STRING, members[i][0], number);
      this.value(members[i][1], number);
    }
  }

  /**
   * @param {number} tag
   * @param {Uint8Array} bytes
   */
  bytes(tag, bytes) {
    this.tag(tag, bytes.length);
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at = (this.at + bytes.length + 7) & ~7;
  }
}

module.exports = { FrameWriter };
