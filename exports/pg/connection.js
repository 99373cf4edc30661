'use strict';

// `client.connection` of pg, for what programs and packages do with it: listen to `parameterStatus`, `notice` and others, and give a
// session the messages of the protocol, as pg-cursor, pg-query-stream, pg-copy-streams and pg's own Query do. There is no socket: the
// messages are collected until they make a call of the session.

const { EventEmitter } = require('node:events');
const { CopyIn, CopyOut } = require('./copy-frames.js');
const { Dialogue } = require('./dialogue.js');
const Stream = require('./stream.js');

/** @typedef {{ severity?: string, code?: string, message: string } & Record<string, any>} NoticeFields */

/** @param {unknown[]} values of a message of the protocol */
const lengthOf = (values) =>
  values.reduce((/** @type {number} */ sum, value) => sum + Buffer.byteLength(`${value}`) + 1, 4);

class Connection extends EventEmitter {
  /** @param {any} [config] */
  constructor(config) {
    super();
    this.stream = new Stream(this);
    /** @type {Record<string, any>} texts by the names of statements, as in the next one */
    this.parsedStatements = {};
    /** @type {Record<string, any>} */
    this.submittedNamedStatements = {};
    /** Texts by the names of statements that have failed and never succeeded: the server may have parsed them. @type {Record<string, string>} */
    this._failedStatements = {};
    this.ssl = config?.ssl || false;
    this._ending = false;
    this._connecting = false;
    /** @type {any} */
    this._client = null;
    /** What an object that speaks the protocol has asked for. @type {any} */
    this._dialogue = null;
    /** The COPY that runs. @type {any} */
    this._copy = null;
    for (const name of ['_client', '_dialogue', '_copy', '_failedStatements'])
      Object.defineProperty(this, name, { enumerable: false });
  }

  /** @param {any} client */
  _serve(client) {
    this._client = client;
  }

  /** @param {NoticeFields} fields */
  _notice(fields) {
    if (this._client.listenerCount('notice') === 0 && this.listenerCount('notice') === 0) return;
    const texts = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
    const message = { length: lengthOf(Object.values(texts)), name: 'notice', ...texts };
    this.emit('notice', message);
    this._client.emit('notice', message);
  }

  /** @param {{ processId: number, channel: string, payload: string }} notification */
  _notification({ processId, channel, payload }) {
    const message = { length: lengthOf([channel, payload]) + 4, processId, channel, payload, name: 'notification' };
    this.emit('notification', message);
    this._client.emit('notification', message);
  }

  /** @param {string} parameterName @param {string} parameterValue */
  _parameter(parameterName, parameterValue) {
    if (this.listenerCount('parameterStatus') === 0) return;
    const length = lengthOf([parameterName, parameterValue]);
    this.emit('parameterStatus', { length, parameterName, parameterValue, name: 'parameterStatus' });
  }

  /** @param {any[]} fields of a cursor; slonik takes them from here */
  _rowDescription(fields) {
    if (this.listenerCount('rowDescription') === 0) return;
    const length = lengthOf(fields.map(({ name }) => name)) + 2 + 18 * fields.length;
    this.emit('rowDescription', { length, fieldCount: fields.length, fields, name: 'rowDescription' });
  }

  /** The client ends: nothing may keep the session from that. */
  _abandon() {
    this._ending = true;
    this._dialogue?.abandon();
    this._copy?.abandon();
  }

  /** The one with the object that the client works for */
  #talk() {
    // An object that was told of an error is not active any more, but says sync().
    const target = this._client._activeQuery ?? this._dialogue?.target;
    if (this._dialogue?.target !== target) this._dialogue = new Dialogue(this._client, target);
    return this._dialogue;
  }

  /** @param {string} text */
  query(text) {
    const target = this._client._activeQuery;
    const isReadable = typeof target._read === 'function';
    const isWritable = typeof target._write === 'function';
    if (isReadable && isWritable) this.#refuse(target, 'a copy in both directions needs the replication protocol');
    else if (isWritable) this._copy = new CopyIn(this._client, target, text);
    else if (isReadable && typeof target.read === 'function' && !target.cursor) {
      this._copy = new CopyOut(this._client, target, text);
    } else this.#talk().query(text);
  }

  /** @param {any} target @param {string} why */
  #refuse(target, why) {
    const error = Object.assign(new Error(`${why}, which hyperiondb-client/pg does not have`), {
      code: 'ERR_UNSUPPORTED',
    });
    process.nextTick(() => {
      this._client._refused(target, error);
      this._client._ready(target);
    });
  }

  /** @param {any} message */
  parse(message) {
    this.#talk().parse(message);
  }

  /** @param {any} message */
  bind(message) {
    this.#talk().bind(message);
  }

  /** The rows are described with the first of them. */
  describe() {}

  /** @param {any} message */
  execute(message) {
    this.#talk().execute(message);
  }

  flush() {
    this.#talk().flush();
  }

  sync() {
    this.#talk().sync();
  }

  /** @param {any} message */
  close(message) {
    this.#talk().close(message);
  }

  /** @param {Buffer} chunk */
  sendCopyFromChunk(chunk) {
    this._copy?.write(chunk);
  }

  endCopyFrom() {
    this._copy?.end();
  }

  /** @param {string} message */
  sendCopyFail(message) {
    this._copy?.fail(message);
  }

  end() {
    this._client.end().catch(() => {});
  }

  ref() {
    this._client.ref();
  }

  unref() {
    this._client.unref();
  }
}

module.exports = Connection;
