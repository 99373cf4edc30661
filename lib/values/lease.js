'use strict';

// A lease: the signed application_name of a session. It says whose session it is and until when, so that others may end the session
// when its process is frozen or gone. `s=<service>;i=<instance>;e=<expiry, unix ms>;g=<signature>`, at most 63 bytes: the server cuts
// a longer application_name off. pg-aequor writes the same; it adds the hash also to a service name that it had to change, and this
// file does so only to one that is too long, as the contract says.

const { createHash, createHmac, randomBytes, timingSafeEqual } = require('node:crypto');
const { ParameterError } = require('../errors.js');

/** @typedef {string | Uint8Array} Secret */

/** NAMEDATALEN - 1 */
const LONGEST_LEASE = 63;
const LONGEST_SERVICE = 20;
const SHORTEST_SECRET = 16;
/** The expiry has 13 digits until the year 2286; with more a lease could be too long. */
const LATEST = 9_999_999_999_999;
/** An integer is written in one way only: what is signed must mean one time. */
const FORM = /^s=([A-Za-z0-9:_-]+);i=([A-Za-z0-9:_-]+);e=(0|[1-9][0-9]{0,12});g=([A-Za-z0-9_-]{11})$/;

/** Secrets, where util.inspect, JSON and the message of an error do not show them. */
class Secrets {
  #list;

  /** @param {readonly Buffer[]} list the first signs, all verify */
  constructor(list) {
    this.#list = list;
  }

  /** A method, because util.inspect may call a getter. */
  all() {
    return this.#list;
  }
}

/**
 * Copies of the secrets, which whoever gave them may overwrite.
 * @param {unknown} given a secret, or an array of them
 * @param {string} name
 * @param {(message: string) => Error} refusal makes the error
 */
function secretsOf(given, name, refusal) {
  if (given instanceof Secrets) return given;
  const isList = Array.isArray(given);
  if (isList && given.length === 0) throw refusal(`${name} must not be an empty array`);
  const list = (isList ? given : [given]).map((secret, index) => {
    const label = isList ? `${name}[${index}]` : name;
    if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) {
      const kind = secret === null ? 'null' : typeof secret;
      throw refusal(`${label} must be a string or a Buffer${isList ? '' : ', or an array of these'}, not ${kind}`);
    }
    const bytes = typeof secret === 'string' ? Buffer.from(secret) : Buffer.from(secret);
    if (bytes.length < SHORTEST_SECRET) throw refusal(`${label} must have at least ${SHORTEST_SECRET} bytes`);
    return bytes;
  });
  return new Secrets(list);
}

/** @param {unknown} secret */
const checkedSecrets = (secret) => secretsOf(secret, 'secret', (message) => new ParameterError(message)).all();

/**
 * A service's name as it stands in leases.
 * @param {string} name
 */
function serviceToken(name) {
  const token = name.replace(/[^A-Za-z0-9:_-]/g, '_');
  if (token.length <= LONGEST_SERVICE) return token;
  const hash = createHash('sha1').update(name).digest('hex').slice(0, 8);
  return `${token.slice(0, LONGEST_SERVICE - 1 - hash.length)}-${hash}`;
}

/** The name of one process. */
const newInstance = () => randomBytes(6).toString('base64url');

/** @param {string} text @param {Buffer} secret */
const sign = (text, secret) => createHmac('sha256', secret).update(text).digest().subarray(0, 8).toString('base64url');

/** @param {string} name @param {unknown} value */
function filledText(name, value) {
  if (typeof value !== 'string' || value === '') {
    const kind = value === '' ? 'an empty one' : value === null ? 'null' : typeof value;
    throw new ParameterError(`${name} must be a string that is not empty, not ${kind}`);
  }
  return value;
}

/** @param {unknown} value */
function expiryOf(value) {
  const ms = value instanceof Date ? value.getTime() : value;
  if (typeof ms !== 'number' || !Number.isInteger(ms) || ms < 0 || ms > LATEST) {
    throw new ParameterError(
      'expiresAt must be a Date or an integer, in milliseconds since 1970, before the year 2286',
    );
  }
  return ms;
}

/**
 * A lease, to be used as the application_name of a session.
 * @param {{ secret: Secret | readonly Secret[], serviceName: string, instance?: string, expiresAt: number | Date }} options
 * @returns {string}
 */
function createLease(options) {
  if (options === null || typeof options !== 'object') throw new ParameterError('createLease needs an object');
  const { secret, serviceName, instance = newInstance(), expiresAt } = options;
  const [first] = checkedSecrets(secret);
  const service = serviceToken(filledText('serviceName', serviceName));
  if (!/^[A-Za-z0-9:_-]+$/.test(filledText('instance', instance))) {
    throw new ParameterError('instance may have only the characters A-Z a-z 0-9 : _ -');
  }
  const text = `s=${service};i=${instance};e=${expiryOf(expiresAt)}`;
  const lease = `${text};g=${sign(text, first)}`;
  if (lease.length > LONGEST_LEASE) {
    throw new ParameterError(
      `instance is too long: the lease has ${lease.length} bytes, and at most ${LONGEST_LEASE} fit`,
    );
  }
  return lease;
}

/**
 * What a text says that has the form of a lease, whoever has signed it; null for any other text.
 * @param {unknown} applicationName
 */
function readLease(applicationName) {
  if (typeof applicationName !== 'string' || applicationName.length > LONGEST_LEASE) return null;
  const parts = FORM.exec(applicationName);
  return parts === null ? null : { serviceName: parts[1], instance: parts[2], expiresAt: Number(parts[3]) };
}

/**
 * What a lease says; null for what is no lease, or is signed with none of the secrets. Whether the lease has expired is for the server's
 * clock to say.
 * @param {unknown} applicationName
 * @param {Secret | readonly Secret[] | Secrets} secret
 * @returns {{ serviceName: string, instance: string, expiresAt: number } | null}
 */
function verifyLease(applicationName, secret) {
  const secrets = checkedSecrets(secret);
  const lease = readLease(applicationName);
  if (lease === null) return null;
  const [text, signature] = String(applicationName).split(';g=');
  const given = Buffer.from(signature);
  // The texts are compared, not the bytes: the last character has two bits that the bytes do not need. Every secret is tried, so
  // that the time does not say which one it was.
  const found = secrets.filter((one) => timingSafeEqual(Buffer.from(sign(text, one)), given));
  return found.length === 0 ? null : lease;
}

module.exports = { createLease, newInstance, readLease, secretsOf, serviceToken, verifyLease };
