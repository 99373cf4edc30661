'use strict';

// The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL has it: real arithmetic, of which a script can
// change any part.

const { createHash, createHmac, pbkdf2Sync, randomBytes } = require('node:crypto');
const { authentication, cstring, error } = require('./wire');

const MECHANISM = 'SCRAM-SHA-256';

/** @param {Buffer} key @param {string} text */
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

/** The authentication request that begins the exchange. @param {readonly string[]} mechanisms */
const saslRequest = (mechanisms = [MECHANISM]) => authentication(10, ...mechanisms.map(cstring), Buffer.from([0]));

/** Wrong parts of the exchange; the other parts are right. */
/**
 * @typedef {object} Lies
 * @property {(clientNonce: string) => string} [nonce] in place of the client's nonce and the server's
 * @property {string} [salt] as it is sent
 * @property {string} [iterations] as they are sent
 * @property {string} [first] the whole server-first-message
 * @property {Buffer} [signature]
 * @property {string} [final] the whole server-final-message
 * @property {boolean} [believes] whatever the client's proof is
 */

/** A server has one salt for each user, and makes no new one for each login. */
const SALT = randomBytes(16);
/** @type {Map<string, Buffer>} */
const SALTED = new Map();

/** @param {string} password */
function salt(password) {
  const salted = SALTED.get(password) ?? pbkdf2Sync(password, SALT, 4096, 32, 'sha256');
  SALTED.set(password, salted);
  return salted;
}

/** One exchange. */
class Scram {
  #password;
  #lies;
  #bare = '';
  #first = '';
  #nonce = '';

  /** @param {string} password @param {Lies} [lies] */
  constructor(password, lies = {}) {
    this.#password = password;
    this.#lies = lies;
  }

  /** The answer to SASLInitialResponse. @param {Buffer} body */
  first(body) {
    const start = body.indexOf(0) + 5;
    const text = body.subarray(start).toString();
    this.#bare = text.slice(text.indexOf('n=', text.indexOf(',')));
    const clientNonce = /r=([^,]*)/.exec(this.#bare)?.[1] ?? '';
    this.#nonce = this.#lies.nonce?.(clientNonce) ?? `${clientNonce}${randomBytes(18).toString('base64')}`;
    const sent = this.#lies.salt ?? SALT.toString('base64');
    this.#first = this.#lies.first ?? `r=${this.#nonce},s=${sent},i=${this.#lies.iterations ?? 4096}`;
    return authentication(11, this.#first);
  }

  /** The answer to SASLResponse; null: the password is wrong. @param {Buffer} body @returns {Buffer | null} */
  final(body) {
    const text = body.toString();
    const withoutProof = text.slice(0, text.lastIndexOf(',p='));
    const proof = Buffer.from(text.slice(text.lastIndexOf(',p=') + 3), 'base64');
    const salted = salt(this.#password);
    const whole = `${this.#bare},${this.#first},${withoutProof}`;
    const stored = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
    const clientSignature = hmac(stored, whole);
    const clientKey = Buffer.from(proof.map((byte, index) => byte ^ clientSignature[index]));
    const isRight = createHash('sha256').update(clientKey).digest().equals(stored);
    if (!isRight && !this.#lies.believes) return null;
    const signature = this.#lies.signature ?? hmac(hmac(salted, 'Server Key'), whole);
    return authentication(12, this.#lies.final ?? `v=${signature.toString('base64')}`);
  }
}

/**
 * The states of a login by SCRAM, for a script.
 *
 * @param {{ password?: string, mechanisms?: readonly string[] } & Lies} [settings]
 * @returns {import('./server').Script}
 */
function scram({ password = 'secret', mechanisms, ...lies } = {}) {
  return {
    startup: [saslRequest(mechanisms)],
    saslInitial: [
      (session, { body }) => {
        session.scram = new Scram(password, lies);
        return [session.scram.first(body)];
      },
    ],
    saslResponse: [
      (session, { body }) => {
        const final = session.scram?.final(body) ?? null;
        if (final === null) {
          return [error('28P01', 'password authentication failed', 'FATAL'), { end: true }];
        }
        return [final, 'login'];
      },
    ],
  };
}

module.exports = { MECHANISM, Scram, saslRequest, scram };
