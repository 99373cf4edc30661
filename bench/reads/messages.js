'use strict';

// The types of the messages in one direction of a connection, found without looking at what is in them. A message is a type (one
// byte) and a length that counts itself but not the type; the first one of a client has no type, and a code behind its length
// (PostgreSQL's documentation, "Message Formats").

/** The first message of a connection that cancels a statement of another one. */
const CANCEL_REQUEST = 80877102;

/** Reads a stream of bytes, however it is cut into pieces. */
class Messages {
  #header = Buffer.alloc(8);
  #has = 0;
  #skip = 0;
  #isTyped;
  #onType;
  #onFirst;

  /**
   * @param {object} options
   * @param {(type: string) => void} options.onType
   * @param {(code: number) => void} [options.onFirst] the code of a client's first message; the stream of a server has none
   */
  constructor({ onType, onFirst }) {
    this.#onType = onType;
    this.#onFirst = onFirst;
    this.#isTyped = onFirst === undefined;
  }

  /** @param {Buffer} piece */
  read(piece) {
    let at = 0;
    while (at < piece.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, piece.length - at);
        this.#skip -= skipped;
        at += skipped;
      } else {
        this.#header[this.#has++] = piece[at++];
        if (this.#has === (this.#isTyped ? 5 : 8)) this.#begin();
      }
    }
  }

  /** The header is complete. */
  #begin() {
    const header = this.#header;
    this.#has = 0;
    if (this.#isTyped) {
      this.#skip = header.readInt32BE(1) - 4;
      this.#onType(String.fromCharCode(header[0]));
    } else {
      this.#skip = header.readInt32BE(0) - 8;
      this.#isTyped = true;
      this.#onFirst?.(header.readInt32BE(4));
    }
  }
}

module.exports = { CANCEL_REQUEST, Messages };
