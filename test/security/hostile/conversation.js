'use strict';

// One connection of a fake server: each message of the client is a state, whose steps are carried out in order.

const tls = require('node:tls');
const { setImmediate: turn, setTimeout: sleep } = require('node:timers/promises');
const { cert, key } = require('./certificate');
const { answer, statementOf } = require('./manners');
const { split } = require('./wire');

/** @typedef {import('./server').FakeServer} FakeServer */
/** @typedef {import('./server').Step} Step */
/** @typedef {import('./server').Action} Action */
/** @typedef {import('./server').Request} Request */

/** The codes that stand in place of a version in the first message. */
const FIRST = new Map([
  [80877102, 'cancel'],
  [80877103, 'ssl'],
  [80877104, 'gss'],
]);

/** @type {Record<string, string>} */
const KINDS = {
  Q: 'query',
  P: 'parse',
  D: 'describe',
  B: 'bind',
  E: 'execute',
  C: 'close',
  S: 'sync',
  H: 'flush',
  d: 'copyData',
  c: 'copyDone',
  f: 'copyFail',
  X: 'terminate',
};

/** States for which a statement can have answers of its own. */
const OF_STATEMENTS = new Set(['query', 'parse', 'describe', 'bind', 'execute', 'copyData', 'copyDone', 'copyFail']);

let lastProcessId = 1000;

class Conversation {
  /** @type {Buffer} */
  #input = Buffer.alloc(0);
  #serving = false;
  #hushed = false;
  #begun = false;
  #tls = false;
  /** Ignores everything up to Sync. */
  skipping = false;
  /** @type {import('./scram').Scram | null} */
  scram = null;
  #asksSasl = false;
  #saslBegun = false;
  /** The transaction status in ReadyForQuery. */
  status = 'I';
  /** The server waits for COPY data. @type {string | null} the statement */
  copying = null;
  /** @type {Map<string, string>} texts by name */
  prepared = new Map();
  /** @type {{ sql: string, params: (Buffer | null)[] }} the portal; there is one */
  bound = { sql: '', params: [] };
  /** The StartupMessage. @type {Record<string, string>} */
  parameters = {};
  processId = ++lastProcessId;

  /** @param {FakeServer} server @param {import('node:net').Socket} socket */
  constructor(server, socket) {
    this.server = server;
    this.socket = socket;
  }

  begin() {
    this.#listen();
    if (this.server.script.connect !== undefined) this.#serve({ kind: 'connect', body: Buffer.alloc(0), sql: '' });
  }

  #listen() {
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => {
      this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
      this.#serve();
    });
  }

  /** From here on both sides speak TLS. @param {Buffer} [said] what the client has said of it */
  encrypt(said) {
    const { socket } = this;
    socket.removeAllListeners('data');
    socket.pause();
    if (said !== undefined) socket.unshift(said);
    // Uncorked: the original socket must not stay corked below the TLS socket.
    socket.uncork();
    this.socket = new tls.TLSSocket(socket, { isServer: true, key, cert, ALPNProtocols: ['postgresql'] });
    this.#tls = false;
    this.#listen();
    this.socket.cork();
  }

  /** @param {Request} [first] */
  async #serve(first) {
    if (this.#serving) return;
    this.#serving = true;
    this.socket.cork();
    for (let request = first ?? this.#next(); request !== null; request = this.#next()) {
      if (!this.#hushed) await this.#perform(this.#stepsFor(request), request);
      if (this.socket.destroyed) break;
    }
    this.socket.uncork();
    this.#serving = false;
  }

  /** The next message, when it is complete. @returns {Request | null} */
  #next() {
    const input = this.#input;
    if (this.#tls || (input[0] === 0x16 && !this.#begun)) {
      if (input.length === 0) return null;
      this.#tls = true;
      this.#input = Buffer.alloc(0);
      return { kind: 'hello', body: input, sql: '' };
    }
    const head = this.#begun ? 5 : 4;
    if (input.length < head) return null;
    const length = input.readUInt32BE(head - 4) + head - 4;
    if (input.length < length) return null;
    this.#input = input.subarray(length);
    const body = input.subarray(head, length);
    const request = this.#begun ? this.#later(String.fromCharCode(input[0]), body) : this.#first(body);
    this.server.count(request.kind, request.sql || undefined);
    return request;
  }

  /** @param {Buffer} body @returns {Request} */
  #first(body) {
    const kind = FIRST.get(body.readUInt32BE(0)) ?? 'startup';
    if (kind === 'startup') {
      this.#begun = true;
      const words = body.subarray(4).toString().split('\0');
      for (let at = 0; at + 1 < words.length && words[at] !== ''; at += 2) this.parameters[words[at]] = words[at + 1];
    }
    return { kind, body, sql: '' };
  }

  /** @param {string} type @param {Buffer} body @returns {Request} */
  #later(type, body) {
    if (type === 'p') return { kind: this.#passwordKind(), body, sql: '' };
    const kind = KINDS[type] ?? 'unknown';
    const words = body.toString('latin1').split('\0', 3);
    const utf8 = (/** @type {string} */ text) => Buffer.from(text, 'latin1').toString();
    if (kind === 'query') {
      const sql = utf8(words[0]);
      const asked = sql.includes('pg_control_system') ? 'control' : sql.includes('pg_is_in_recovery') ? 'probe' : kind;
      return { kind: asked, body, sql };
    }
    if (kind === 'parse') this.prepared.set(words[0], utf8(words[1]));
    if (kind === 'bind') {
      const start = Buffer.byteLength(words[0], 'latin1') + Buffer.byteLength(words[1], 'latin1') + 2;
      this.bound = { sql: this.prepared.get(words[1]) ?? '', params: paramsIn(body.subarray(start)) };
    }
    if (kind.startsWith('copy')) {
      const sql = this.copying ?? '';
      if (kind !== 'copyData') this.copying = null;
      return { kind, body, sql };
    }
    const name = kind === 'parse' ? words[0] : words[0].slice(1);
    const sql = kind === 'parse' || kind === 'describe' ? this.prepared.get(name) : this.bound.sql;
    return { kind, body, sql: sql ?? '' };
  }

  #passwordKind() {
    if (!this.#asksSasl) return 'password';
    const kind = this.#saslBegun ? 'saslResponse' : 'saslInitial';
    this.#saslBegun = true;
    return kind;
  }

  /** @param {Request} request @returns {readonly Step[]} */
  #stepsFor({ kind, sql }) {
    if (this.skipping && kind !== 'sync' && kind !== 'terminate') return [];
    const { script } = this.server;
    const own = OF_STATEMENTS.has(kind) ? script.statements?.[sql] : undefined;
    const states = /** @type {Record<string, readonly Step[] | undefined>} */ (script);
    return /** @type {any} */ (own)?.[kind] ?? states[kind] ?? ['default'];
  }

  /** @param {readonly Step[]} steps @param {Request} request */
  async #perform(steps, request) {
    for (const step of steps) {
      if (this.socket.destroyed) return;
      if (Buffer.isBuffer(step)) this.send(step);
      else if (typeof step === 'function') await this.#perform(step(this, request), request);
      else if (step === 'default') await this.#perform(answer(this, request), request);
      else if (typeof step === 'string') {
        const named = { kind: step, body: request.body, sql: request.sql };
        await this.#perform(this.#stepsFor(named), named);
      } else await this.#act(step);
    }
  }

  /** @param {Action} action */
  async #act({
    pause,
    drip,
    everyMs = 100,
    flood,
    times = Number.POSITIVE_INFINITY,
    later,
    send,
    hush,
    skip,
    end,
    reset,
  }) {
    if (hush) this.#hushed = true;
    if (skip) {
      this.skipping = true;
      this.copying = null;
    }
    if (later !== undefined && send !== undefined) setTimeout(() => this.send(send), later).unref();
    if (pause !== undefined || drip !== undefined || flood !== undefined) this.socket.uncork();
    if (pause !== undefined) await sleep(pause, undefined, { ref: false });
    for (let at = 0; drip !== undefined && at < drip.length && !this.socket.destroyed; at++) {
      this.socket.write(drip.subarray(at, at + 1));
      await sleep(everyMs, undefined, { ref: false });
    }
    for (let sent = 0; flood !== undefined && sent < times && !this.socket.destroyed; sent++) {
      const bytes = typeof flood === 'function' ? flood(sent) : flood;
      await (this.socket.write(bytes) ? turn() : this.#drained());
    }
    if (pause !== undefined || drip !== undefined || flood !== undefined) this.socket.cork();
    if (end || reset) this.socket.uncork();
    if (end) this.socket.end();
    if (reset) this.socket.resetAndDestroy();
  }

  #drained() {
    const { socket } = this;
    return new Promise((resolve) => {
      const done = () => resolve(socket.off('drain', done).off('close', done));
      socket.on('drain', done).on('close', done);
    });
  }

  /** @param {Buffer} bytes */
  send(bytes) {
    const { filter } = this.server;
    if (!this.socket.writable) return;
    // AuthenticationSASL: the next message of the client is not a password.
    if (bytes.length > 8 && bytes[0] === 0x52 && bytes.readUInt32BE(5) === 10) this.#asksSasl = true;
    if (filter === null) this.socket.write(bytes);
    else for (const one of split(bytes)) for (const out of filter(this, one)) this.socket.write(out);
  }

  /** Sends nothing any more. */
  hush() {
    this.#hushed = true;
  }

  /** @param {string} sql */
  statement(sql) {
    return this.server.script.statements?.[sql] ?? statementOf(sql);
  }
}

/** The values in a Bind message, starting at its formats. @param {Buffer} bytes */
function paramsIn(bytes) {
  let at = 2 + 2 * bytes.readUInt16BE(0);
  const params = [];
  const count = bytes.readUInt16BE(at);
  at += 2;
  for (let index = 0; index < count; index++) {
    const length = bytes.readInt32BE(at);
    at += 4;
    params.push(length < 0 ? null : bytes.subarray(at, at + length));
    at += Math.max(length, 0);
  }
  return params;
}

module.exports = { Conversation };
