'use strict';

// COPY for the streams of the package pg-copy-streams, which write and read the frames of the protocol themselves. A frame is a letter, the length
// of what follows in four bytes (itself included), and that.

const { DatabaseError } = require('./database-error.js');

const COPY_DATA = 0x64;
const COPY_DONE = 0x63;
const COPY_FAIL = 0x66;
const ERROR = 0x45;
const HEADER = 5;

/** @param {number} letter @param {number} length of the content */
function headerOf(letter, length) {
  const header = Buffer.alloc(HEADER);
  header[0] = letter;
  header.writeUInt32BE(length + 4, 1);
  return header;
}

/** What the server says of a COPY that its client gave up. @param {string} message */
function gaveUp(message) {
  const error = new DatabaseError(`COPY from stdin failed: ${message}`, 0, 'error');
  return Object.assign(error, { severity: 'ERROR', code: '57014' });
}

/** What one side of a COPY has in common with the other. */
class Copy {
  #isOver = false;

  /** @param {any} client @param {any} target the stream */
  constructor(client, target) {
    this.client = client;
    this.target = target;
  }

  /** @param {number} rowCount */
  completed(rowCount) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.target.handleCommandComplete({ name: 'commandComplete', text: `COPY ${rowCount}` }, this.client.connection);
    this.client._ready(this.target);
  }

  /** @param {any} error */
  failed(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.client._refused(this.target, error);
    this.client._ready(this.target);
  }

  /** @returns {Buffer | null} */
  read() {
    return null;
  }

  /** @param {Buffer} _frames */
  write(_frames) {
    return true;
  }

  /** The stream has seen the last frame. */
  left() {}
}

/** `from()`: what is written are frames. */
class CopyIn extends Copy {
  #writer;
  /** The beginning of a header. */
  #header = Buffer.alloc(0);
  /** How much of the content of a CopyData is still to come. */
  #left = 0;
  #waiting = 0;
  /** Why the stream does not want the rest. @type {string | undefined} */
  #givenUp;

  /** @param {any} client @param {any} target @param {string} text */
  constructor(client, target, text) {
    super(client, target);
    this.#writer = client._session.copyIn(text);
    // The server may refuse the statement before anything is written.
    this.#writer.done.catch((/** @type {any} */ error) => this.#refused(error));
    process.nextTick(() => target.handleCopyInResponse(client.connection));
  }

  /** @param {any} error */
  #refused(error) {
    this.failed(this.#givenUp === undefined ? error : gaveUp(this.#givenUp));
  }

  /** @param {Buffer} frames @returns {boolean} whether more may come at once */
  write(frames) {
    let rest = frames;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const data = rest.subarray(0, this.#left);
        this.#left -= data.length;
        rest = rest.subarray(data.length);
        this.#send(data);
      } else {
        rest = this.#begin(rest);
      }
    }
    return this.#waiting === 0;
  }

  /** Takes the header of a frame. @param {Buffer} bytes @returns {Buffer} what is behind it */
  #begin(bytes) {
    const header = Buffer.concat([this.#header, bytes.subarray(0, HEADER - this.#header.length)]);
    const rest = bytes.subarray(HEADER - this.#header.length);
    if (header.length < HEADER) {
      this.#header = header;
      return rest;
    }
    this.#header = Buffer.alloc(0);
    const length = header.readUInt32BE(1) - 4;
    if (header[0] === COPY_DATA) this.#left = length;
    else if (header[0] === COPY_DONE) this.end();
    else if (header[0] === COPY_FAIL) this.fail(rest.toString('utf8', 0, length - 1));
    return header[0] === COPY_DATA ? rest : rest.subarray(length);
  }

  /** @param {Buffer} data */
  #send(data) {
    const taken = this.#writer.write(data);
    if (taken === undefined) return;
    this.#waiting++;
    taken.then(() => {
      if (--this.#waiting === 0) this.client.connection.stream.emit('drain');
    });
  }

  end() {
    this.#writer.end().then(
      (/** @type {{ rowCount: number }} */ { rowCount }) => this.completed(rowCount),
      () => {},
    );
  }

  /** @param {string} message */
  fail(message) {
    this.#givenUp = message;
    this.#writer.fail(message);
  }

  abandon() {
    this.#writer.fail('the client has ended');
  }
}

/** `to()`: what is read are frames. */
class CopyOut extends Copy {
  #source;
  /** @type {Buffer[]} */
  #frames = [];
  /** @type {(() => void) | undefined} */
  #end;

  /** @param {any} client @param {any} target @param {string} text */
  constructor(client, target, text) {
    super(client, target);
    const { stream } = client.connection;
    this.#source = client._session.copyOut(text);
    this.#source.on('readable', () => stream.emit('readable'));
    this.#source.on('end', () => this.#finish(COPY_DONE, () => this.completed(this.#source.rowCount)));
    this.#source.on('error', (/** @type {any} */ error) => this.#finish(ERROR, () => this.failed(error)));
  }

  /** @param {number} letter of the last frame, at which the stream leaves the connection @param {() => void} end */
  #finish(letter, end) {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#frames.push(headerOf(letter, 0));
    this.client.connection.stream.emit('readable');
  }

  left() {
    this.#end?.();
  }

  read() {
    const frame = this.#frames.shift();
    if (frame !== undefined || this.#end !== undefined) return frame ?? null;
    const data = this.#source.read();
    if (data === null) return null;
    this.#frames.push(data);
    return headerOf(COPY_DATA, data.length);
  }

  abandon() {
    this.#source.destroy();
  }
}

module.exports = { CopyIn, CopyOut, gaveUp };
