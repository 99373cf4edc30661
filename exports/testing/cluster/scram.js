'use strict';

// SCRAM-SHA-256, the side of the client (RFC 5802 and 7677; PostgreSQL docs, "SASL Authentication"), without channel binding: the
// harness uses no TLS.

const crypto = require('node:crypto');

/** @param {crypto.BinaryLike} key @param {string} text */
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();

/** One login: `first`, then `answer()` to what the server says, then `check()` of its last word. */
class Scram {
  #password;
  #nonce = crypto.randomBytes(18).toString('base64');
  #serverSignature = '';

  /** @param {string} password */
  constructor(password) {
    this.#password = password.normalize('NFKC');
  }

  get #firstBare() {
    return `n=*,r=${this.#nonce}`;
  }

  get first() {
    return `n,,${this.#firstBare}`;
  }

  /** @param {string} serverFirst */
  answer(serverFirst) {
    const [, nonce, salt, rounds] = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(serverFirst) ?? [];
    if (!nonce?.startsWith(this.#nonce)) throw new Error('SCRAM: the server has not taken our nonce');
    const salted = crypto.pbkdf2Sync(this.#password, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256');
    const withoutProof = `c=biws,r=${nonce}`; // biws: the base64 of 'n,,'
    const conversation = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const clientKey = hmac(salted, 'Client Key');
    const signature = hmac(crypto.createHash('sha256').update(clientKey).digest(), conversation);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), conversation).toString('base64');
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** @param {string} serverFinal */
  check(serverFinal) {
    if (serverFinal !== `v=${this.#serverSignature}`) throw new Error('SCRAM: the server does not know the password');
  }
}

exports.Scram = Scram;
