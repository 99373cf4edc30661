'use strict';

// The link of an environment (main thread or worker) to the core: sends work as frames, and receives finished work in batches.
//
// Every piece of work that a caller waits for has a Call under a small number. Calls are numbered from a free list, so
// the table stays as small as the work in flight. Frames are sent once per microtask checkpoint. Batches are read when the core
// wakes JavaScript, a slice of time at a time (slices.js).

const { Environment, Pool } = require('./binding.js').load();
const { HyperionError, fromCore } = require('../errors.js');
const { constructorFor } = require('../values/json.js');
const { FrameWriter } = require('./frame-writer.js');
const { FLAG, MESSAGE, MESSAGE_FLAG, OP, WORDS } = require('./numbers.js');
const { Shape } = require('../values/shapes.js');
const { Slices } = require('./slices.js');

const INBOX_BYTES = 256 << 10;

/** A piece of work that the caller waits for. */
class Call {
  /**
   * @param {(result: any) => void} resolve with the call itself, unless finish() says otherwise
   * @param {(error: Error) => void} reject
   */
  constructor(resolve, reject) {
    this.resolve = resolve;
    this.reject = reject;
    /** @type {object[]} */
    this.rows = [];
    this.rowCount = 0;
    this.node = -1;
    /** How long the work waited for a connection, in microseconds. */
    this.waitUs = 0;
    /** @type {Shape | null} */
    this.shape = null;
    /** The error of reading its rows. @type {unknown} */
    this.failure = null;
    /** Whether a parameter of its statement takes an object by its members. */
    this.structure = false;
    /** Whether rows are arrays of their values. */
    this.asArrays = false;
    /** Takes the rows of a stream as they come. @type {((rows: object[]) => void) | null} */
    this.onRows = null;
    /** Called when the core grants pieces of a load; also with the types of parameters, and after each result of a script. @type {((pieces: number, bytes: number, columns: string) => void) | null} */
    this.onGrant = null;
    /** Takes a piece of an unload. @type {((bytes: Buffer) => void) | null} */
    this.onBytes = null;
    this.id = 0;
  }

  /** The work has ended. */
  finish() {
    this.resolve(this);
  }

  /** The work has failed. @param {Error} error */
  fail(error) {
    this.reject(error);
  }
}

/**
 * Methods of Node's buffers that its public types leave out: a part of the buffer as a string.
 * @typedef {Buffer<ArrayBuffer> & Record<'latin1Slice' | 'utf8Slice', (from: number, to: number) => string>} Readable
 */

/** A view of one buffer full of finished work. */
class Inbox {
  /**
   * @param {number} bytes
   * @param {import('../values/json.js').Construct[]} objects
   */
  constructor(bytes, objects) {
    this.objects = objects;
    this.bytes = /** @type {Readable} */ (Buffer.allocUnsafeSlow(Math.ceil(bytes / 8) * 8));
    const { buffer } = this.bytes;
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    this.text = '';
    this.slots = 0;
    this.aux = 0;
    this.textAt = 0;
    this.binAt = 0;
  }
}

/**
 * Takes what the core reports of a pool.
 * @typedef {object} Listener
 * @property {(event: Record<string, unknown>) => void} onEvent
 * @property {(request: number) => void} onPassword
 */

class CoreLink {
  constructor() {
    this.slices = new Slices(() => this.drain());
    this.core = new Environment(() => this.slices.wake());
    this.frames = new FrameWriter((buffer, length) => this.core.submit(buffer, length));
    /** Constructors of JSON objects, by the numbers of their shapes. @type {import('../values/json.js').Construct[]} */
    this.objects = [];
    this.inbox = new Inbox(INBOX_BYTES, this.objects);
    /** @type {Map<number, Shape>} */
    this.shapes = new Map();
    /** @type {(Call | undefined)[]} */
    this.calls = [undefined];
    /** @type {number[]} */
    this.free = [];
    this.inFlight = 0;
    this.flushing = false;
    this.flushNow = () => {
      this.flushing = false;
      this.frames.flush();
    };
    /** Keeps the process alive while, and only while, work is in flight. */
    this.alive = setInterval(() => {}, 0x7fff_ffff);
    this.alive.unref();
    /** @type {Map<number, WeakRef<Listener>>} */
    this.listeners = new Map();
  }

  /**
   * Opens a pool, which the core closes when its handle is collected.
   * @param {string} options JSON for the core
   * @param {Listener} listener held weakly
   */
  openPool(options, listener) {
    for (const [id, held] of this.listeners) if (held.deref() === undefined) this.listeners.delete(id);
    const pool = Pool.open(this.core, options);
    this.listeners.set(pool.id, new WeakRef(listener));
    return pool;
  }

  /**
   * Resolves when a pool has closed.
   * @param {import('../../index.js').Pool} pool
   * @param {number} timeoutMs after which the work in flight is cancelled; 0: never
   */
  async closePool(pool, timeoutMs) {
    await new Promise((resolve, reject) => {
      // Frames that were written before must arrive first.
      this.frames.flush();
      pool.close(this.register(new Call(resolve, reject)), timeoutMs);
    });
    this.listeners.delete(pool.id);
  }

  /**
   * Gives a call its number. A frame with that number must follow.
   * @param {Call} call
   */
  register(call) {
    const id = this.free.pop() ?? this.calls.length;
    this.calls[id] = call;
    call.id = id;
    this.hold();
    return id;
  }

  /** Keeps the process alive for one more piece of work in flight. */
  hold() {
    if (this.inFlight++ === 0) this.alive.ref();
  }

  /** The counterpart of hold(). */
  unhold() {
    if (--this.inFlight === 0) this.alive.unref();
  }

  /** Frees the number of a call that has ended. @param {Call} call */
  release(call) {
    this.calls[call.id] = undefined;
    this.free.push(call.id);
    call.id = 0;
    this.unhold();
  }

  /** Sends the frames that were written at the end of the microtask checkpoint. */
  flushSoon() {
    if (!this.flushing) {
      this.flushing = true;
      queueMicrotask(this.flushNow);
    }
  }

  /**
   * Sends a frame without parameters that has no answer.
   * @param {number} operation
   * @param {number} id
   * @param {number} pool
   * @param {number} [statement]
   * @param {number} [transaction]
   */
  sendFrame(operation, id, pool, statement = 0, transaction = 0, flags = 0) {
    this.frames.open(operation, id, pool, statement, transaction, flags, 0, 0);
    this.frames.close();
    this.flushSoon();
  }

  /**
   * Lets the core send more pieces to the reader of a call, if it still runs.
   * @param {Call | undefined} call
   * @param {number} pool
   * @param {number} pieces
   */
  grant(call, pool, pieces) {
    if (call === undefined || call.id === 0) return;
    this.frames.open(OP.CREDIT, call.id, pool, 0, 0, 0, 0, 0, pieces);
    this.frames.close();
    this.flushSoon();
  }

  /**
   * Cancels a call, if it still runs.
   * @param {Call | undefined} call
   * @param {number} pool
   */
  cancel(call, pool) {
    if (call !== undefined && call.id !== 0) this.sendFrame(OP.CANCEL, call.id, pool);
  }

  /**
   * Cancels a call whose reader has left, if it still runs: nobody gets its error.
   * @param {Call | undefined} call
   * @param {number} pool
   */
  leave(call, pool) {
    if (call !== undefined && call.id !== 0) this.sendFrame(OP.CANCEL, call.id, pool, 0, 0, FLAG.OWN);
  }

  /**
   * Sends a frame whose payload is a text.
   * @param {number} operation
   * @param {number} id
   * @param {number} pool
   * @param {number} statement
   * @param {number} transaction
   * @param {number} flags
   * @param {number} timeoutMs
   * @param {string} text
   */
  sendText(operation, id, pool, statement, transaction, flags, timeoutMs, text) {
    this.frames.open(operation, id, pool, statement, transaction, flags, 0, timeoutMs);
    this.frames.text(text);
    this.frames.closeText();
    this.flushSoon();
  }

  /**
   * Sends a frame without parameters, and waits for its answer.
   * @param {number} operation
   * @param {number} pool
   * @param {{ transaction?: number, flags?: number, timeoutMs?: number, text?: string }} [details]
   * @param {(call: Call) => void} [started] is given the call at once, to cancel it by its number
   * @returns {Promise<Call>}
   */
  ask(operation, pool, { transaction = 0, flags = 0, timeoutMs = 0, text = '' } = {}, started = undefined) {
    return new Promise((resolve, reject) => {
      const call = new Call(resolve, reject);
      const id = this.register(call);
      started?.(call);
      this.sendText(operation, id, pool, 0, transaction, flags, timeoutMs, text);
    });
  }

  /** Reads finished work, and settles its calls. */
  drain() {
    const until = this.slices.begin();
    for (;;) {
      const taken = this.core.take(this.inbox.bytes);
      if (taken === 0) return;
      if (taken > 0) {
        this.deliver(this.inbox);
      } else {
        const large = new Inbox(-taken, this.objects);
        this.core.take(large.bytes);
        this.deliver(large);
      }
      if (performance.now() > until) return this.slices.pause();
    }
  }

  /** Reads a batch of messages: rows and results for calls, and others. @param {Inbox} inbox */
  deliver(inbox) {
    const { i32, bytes } = inbox;
    const [messages, slots, aux, bin, textFrom, textBytes, ascii] = i32;
    const textEnd = textFrom + textBytes;
    inbox.text = ascii ? bytes.latin1Slice(textFrom, textEnd) : bytes.utf8Slice(textFrom, textEnd);
    for (let message = 0, head = WORDS.BATCH; message < messages; message++, head += WORDS.MESSAGE) {
      const kind = i32[head] & 255;
      const rows = i32[head + 2];
      if (kind === MESSAGE.DONE || kind === MESSAGE.ROWS) {
        const call = this.calls[i32[head + 1]];
        if (call === undefined) continue;
        if (i32[head] & MESSAGE_FLAG.ANEW) call.rows = [];
        const number = i32[head + 3];
        if (number !== 0) {
          const shape = this.shapes.get(number);
          call.shape = shape ?? null;
          if (shape === undefined) {
            call.failure = new HyperionError('internal error: unknown row shape', 'ERR_INTERNAL');
          } else if (rows > 0) {
            inbox.slots = slots + i32[head + 4];
            inbox.aux = aux + i32[head + 5];
            inbox.textAt = i32[head + 6];
            inbox.binAt = bin + i32[head + 7];
            try {
              call.rows = call.asArrays
                ? shape.readArrays(inbox, rows, /** @type {unknown[][]} */ (call.rows))
                : shape.read(inbox, rows, call.rows);
            } catch (error) {
              // A parser of the user failed. A result that cannot be read is not delivered in part.
              call.failure ??= error;
            }
            if (call.onRows !== null) {
              call.onRows(call.rows);
              call.rows = [];
            } else if (kind === MESSAGE.ROWS) {
              this.slices.isLarge = true;
            }
          }
        }
        if (kind === MESSAGE.DONE) {
          call.rowCount = (i32[head + 8] >>> 0) + i32[head + 9] * 2 ** 32;
          call.node = i32[head + 11];
          call.waitUs = i32[head + 12] >>> 0;
          this.release(call);
          call.structure = (i32[head] & MESSAGE_FLAG.STRUCTURE) !== 0;
          if (call.failure !== null) call.fail(/** @type {Error} */ (call.failure));
          else call.finish();
        }
      } else if (kind === MESSAGE.BYTES) {
        const from = bin + i32[head + 7];
        this.calls[i32[head + 1]]?.onBytes?.(Buffer.from(bytes.subarray(from, from + rows)));
      } else if (kind === MESSAGE.GRANT) {
        const from = i32[head + 6];
        const sent = (i32[head + 8] >>> 0) + i32[head + 9] * 2 ** 32;
        this.calls[i32[head + 1]]?.onGrant?.(rows, sent, inbox.text.slice(from, from + i32[head + 10]));
      } else {
        const from = i32[head + 6];
        this.deliverOther(
          kind,
          i32[head + 1],
          rows,
          i32[head + 3],
          inbox.text.slice(from, from + i32[head + 10]),
          i32[head + 11],
          i32[head + 12] >>> 0,
        );
      }
    }
    inbox.text = '';
  }

  /**
   * Handles a message without rows: an error, a shape, an event, or a request for a password.
   * @param {number} kind
   * @param {number} id
   * @param {number} number
   * @param {number} shape
   * @param {string} text
   * @param {number} node
   * @param {number} waitUs
   */
  deliverOther(kind, id, number, shape, text, node, waitUs) {
    switch (kind) {
      case MESSAGE.ERROR: {
        if (id === 0) return this.failAll(fromCore(text));
        const call = this.calls[id];
        if (call === undefined) return;
        call.node = node;
        call.waitUs = waitUs;
        this.release(call);
        call.fail(fromCore(text));
        break;
      }
      case MESSAGE.SHAPE:
        this.shapes.set(shape, Shape.of(text));
        break;
      case MESSAGE.FORGET_SHAPE:
        this.shapes.delete(shape);
        break;
      case MESSAGE.JSON_SHAPE: {
        const { keys, members } = JSON.parse(text);
        this.objects[shape] = constructorFor(keys, members);
        break;
      }
      case MESSAGE.EVENT:
        this.listeners.get(id)?.deref()?.onEvent(JSON.parse(text));
        break;
      case MESSAGE.PASSWORD:
        this.listeners.get(id)?.deref()?.onPassword(number);
        break;
      default: {
        const error = new HyperionError(`internal error: a message of the unknown kind ${kind}`, 'ERR_INTERNAL');
        const call = this.calls[id];
        if (call === undefined) return this.failAll(error);
        this.release(call);
        call.fail(error);
      }
    }
  }

  /**
   * Rejects all calls: it is not known which one a message or frame belonged to, and none may wait for ever.
   * @param {Error} error
   */
  failAll(error) {
    for (const call of this.calls) {
      if (call === undefined) continue;
      this.release(call);
      call.fail(error);
    }
  }
}

/** @type {CoreLink | undefined} */
let link;

/** The environment's link, opened at first use. */
function shared() {
  link ??= new CoreLink();
  return link;
}

module.exports = { Call, CoreLink, shared };
