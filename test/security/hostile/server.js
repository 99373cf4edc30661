'use strict';

// A fake PostgreSQL server that behaves well until its script says otherwise.
//
//   const server = await FakeServer.open({ startup: [authentication(5)] });       a cut md5 request, then nothing
//   const server = await FakeServer.open({ statements: { 'SELECT 1': { execute: [dataRow(['x'], 5)] } } });
//
// A script names states: what the client has sent. Each has a list of steps, the answer:
//   a Buffer                  is sent as it is
//   'default'                 what a good server answers in this state
//   the name of a state       what this server answers in that state: 'login'
//   { pause: ms }             waits, and answers nothing meanwhile
//   { drip: bytes, everyMs }  one byte at a time
//   { flood: bytes, times }   again and again, as fast as the client reads; without `times` for ever; or a function of the
//                             number sent
//   { later: ms, send }       sent after a while, though others were answered meanwhile
//   { hush: true }            nothing is answered any more; the connection stays open
//   { skip: true }            what follows up to Sync is ignored, as after an error
//   { end: true }, { reset: true }   the connection is closed, or torn down
//   a function                (conversation, request) => steps
// The states of the beginning: ssl, gss, hello (the first bytes of a TLS handshake), cancel, startup, password, saslInitial,
// saslResponse, login (what follows the authentication), probe and control (the two questions the client asks then).
// States of statements, for one statement by its text in `statements`, or for all in the script: query (simple protocol), parse,
// describe, bind, execute, copyData, copyDone, copyFail; sync, close and terminate can only be in the script.
// `connect` comes before everything, as soon as the socket is open.

const net = require('node:net');
const { Conversation } = require('./conversation');

/** @typedef {import('./wire').Column} Column */
/** @typedef {import('./wire').Cell} Cell */
/** @typedef {{ kind: string, body: Buffer, sql: string }} Request what the client has sent */
/**
 * @typedef {object} Action
 * @property {number} [pause]
 * @property {Buffer} [drip]
 * @property {number} [everyMs]
 * @property {Buffer | ((sent: number) => Buffer)} [flood]
 * @property {number} [times]
 * @property {number} [later]
 * @property {Buffer} [send]
 * @property {boolean} [hush]
 * @property {boolean} [skip]
 * @property {boolean} [end]
 * @property {boolean} [reset]
 */
/** @typedef {string | Buffer | Action | ((conversation: Conversation, request: Request) => readonly Step[])} Step */
/**
 * @typedef {object} Answers
 * @property {readonly Step[]} [query]
 * @property {readonly Step[]} [parse]
 * @property {readonly Step[]} [describe]
 * @property {readonly Step[]} [bind]
 * @property {readonly Step[]} [execute]
 * @property {readonly Step[]} [copyData]
 * @property {readonly Step[]} [copyDone]
 * @property {readonly Step[]} [copyFail]
 */
/**
 * @typedef {object} Told what a statement is; what is missing: no parameters, no rows
 * @property {readonly number[]} [params] their types
 * @property {readonly Column[]} [columns]
 * @property {readonly (readonly Cell[])[] | ((params: (Buffer | null)[]) => readonly (readonly Cell[])[])} [rows] in binary
 * @property {readonly (readonly Cell[])[]} [texts] the same for the simple protocol
 * @property {string} [tag]
 */
/** @typedef {Answers & Told} Statement */
/**
 * @typedef {Answers & {
 *   connect?: readonly Step[], ssl?: readonly Step[], gss?: readonly Step[], hello?: readonly Step[],
 *   cancel?: readonly Step[], startup?: readonly Step[], password?: readonly Step[], saslInitial?: readonly Step[],
 *   saslResponse?: readonly Step[], login?: readonly Step[], probe?: readonly Step[], control?: readonly Step[],
 *   sync?: readonly Step[], close?: readonly Step[], terminate?: readonly Step[],
 *   statements?: Record<string, Statement>,
 * }} Script
 */

/** @typedef {'primary' | 'standby'} Role */

class FakeServer {
  /** @type {net.Server} */
  #listener;
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  /** Open conversations, by the process ids that they have sent. @type {Map<number, Conversation>} */
  conversations = new Map();
  /** @type {Map<string, number>} */
  #times = new Map();
  host = '127.0.0.1';
  port = 0;
  /** @type {Role} */
  role = 'primary';
  timeline = 1;
  /** Whether the server speaks TLS when a client asks for it. */
  encrypts = false;
  /** Every message that is sent goes through this function; what it returns is sent. @type {((conversation: Conversation, message: Buffer) => Buffer[]) | null} */
  filter = null;

  /** @param {Script} [script] */
  constructor(script = {}) {
    this.script = script;
    this.#listener = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      this.count('connect');
      const conversation = new Conversation(this, socket);
      this.conversations.set(conversation.processId, conversation);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.conversations.delete(conversation.processId);
      });
      conversation.begin();
    });
  }

  /** @param {Script} [script] @param {{ role?: Role, timeline?: number, encrypts?: boolean }} [settings] */
  static async open(script, settings = {}) {
    const server = Object.assign(new FakeServer(script), settings);
    await new Promise((resolve, reject) => {
      server.#listener.once('error', reject);
      server.#listener.listen(0, server.host, () => resolve(undefined));
    });
    server.port = /** @type {net.AddressInfo} */ (server.#listener.address()).port;
    return server;
  }

  get address() {
    return `${this.host}:${this.port}`;
  }

  /** How many connections are open. */
  get open() {
    return this.#sockets.size;
  }

  /** Records that the client has sent a message. @param {string} state @param {string} [sql] */
  count(state, sql) {
    for (const key of sql === undefined ? [state] : [state, `${state} ${sql}`]) {
      this.#times.set(key, this.times(key) + 1);
    }
  }

  /** How often the client has sent a message: `execute SELECT 1`, `startup`. @param {string} what */
  times(what) {
    return this.#times.get(what) ?? 0;
  }

  /** As a host that died: connections are reset, new ones refused. */
  close() {
    if (this.#listener.listening) this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

module.exports = { FakeServer };
