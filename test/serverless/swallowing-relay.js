'use strict';

// A relay in front of a node that loses the reply to a statement. The statement says by a parameter what becomes of it: a text
// `cut-17`, `silence-17` or `before-17` is lost in that way the first time that it comes by; any later time it gets through.

const net = require('node:net');

/**
 * - `cut`: the server has carried the statement out, then both connections are closed.
 * - `silence`: the server has carried the statement out, and nothing that it sends arrives any more.
 * - `before`: both connections are closed, and the server has not got the statement.
 */
const WAYS = /** @type {const} */ (['cut', 'silence', 'before']);
const MARK = new RegExp(`(${WAYS.join('|')})-\\d+`);

class SwallowingRelay {
  #server = net.createServer((client) => this.#accept(client));
  #target;
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  /** How often each marked statement has come by. @type {Map<string, number>} */
  seen = new Map();

  /** @param {{ host: string, port: number }} target */
  constructor({ host, port }) {
    this.#target = { host, port };
  }

  /** @param {import('node:test').TestContext} t @param {{ host: string, port: number }} target */
  static async open(t, target) {
    const relay = new SwallowingRelay(target);
    await new Promise((resolve) => relay.#server.listen(0, '127.0.0.1', () => resolve(undefined)));
    t.after(() => relay.close());
    return relay;
  }

  get address() {
    return `127.0.0.1:${/** @type {net.AddressInfo} */ (this.#server.address()).port}`;
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  /** @param {net.Socket} client */
  #accept(client) {
    const upstream = net.connect({ ...this.#target, noDelay: true });
    let isSilent = false;
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      this.#sockets.add(one);
      one.setNoDelay(true);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    upstream.on('data', (piece) => {
      if (!isSilent) client.write(piece);
    });
    client.on('data', (piece) => {
      const way = this.#wayOf(piece);
      if (way === 'before') return void client.destroy();
      // PostgreSQL sends nothing before it has committed: what it has to say goes with ReadyForQuery.
      if (way === 'cut') upstream.once('data', () => client.destroy());
      isSilent ||= way !== undefined;
      upstream.write(piece);
    });
  }

  /** @param {Buffer} piece @returns {string | undefined} undefined: it gets through */
  #wayOf(piece) {
    const [mark, way] = MARK.exec(piece.toString('latin1')) ?? [];
    if (mark === undefined) return undefined;
    const before = this.seen.get(mark) ?? 0;
    this.seen.set(mark, before + 1);
    return before === 0 ? way : undefined;
  }
}

module.exports = { SwallowingRelay, WAYS };
