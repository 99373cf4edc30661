'use strict';

// A proxy in front of the standbys, in a process of its own, so that it shares an event loop with nobody. It holds back some of the
// answers of the first one, and counts what reaches each of them. Which answers are held back is a matter of a seed: both ways of a
// comparison meet the same draws.
//
// What is held back is a piece (as the kernel hands it out) that comes from the server while a statement is in flight on its
// connection, so neither a login nor a notice. What comes behind it on the same connection waits, too, as it would behind a packet
// that was lost.
//
// It reads the messages of the protocol, so the connections through it must have no TLS.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const { CANCEL_REQUEST, Messages } = require('./messages.js');

/** @typedef {{ host: string, port: number }} Address */
/** @typedef {import('./types').Counts} Counts */
/** @typedef {{ share: number, seed: number }} Holding which share of the answers is held back */

/** How long an answer is held back. */
const HOLD_MS = 200;

/**
 * Starts it.
 * @param {Address[]} targets the answers of the first one are held back
 */
async function startSlowProxy(targets) {
  const child = fork(__filename, ['proxy'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the proxy ended')));
  ended.catch(() => {}); // it may end when nobody asks
  const ask = async (/** @type {object} */ question) => {
    child.send(question);
    const [answer] = await Promise.race([once(child, 'message'), ended]);
    return answer;
  };
  const { addresses } = await ask({ targets });
  return {
    /** One for each target. */
    addresses: /** @type {Address[]} */ (addresses),
    /** From now on. @param {Holding} holding @returns {Promise<void>} */
    hold: (holding) => ask({ holding }),
    /** What it has counted since it was asked last. @returns {Promise<Counts>} */
    counts: () => ask({}),
    stop: () => child.disconnect(),
  };
}

/** Uniform numbers in 0..1 (mulberry32, by Tommy Ettinger; public domain). @param {number} seed */
function randomNumbers(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The way to one target. */
class Way {
  #random = randomNumbers(0);
  #share = 0;
  statements = 0;
  held = 0;
  cancels = 0;

  /** @param {Address} target */
  constructor(target) {
    this.target = target;
  }

  /** @param {Holding} holding */
  hold({ share, seed }) {
    this.#share = share;
    this.#random = randomNumbers(seed);
  }

  /** Whether the next answer is held back. */
  draw() {
    const isHeld = this.#share > 0 && this.#random() < this.#share;
    if (isHeld) this.held++;
    return isHeld;
  }

  take() {
    const { statements, held, cancels } = this;
    this.statements = 0;
    this.held = 0;
    this.cancels = 0;
    return { statements, held, cancels };
  }

  /** @returns {Promise<Address>} where it listens */
  async listen() {
    const server = net.createServer({ noDelay: true }, (client) => connect(this, client));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {net.AddressInfo} */ (server.address());
    return { host: '127.0.0.1', port };
  }
}

/** One connection through the proxy. @param {Way} way @param {net.Socket} client */
function connect(way, client) {
  const server = net.connect({ ...way.target, noDelay: true });
  /** Statements that were sent and not answered. */
  let inFlight = 0;
  const asked = new Messages({
    onType: (type) => {
      // Bind: a statement runs. The monitor's statements go by the simple protocol, and are not counted.
      if (type !== 'B') return;
      inFlight++;
      way.statements++;
    },
    onFirst: (code) => {
      if (code === CANCEL_REQUEST) way.cancels++;
    },
  });
  const answered = new Messages({
    onType: (type) => {
      // CommandComplete or ErrorResponse: its end.
      if ((type === 'C' || type === 'E') && inFlight > 0) inFlight--;
    },
  });
  const answers = new Delayed(client);
  client.on('data', (piece) => {
    asked.read(piece);
    server.write(piece);
  });
  server.on('data', (piece) => {
    answers.write(piece, inFlight > 0 && way.draw() ? HOLD_MS : 0);
    answered.read(piece);
  });
  client.on('close', () => server.destroy());
  server.on('close', () => answers.end());
  for (const socket of [client, server]) socket.on('error', () => {}); // 'close' follows
}

/** Writes to a socket, some of it later, in order. */
class Delayed {
  #to;
  /** @type {{ piece: Buffer, due: number }[]} */
  #queue = [];
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #isOver = false;

  /** @param {net.Socket} to */
  constructor(to) {
    this.#to = to;
  }

  /** @param {Buffer} piece @param {number} delayMs */
  write(piece, delayMs) {
    if (delayMs === 0 && this.#queue.length === 0) {
      this.#to.write(piece);
      return;
    }
    this.#queue.push({ piece, due: performance.now() + delayMs });
    this.#pump();
  }

  end() {
    this.#isOver = true;
    this.#pump();
  }

  #pump() {
    clearTimeout(this.#timer);
    while (this.#queue.length > 0) {
      const wait = this.#queue[0].due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(wait));
        return;
      }
      const [{ piece }] = this.#queue.splice(0, 1);
      if (!this.#to.destroyed) this.#to.write(piece);
    }
    if (this.#isOver) this.#to.end();
  }
}

function serve() {
  /** @type {Way[]} */
  let ways = [];
  process.on('message', async (/** @type {any} */ { targets, holding }) => {
    if (targets !== undefined) {
      ways = targets.map((/** @type {Address} */ target) => new Way(target));
      process.send?.({ addresses: await Promise.all(ways.map((way) => way.listen())) });
    } else if (holding !== undefined) {
      ways[0].hold(holding);
      process.send?.({});
    } else {
      const all = ways.map((way) => way.take());
      const sum = (/** @type {'statements' | 'held' | 'cancels'} */ name) =>
        all.reduce((total, way) => total + way[name], 0);
      process.send?.({ statements: sum('statements'), held: sum('held'), cancels: sum('cancels') });
    }
  });
  process.on('disconnect', () => process.exit());
}

if (require.main === module && process.argv[2] === 'proxy') serve();

module.exports = { HOLD_MS, startSlowProxy };
