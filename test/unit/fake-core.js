'use strict';

// A pool without a server: the frames that it writes are read here, and answered as a test says. So tests see what the core is asked.

const { shared } = require('../../lib/core/core-link.js');
const { FrameWriter } = require('../../lib/core/frame-writer.js');
const { FLAG, OP, WORDS } = require('../../lib/core/numbers.js');
const { createPool } = require('../../client.js');

const HEAD = WORDS.FRAME * 4;
const POOL = 4_000_000;

/**
 * A frame that was written.
 * @typedef {object} Frame
 * @property {string} operation
 * @property {number} id
 * @property {number} pool
 * @property {number} statement
 * @property {string} sql
 * @property {string[]} flags
 * @property {number} count
 * @property {number} timeoutMs
 * @property {number} extra
 * @property {Record<string, unknown> | undefined} read the options of a read
 * @property {Buffer} payload what comes after them
 */

/** How a frame is answered: an error, or a token and the index of the node. @typedef {{ error?: Error, token?: string, node?: number }} Answer */

/** @param {Record<string, number>} table @param {number} number */
const nameOf = (table, number) => Object.keys(table).find((name) => table[name] === number) ?? String(number);

/** @param {number} flags */
const flagNames = (flags) => Object.entries(FLAG).flatMap(([name, flag]) => (flags & flag ? [name] : []));

/** The frames of a submission. @param {Buffer} bytes @returns {Frame[]} */
function framesOf(bytes) {
  /** @type {Frame[]} */
  const frames = [];
  for (let at = 0; at < bytes.length; ) {
    const word = (/** @type {number} */ index) => bytes.readInt32LE(at + index * 4);
    let payload = bytes.subarray(at + HEAD, at + HEAD + word(8));
    let read;
    if (word(5) & FLAG.READ_OPTIONS) {
      const length = payload.readInt32LE(0);
      if (payload.readInt32LE(4) !== 0) throw new Error('the second word of the options of a read is not 0');
      read = JSON.parse(payload.toString('utf8', 8, 8 + length));
      payload = payload.subarray(8 + Math.ceil(length / 8) * 8);
    }
    frames.push({
      operation: nameOf(OP, word(0)),
      id: word(1),
      pool: word(2),
      statement: word(3),
      sql: '',
      flags: flagNames(word(5)),
      count: word(6),
      timeoutMs: word(7),
      extra: word(9),
      read,
      payload: Buffer.from(payload),
    });
    at += HEAD + Math.ceil(word(8) / 8) * 8;
  }
  return frames;
}

/** The calls of the statements of a batch. @param {Frame} frame */
function itemsOf({ count, extra, payload }) {
  const ids = [];
  let at = Math.ceil(extra / 8) * 8;
  for (let item = 0; item < count; item++) {
    ids.push(payload.readInt32LE(at));
    at += WORDS.ITEM * 4 + payload.readInt32LE(at + 12);
  }
  return ids;
}

let pools = 0;
/** What takes the frames of each pool. @type {Map<number, (frame: Frame) => void>} */
const handlers = new Map();

/**
 * A pool whose frames are answered by `answer`, each in its own turn of the event loop.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 * @param {(frame: Frame) => Answer | Promise<Answer>} [answer]
 */
function fakePool(t, options = {}, answer = () => ({})) {
  const link = shared();
  const { frames } = link;
  /** @type {Map<number, string>} */
  const texts = new Map();
  /** What waits for an answer, in its order. @type {Frame[]} */
  const asked = [];
  /** What `nodes()` says. @type {object[]} */
  const nodes = [];
  const number = POOL + ++pools;

  const settle = (/** @type {number} */ id, /** @type {Answer} */ { error, token, node = 0 }) => {
    const call = /** @type {any} */ (link.calls[id]);
    if (token !== undefined) call.onGrant?.(0, 0, token);
    link.release(call);
    call.node = node;
    if (error === undefined) call.finish();
    else call.fail(error);
  };
  const reply = async (/** @type {Frame} */ frame) => {
    await new Promise((resolve) => setImmediate(resolve));
    const answered = await answer(frame);
    // The statements of a batch, then the batch itself.
    for (const id of frame.operation === 'BATCH' ? itemsOf(frame) : []) settle(id, answered);
    settle(frame.id, answered);
  };
  const handle = (/** @type {Frame} */ frame) => {
    if (frame.operation === 'DEFINE') {
      texts.set(frame.statement, frame.payload.toString());
    } else if (frame.id !== 0 && frame.operation !== 'CANCEL' && frame.operation !== 'CREDIT') {
      frame.sql = texts.get(frame.statement) ?? '';
      asked.push(frame);
      reply(frame);
    }
  };

  const core = {
    id: number,
    nodes: () => JSON.stringify(nodes),
    status: () => [0, 0, 0, 0],
    transaction: () => ({ begin: () => 1, finish() {} }),
  };
  t.mock.method(link, 'openPool', () => core);
  const pool = createPool({ hosts: 'db1,db2:5433,db3', user: 'u', ...options });
  handlers.set(number, handle);
  link.frames = new FrameWriter((buffer, length) => {
    for (const frame of framesOf(Buffer.from(buffer.subarray(0, length)))) handlers.get(frame.pool)?.(frame);
  });
  t.after(() => {
    link.frames = frames;
  });
  return { pool, asked, nodes };
}

module.exports = { fakePool, framesOf };
