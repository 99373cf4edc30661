'use strict';

// Changes the bytes of a well-behaved server. A session (the connections of one pool, recognised by the database that they ask
// for) has a plan that follows from the seed and its number alone: what is done at which message of which connection.
//
// The messages that a plan can change are known from a good session, which is recorded first. Nothing is replayed: the server
// answers what the client asks, and the plan changes the answers, so that the next question still makes sense.

const { Random } = require('../../chaos/random');

/** @typedef {import('./conversation').Conversation} Conversation */

/** Lengths that a message may claim; the length may also be wrong by one. */
const LENGTHS = [0, 3, 4, 5, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const BYTES = [0, 1, 0x7f, 0x80, 0xff];

/** @typedef {{ index: number, kind: string, choose: Random }} Stroke */
/** @typedef {{ ordinal: number, strokes: Stroke[] }} Plan `ordinal`: of the connection; -1: every one */

/**
 * Each changes a message, or what happens in its place.
 *
 * @type {Record<string, (message: Buffer, choose: Random, place: Place, record: readonly Buffer[]) => Buffer[]>}
 */
const KINDS = {
  flip: (message, choose) => [changed(message, choose, (byte) => byte ^ (1 << choose.int(0, 7)))],
  set: (message, choose) => [changed(message, choose, () => choose.pick(BYTES))],
  any: (message, choose) => [changed(message, choose, () => choose.int(0, 255))],
  length: (message, choose) => {
    const spoilt = Buffer.from(message);
    const near = message.readUInt32BE(1) + choose.int(-8, 8);
    spoilt.writeUInt32BE((choose.once(2) ? near : choose.pick(LENGTHS)) >>> 0, 1);
    return [spoilt];
  },
  cut: (message, choose) => [message.subarray(0, choose.int(0, message.length - 1))],
  'cut and silent': (message, choose, place) => {
    place.conversation.hush();
    place.silent = true;
    return [message.subarray(0, choose.int(0, message.length - 1))];
  },
  'cut and closed': (message, choose, place) => {
    place.closes = true;
    return [message.subarray(0, choose.int(0, message.length))];
  },
  twice: (message) => [message, message],
  'many times': (message) => Array(50).fill(message),
  removed: () => [],
  'after the next': (message, _, place) => {
    place.held = message;
    return [];
  },
  'another in its place': (_, choose, __, record) => [choose.pick(record)],
  'another before it': (message, choose, _, record) => [choose.pick(record), message],
  'rubbish before it': (message, choose) => [
    Buffer.from(Array.from({ length: choose.int(1, 64) }, () => choose.int(0, 255))),
    message,
  ],
};
const NAMES = Object.keys(KINDS);

/** @param {Buffer} message @param {Random} choose @param {(byte: number) => number} change */
function changed(message, choose, change) {
  const spoilt = Buffer.from(message);
  // The first bytes, which have type, length and counts, are changed more often than the middle.
  const at = choose.once(3) ? choose.int(0, Math.min(8, message.length - 1)) : choose.int(0, message.length - 1);
  spoilt[at] = change(spoilt[at]);
  return spoilt;
}

/** A connection of a session. */
class Place {
  index = 0;
  /** @type {Buffer | null} */
  held = null;
  closes = false;
  silent = false;

  /** @param {Conversation} conversation @param {number} ordinal */
  constructor(conversation, ordinal) {
    this.conversation = conversation;
    this.ordinal = ordinal;
  }
}

class Mutations {
  /** The messages of each connection of the good session. @type {Buffer[][]} */
  record = [];
  #seed;
  /** @type {WeakMap<Conversation, Place>} */
  #places = new WeakMap();
  /** How many connections each session has had. @type {Map<string, number>} */
  #connections = new Map();
  /** @type {Map<string, Plan>} */
  #plans = new Map();

  /** @param {number} seed */
  constructor(seed) {
    this.#seed = seed;
  }

  /** Every message of every server goes through this function. @param {Conversation} conversation @param {Buffer} message */
  filter = (conversation, message) => {
    const name = conversation.parameters.database ?? '';
    const place = this.#placeOf(conversation, name);
    if (name === 'record') this.record[place.ordinal].push(message);
    const plan = this.#planOf(name);
    if (plan === null) return [message];
    if (place.silent || place.closes) return [];
    const index = place.index++;
    const held = place.held === null ? [] : [place.held];
    place.held = null;
    const isStruck = plan.ordinal === -1 || plan.ordinal === place.ordinal;
    const stroke = isStruck ? plan.strokes.find((one) => one.index === index) : undefined;
    if (stroke === undefined) return [message, ...held];
    const out = KINDS[stroke.kind](message, stroke.choose, place, this.record.flat());
    if (place.closes) setImmediate(() => conversation.socket.end());
    return [...out, ...held];
  };

  /** @param {Conversation} conversation @param {string} name */
  #placeOf(conversation, name) {
    const known = this.#places.get(conversation);
    if (known !== undefined) return known;
    const ordinal = this.#connections.get(name) ?? 0;
    this.#connections.set(name, ordinal + 1);
    if (name === 'record') this.record.push([]);
    const place = new Place(conversation, ordinal);
    this.#places.set(conversation, place);
    return place;
  }

  /** @param {string} name @returns {Plan | null} */
  #planOf(name) {
    if (!/^s\d+$/.test(name)) return null;
    const known = this.#plans.get(name);
    if (known !== undefined) return known;
    const plan = this.plan(Number(name.slice(1)));
    this.#plans.set(name, plan);
    return plan;
  }

  /** The plan of a session. @param {number} number @returns {Plan} */
  plan(number) {
    const choose = new Random(this.#seed).fork(`session ${number}`);
    const ordinal = choose.int(0, this.record.length - 1);
    const most = this.record[ordinal].length - 1;
    const count = choose.once(4) ? choose.int(2, 3) : 1;
    const strokes = Array.from({ length: count }, (_, at) => ({
      index: choose.int(0, most),
      kind: choose.pick(NAMES),
      choose: choose.fork(`stroke ${at}`),
    }));
    return { ordinal: choose.once(4) ? -1 : ordinal, strokes };
  }

  /** The plan, for reports. @param {number} number */
  describe(number) {
    const { ordinal, strokes } = this.plan(number);
    const where = ordinal === -1 ? 'every connection' : `connection ${ordinal}`;
    const from = this.record[Math.max(ordinal, 0)];
    const what = strokes.map(
      ({ index, kind }) => `message ${index} (${from[index]?.toString('latin1', 0, 1) ?? '?'}) ${kind}`,
    );
    return `${where}: ${what.join(', ')}`;
  }
}

module.exports = { Mutations };
