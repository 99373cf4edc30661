'use strict';

// A connection of the harness's own: PostgreSQL's protocol 3.0 as far as the harness speaks it (PostgreSQL docs, "Message Formats"),
// in some lines of JavaScript. It has nothing in common with the client that the package is, so that a fault of the client cannot
// hide itself from the tests of the client, and the kit for tests depends on no other package.
//
// Only this side has time limits. A statement_timeout of the server would cancel a COMMIT that waits for its standby, and PostgreSQL
// then reports success ("committed locally, but might not have been replicated"), which would mislead the harness.

const crypto = require('node:crypto');
const net = require('node:net');
const { Scram } = require('./scram.js');
const { readText, writeText } = require('./text-values.js');

/**
 * @typedef {object} Login
 * @property {string} host
 * @property {number} port
 * @property {string} user
 * @property {string} password
 * @property {string} database
 */

/** @typedef {Record<string, any>} Row */
/** @typedef {{ name: string, oid: number }} Field */

/**
 * What is asked of the server, one at a time: the login, or a statement.
 *
 * @typedef {object} Request
 * @property {(rows: Row[]) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {Field[]} fields of the result whose rows arrive
 * @property {Row[]} rows of it
 * @property {Row[]} result the rows of the last statement that has ended
 * @property {Error | null} error that the server has reported
 */

const PROTOCOL = 0x0003_0000;
/** The members of an error, by the letters that the protocol has for them. */
const ERROR_FIELDS = new Map([
  ['S', 'severity'],
  ['C', 'code'],
  ['D', 'detail'],
  ['H', 'hint'],
]);

/** @param {number} value */
function int32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** @param {number} value */
function int16(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

/** @param {string} text */
const zeroEnded = (text) => Buffer.from(`${text}\0`);

/** @param {string} type '' for the first message, which has none @param {...Buffer} parts */
function message(type, ...parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

/** Strings that end with a zero byte. @param {Buffer} body */
const stringsIn = (body) => body.toString().split('\0');

/** @param {Buffer} body of an ErrorResponse */
function errorIn(body) {
  const parts = stringsIn(body).filter(Boolean);
  const error = new Error(parts.find((part) => part.startsWith('M'))?.slice(1));
  for (const part of parts) {
    const name = ERROR_FIELDS.get(part[0]);
    if (name !== undefined) Object.assign(error, { [name]: part.slice(1) });
  }
  return error;
}

/** @param {Buffer} body of a RowDescription @returns {Field[]} */
function fieldsIn(body) {
  let at = 2;
  return Array.from({ length: body.readInt16BE(0) }, () => {
    const end = body.indexOf(0, at);
    const field = { name: body.toString('utf8', at, end), oid: body.readInt32BE(end + 7) };
    at = end + 19;
    return field;
  });
}

/** @param {Buffer} body of a DataRow @param {Field[]} fields @returns {Row} */
function rowIn(body, fields) {
  let at = 2;
  return Object.fromEntries(
    fields.map(({ name, oid }) => {
      const length = body.readInt32BE(at);
      at += 4;
      if (length < 0) return [name, null];
      at += length;
      return [name, readText(oid, body.toString('utf8', at - length, at))];
    }),
  );
}

class Connection {
  #socket;
  #login;
  #timeoutMs;
  /** @type {Buffer} */
  #received = Buffer.alloc(0);
  /** @type {Request | null} */
  #request = null;
  /** The end of the line of statements. @type {Promise<unknown>} */
  #last = Promise.resolve();
  /** Why the connection is of no use any more. @type {Error | null} */
  #broken = null;
  #scram;

  /**
   * @param {Login} login
   * @param {string} applicationName
   * @param {number} timeoutMs for the login and for each statement
   */
  constructor(login, applicationName, timeoutMs) {
    this.#login = login;
    this.#timeoutMs = timeoutMs;
    this.#scram = new Scram(login.password);
    this.#socket = net.connect({ host: login.host, port: login.port, noDelay: true });
    this.#socket.on('connect', () => {
      const parameters = { user: login.user, database: login.database, application_name: applicationName };
      const texts = Object.entries({ ...parameters, client_encoding: 'UTF8' })
        .flat()
        .map(zeroEnded);
      this.#socket.write(message('', int32(PROTOCOL), ...texts, Buffer.from([0])));
    });
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#break(error));
    this.#socket.on('close', () => this.#break(new Error('Connection terminated unexpectedly')));
  }

  /**
   * Connects and logs in.
   *
   * @param {Login} login
   * @param {string} applicationName
   * @param {number} timeoutMs
   */
  static async open(login, applicationName, timeoutMs) {
    const connection = new Connection(login, applicationName, timeoutMs);
    await connection.#ask('login', () => {});
    return connection;
  }

  /**
   * Runs a statement, or without parameters several, of which the last one's rows are the result. Statements of one connection run
   * one after the other.
   *
   * @param {string} text
   * @param {readonly unknown[]} [params]
   * @returns {Promise<Row[]>}
   */
  query(text, params = []) {
    const run = () => this.#ask('statement', () => this.#socket.write(statementMessages(text, params)));
    const rows = this.#last.then(run);
    this.#last = rows.catch(() => {});
    return rows;
  }

  /** From now on it keeps no process alive. */
  unref() {
    this.#socket.unref();
  }

  /** Says goodbye. Resolves when the socket is closed. @returns {Promise<void>} */
  end() {
    return new Promise((resolve) => {
      if (this.#socket.closed) return resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.end(message('X'));
    });
  }

  /**
   * @param {string} what
   * @param {() => void} send
   * @returns {Promise<Row[]>}
   */
  async #ask(what, send) {
    if (this.#broken) throw this.#broken;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        this.#request = { resolve, reject, fields: [], rows: [], result: [], error: null };
        timer = setTimeout(() => {
          this.#break(new Error(`no answer to a ${what} within ${this.#timeoutMs} ms`));
        }, this.#timeoutMs);
        send();
      });
    } finally {
      clearTimeout(timer);
      this.#request = null;
    }
  }

  /** @param {Error} error */
  #break(error) {
    this.#broken ??= error;
    this.#request?.reject(this.#request.error ?? this.#broken);
    this.#socket.destroy();
  }

  /** @param {Buffer} chunk */
  #take(chunk) {
    let bytes = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (bytes.length >= 5 && bytes.length > bytes.readInt32BE(1)) {
      const length = bytes.readInt32BE(1) + 1;
      try {
        this.#handle(String.fromCharCode(bytes[0]), bytes.subarray(5, length));
      } catch (error) {
        this.#break(/** @type {Error} */ (error));
        return;
      }
      bytes = bytes.subarray(length);
    }
    this.#received = bytes;
  }

  /** @param {string} type @param {Buffer} body */
  #handle(type, body) {
    const request = this.#request;
    if (type === 'R') this.#authenticate(body);
    if (request === null) return; // a notice, or a farewell that nobody waits for
    if (type === 'E') request.error ??= errorIn(body);
    else if (type === 'T') Object.assign(request, { fields: fieldsIn(body), rows: [] });
    else if (type === 'D') request.rows.push(rowIn(body, request.fields));
    else if (type === 'C' || type === 'I') Object.assign(request, { result: request.rows, rows: [] });
    else if (type === 'G') this.#socket.write(message('f', zeroEnded('the harness has no data for COPY')));
    else if (type === 'Z' && request.error) request.reject(request.error);
    else if (type === 'Z') request.resolve(request.result);
  }

  /** @param {Buffer} body */
  #authenticate(body) {
    const { user, password } = this.#login;
    const kind = body.readInt32BE(0);
    const rest = body.subarray(4);
    if (kind === 3) this.#socket.write(message('p', zeroEnded(password)));
    else if (kind === 5) {
      const md5 = (/** @type {crypto.BinaryLike[]} */ ...parts) =>
        parts.reduce((hash, part) => hash.update(part), crypto.createHash('md5')).digest('hex');
      this.#socket.write(message('p', zeroEnded(`md5${md5(md5(password, user), rest)}`)));
    } else if (kind === 10) {
      const first = Buffer.from(this.#scram.first);
      this.#socket.write(message('p', zeroEnded('SCRAM-SHA-256'), int32(first.length), first));
    } else if (kind === 11) this.#socket.write(message('p', Buffer.from(this.#scram.answer(rest.toString()))));
    else if (kind === 12) this.#scram.check(rest.toString());
    else if (kind !== 0) throw new Error(`the server wants a login of kind ${kind}, which the harness has not`);
  }
}

/**
 * Without parameters a simple query, else Parse, Bind, Describe, Execute and Sync.
 *
 * @param {string} text
 * @param {readonly unknown[]} params
 */
function statementMessages(text, params) {
  if (params.length === 0) return message('Q', zeroEnded(text));
  const values = params.map(writeText).flatMap((value) => {
    if (value === null) return [int32(-1)];
    const bytes = Buffer.from(value);
    return [int32(bytes.length), bytes];
  });
  return Buffer.concat([
    message('P', zeroEnded(''), zeroEnded(text), int16(0)),
    message('B', zeroEnded(''), zeroEnded(''), int16(0), int16(params.length), ...values, int16(0)),
    message('D', Buffer.from('P'), zeroEnded('')),
    message('E', zeroEnded(''), int32(0)),
    message('S'),
  ]);
}

exports.Connection = Connection;
