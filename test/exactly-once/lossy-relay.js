'use strict';

// A relay in front of a node that loses the answers to COMMIT, each in one of the ways in which they are lost outside of tests.

const net = require('node:net');

/** COMMIT as a Query message (PostgreSQL docs, 54.7 "Message Formats"). */
const COMMIT = Buffer.from('Q\0\0\0\x0bCOMMIT\0', 'latin1');
/** The head of BackendKeyData; the process id of the backend follows. */
const KEY_DATA = Buffer.from('K\0\0\0\x0c', 'latin1');

/**
 * What becomes of a COMMIT. In all of them the client loses its connection without an answer.
 * - `cut before`: neither side has the connection any more, and the server has not got the COMMIT.
 * - `cut after`: the server has carried the COMMIT out.
 * - `deaf before`: the server has not got the COMMIT, and does not learn that its client is gone.
 * - `deaf after`: the server has carried it out, and does not learn that its client is gone.
 * - `late`: the COMMIT reaches the server `laterMs` after the client has lost its connection.
 * - `frozen`: the backend stands still when the COMMIT arrives, and goes on after `laterMs`.
 * @typedef {'cut before' | 'cut after' | 'deaf before' | 'deaf after' | 'late' | 'frozen'} Fault
 */

/** After this the server learns that a client is gone, as it does by TCP's keepalives: or else it has no connection left some day. */
const DEAF_MS = 15_000;

/** @type {Fault[]} */
const FAULTS = ['cut before', 'cut after', 'deaf before', 'deaf after', 'late', 'frozen'];

class LossyRelay {
  #target;
  #server = net.createServer((client) => this.#accept(client));
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  /** Backends that stand still. @type {Set<number>} */
  #frozen = new Set();
  /** What becomes of the next COMMIT; undefined: it arrives, and its answer, too. @type {() => Fault | undefined} */
  fault = () => undefined;
  /** Of which pieces that a client sends the answer may be lost. @type {(piece: Buffer) => boolean} */
  concerns = (piece) => piece.includes(COMMIT);
  /** When what comes late comes. @type {() => number} */
  laterMs = () => 150;
  /** How often each fault was made. @type {Record<string, number>} */
  made = {};
  /** Called when an answer was lost. @type {() => void} */
  onLost = () => {};
  /** Late COMMITs and frozen backends wait for this, too, if it is given. @type {Promise<unknown> | undefined} */
  until;

  /** @param {{ host: string, port: number }} target */
  constructor(target) {
    this.#target = target;
  }

  /** @param {{ host: string, port: number }} target */
  static async open({ host, port }) {
    const relay = new LossyRelay({ host, port });
    await new Promise((resolve) => relay.#server.listen(0, '127.0.0.1', () => resolve(undefined)));
    return relay;
  }

  get address() {
    return `127.0.0.1:${/** @type {net.AddressInfo} */ (this.#server.address()).port}`;
  }

  close() {
    for (const pid of this.#frozen) thaw(pid);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  /** @param {net.Socket} client */
  #accept(client) {
    const upstream = net.connect(this.#target.port, this.#target.host);
    let pid = 0;
    let login = Buffer.alloc(0);
    let isLost = false;
    const sockets = /** @type {const} */ ([
      [client, upstream],
      [upstream, client],
    ]);
    for (const [one, other] of sockets) {
      this.#sockets.add(one);
      one.setNoDelay(true);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        if (!isLost) other.destroy();
      });
    }
    client.on('data', (piece) => {
      if (isLost) return;
      const fault = this.concerns(piece) ? this.fault() : undefined;
      if (fault === undefined) return void upstream.write(piece);
      isLost = true;
      this.made[fault] = (this.made[fault] ?? 0) + 1;
      this.#lose(fault, piece, client, upstream, pid);
    });
    upstream.on('data', (piece) => {
      if (pid === 0) {
        login = Buffer.concat([login, piece]);
        pid = backendIn(login);
      }
      if (!isLost) client.write(piece);
    });
  }

  /**
   * @param {Fault} fault
   * @param {Buffer} commit
   * @param {net.Socket} client
   * @param {net.Socket} upstream
   * @param {number} pid of the backend
   */
  #lose(fault, commit, client, upstream, pid) {
    setTimeout(() => upstream.destroy(), DEAF_MS).unref();
    const later = async (/** @type {() => void} */ work) => {
      await Promise.all([this.until, new Promise((resolve) => setTimeout(resolve, this.laterMs()))]);
      work();
    };
    client.once('close', () => this.onLost());
    if (fault === 'cut before') {
      upstream.destroy();
      client.destroy();
    } else if (fault === 'deaf before') {
      client.destroy();
    } else if (fault === 'late') {
      client.destroy();
      later(() => upstream.write(commit));
    } else if (fault === 'frozen') {
      // 0 would be this process itself, and its group.
      if (pid === 0) throw new Error('the relay has not seen the process id of the backend');
      process.kill(pid, 'SIGSTOP');
      this.#frozen.add(pid);
      upstream.write(commit);
      client.destroy();
      later(() => {
        this.#frozen.delete(pid);
        thaw(pid);
      });
    } else {
      upstream.once('data', () => {
        client.destroy();
        if (fault === 'cut after') upstream.destroy();
      });
      upstream.write(commit);
    }
  }
}

/** The backend's process id in what a server has sent so far; 0: it is not there yet. @param {Buffer} login */
function backendIn(login) {
  const at = login.indexOf(KEY_DATA);
  return at === -1 || login.length < at + KEY_DATA.length + 4 ? 0 : login.readInt32BE(at + KEY_DATA.length);
}

/** @param {number} pid */
function thaw(pid) {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // Its server has crashed in the meantime.
  }
}

module.exports = { DEAF_MS, FAULTS, LossyRelay };
