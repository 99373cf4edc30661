'use strict';

// Who may see the page: by the name under which it is asked for, and by the token.

const { createHash, timingSafeEqual } = require('node:crypto');

/** @typedef {import('node:http').IncomingMessage} Request */
/** @typedef {{ token?: string, allowedHosts?: string[] }} Rules */

/** @param {string} text */
const digest = (text) => createHash('sha256').update(text).digest();

/** Takes the same time wherever the two differ, and however long they are. @param {string} given @param {Buffer} expected a digest */
const isSame = (given, expected) => timingSafeEqual(digest(given), expected);

/** `[::1]:8432` is `[::1]`. @param {string} host */
const withoutPort = (host) => host.replace(/:\d+$/, '');

class Access {
  #hosts;
  /** @type {{ token: Buffer, cookie: Buffer, value: string, name: string } | undefined} */
  #secret;

  /** @param {Rules} rules */
  constructor({ token, allowedHosts }) {
    this.#hosts = allowedHosts?.map((host) => host.toLowerCase());
    if (token === undefined) return;
    // The cookie is not the token: whoever gets hold of the one cannot hand on the other. Cookies are shared by all ports of a host,
    // so each token has a name of its own.
    const value = digest(`cookie of ${token}`).toString('hex');
    const name = `hyperiondb-${digest(`name of ${token}`).toString('hex').slice(0, 12)}`;
    this.#secret = { token: digest(token), cookie: digest(value), value, name };
  }

  /** Whether the page may be asked for under this name: another site's name may resolve to this machine. @param {Request} request */
  knowsHost({ headers }) {
    if (this.#hosts === undefined) return true;
    const host = (headers.host ?? String(headers[':authority'] ?? '')).toLowerCase();
    return this.#hosts.includes(host) || this.#hosts.includes(withoutPort(host));
  }

  /** Whether the request comes with the cookie or the header. @param {Request} request */
  isKnown({ headers }) {
    if (this.#secret === undefined) return true;
    const bearer = /^bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
    if (bearer !== undefined) return isSame(bearer, this.#secret.token);
    const prefix = `${this.#secret.name}=`;
    const cookies = (headers.cookie ?? '').split(';').map((part) => part.trim());
    const { cookie: expected } = this.#secret;
    return cookies.some((cookie) => cookie.startsWith(prefix) && isSame(cookie.slice(prefix.length), expected));
  }

  /**
   * The cookie for a request whose address has the token; undefined when it has none, or another one.
   * @param {string} query without the question mark
   * @param {boolean} encrypted
   */
  cookieFor(query, encrypted) {
    if (this.#secret === undefined) return undefined;
    const given = new URLSearchParams(query).get('token');
    if (given === null || !isSame(given, this.#secret.token)) return undefined;
    // No Path: it is the folder of the page, as the browser knows it, whatever proxy is in between (RFC 6265, 5.1.4).
    return `${this.#secret.name}=${this.#secret.value}; HttpOnly; SameSite=Strict${encrypted ? '; Secure' : ''}`;
  }
}

module.exports = { Access };
