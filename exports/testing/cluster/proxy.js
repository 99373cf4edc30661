'use strict';

// A TCP proxy in front of a node, for the network faults that a process signal cannot make. It works in the test's own event loop,
// so a test that blocks the loop delays its traffic. What it can and cannot imitate:
//   latency(ms)  every chunk arrives that much later, in each direction: a round trip grows by twice as much;
//   cut()        connections are reset, new ones refused: a host whose service died;
//   blackhole()  connections are accepted and nothing passes, not even a close. Not quite packet loss: the kernel of the
//                proxy acknowledges what it takes, so the sender's TCP sees a silent but living peer, as with a frozen node;
//   heal()       back to normal. What a black hole held back arrives now, late and complete, as after a real partition.

const net = require('node:net');
const { freePort } = require('./ports.js');

/** A lane that holds more than this stops reading, so that TCP's own flow control slows the sender down. */
const LANE_LIMIT_BYTES = 1 << 20;

class TcpProxy {
  #target;
  #server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  /** @type {Set<Link>} */
  #links = new Set();
  #latencyMs = 0;
  #holding = false;
  host = '127.0.0.1';
  port = 0;

  /** @param {{ host: string, port: number }} target */
  constructor(target) {
    this.#target = target;
  }

  /**
   * @param {{ host: string, port: number }} target
   * @returns {Promise<TcpProxy>}
   */
  static async open(target) {
    const proxy = new TcpProxy(target);
    proxy.port = await freePort();
    await proxy.#listen();
    return proxy;
  }

  get address() {
    return `${this.host}:${this.port}`;
  }

  /** How many connections are open through it. */
  get connections() {
    return this.#links.size;
  }

  get latencyMs() {
    return this.#latencyMs;
  }

  get holding() {
    return this.#holding;
  }

  /** @param {number} ms */
  latency(ms) {
    this.#latencyMs = ms;
  }

  async cut() {
    this.#holding = false;
    // The listening socket is closed at once; the callback of close() would wait for the connections as well.
    if (this.#server.listening) this.#server.close();
    for (const link of this.#links) link.reset();
  }

  async blackhole() {
    this.#holding = true;
    await this.#listen();
  }

  async heal() {
    this.#latencyMs = 0;
    this.#holding = false;
    await this.#listen();
    for (const link of this.#links) link.resume();
  }

  async close() {
    await this.cut();
  }

  /** @param {net.Socket} client */
  #accept(client) {
    const link = new Link(this, client, this.#target, () => this.#links.delete(link));
    this.#links.add(link);
    link.resume();
  }

  /** @returns {Promise<void>} */
  #listen() {
    if (this.#server.listening) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.port, this.host, () => {
        this.#server.off('error', reject);
        this.#server.unref();
        resolve();
      });
    });
  }
}

/** One client connection and its counterpart at the node. */
class Link {
  #proxy;
  #client;
  #target;
  #onClosed;
  /** @type {net.Socket | null} opened when traffic may pass: a black hole hides the node from new clients, too */
  #server = null;
  /** @type {Lane[]} */
  #lanes = [];
  /** One side broke while a black hole hid that from the other side. */
  #broken = false;

  /**
   * @param {TcpProxy} proxy
   * @param {net.Socket} client
   * @param {{ host: string, port: number }} target
   * @param {() => void} onClosed
   */
  constructor(proxy, client, target, onClosed) {
    this.#proxy = proxy;
    this.#client = client;
    this.#target = target;
    this.#onClosed = onClosed;
    client.unref();
    client.pause();
    client.on('error', () => this.#fail());
    client.on('close', () => this.#settle());
  }

  resume() {
    if (this.#proxy.holding) return;
    if (this.#broken) {
      this.reset();
      return;
    }
    this.#server ??= this.#connect();
    for (const lane of this.#lanes) lane.pump();
  }

  reset() {
    reset(this.#client);
    if (this.#server) reset(this.#server);
    for (const lane of this.#lanes) lane.drop();
    this.#onClosed();
  }

  #connect() {
    const server = net.connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    server.unref();
    server.on('error', () => this.#fail());
    server.on('close', () => this.#settle());
    this.#lanes = [new Lane(this.#proxy, this.#client, server), new Lane(this.#proxy, server, this.#client)];
    return server;
  }

  #fail() {
    this.#broken = true;
    if (!this.#proxy.holding) this.reset();
  }

  #settle() {
    if (this.#client.destroyed && (!this.#server || this.#server.destroyed)) this.#onClosed();
  }
}

/**
 * Resets a connection. A connection that is being ended cannot be reset: libuv refuses, and Node (20.20) then never closes the
 * handle and never exits. Its peer has had the end already.
 *
 * @param {net.Socket} socket
 */
function reset(socket) {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One direction of a link: a queue of chunks, each with the time it is due; null stands for the end. */
class Lane {
  #proxy;
  #from;
  #to;
  /** @type {{ due: number, chunk: Buffer | null }[]} */
  #queue = [];
  #heldBytes = 0;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;

  /**
   * @param {TcpProxy} proxy
   * @param {net.Socket} from
   * @param {net.Socket} to
   */
  constructor(proxy, from, to) {
    this.#proxy = proxy;
    this.#from = from;
    this.#to = to;
    from.on('data', (chunk) => this.#take(chunk));
    from.on('end', () => this.#take(null));
    to.on('drain', () => this.pump());
    from.resume();
  }

  pump() {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    while (this.#queue.length > 0 && !this.#proxy.holding && !this.#to.writableNeedDrain) {
      const { due, chunk } = this.#queue[0];
      const wait = due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait).unref();
        return;
      }
      this.#queue.shift();
      this.#deliver(chunk);
    }
  }

  drop() {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue = [];
  }

  /** @param {Buffer | null} chunk */
  #take(chunk) {
    this.#queue.push({ due: performance.now() + this.#proxy.latencyMs, chunk });
    this.#heldBytes += chunk?.length ?? 0;
    if (this.#heldBytes > LANE_LIMIT_BYTES) this.#from.pause();
    this.pump();
  }

  /** @param {Buffer | null} chunk */
  #deliver(chunk) {
    if (this.#to.destroyed) return;
    if (chunk === null) {
      this.#to.end();
      return;
    }
    this.#to.write(chunk);
    this.#heldBytes -= chunk.length;
    if (this.#heldBytes <= LANE_LIMIT_BYTES) this.#from.resume();
  }
}

exports.TcpProxy = TcpProxy;
