'use strict';

// As much of Express as the blocks of the documentation use: handlers in their order, a request and a response without a socket.

/** @typedef {(req: any, res: any, next: (error?: unknown) => void) => unknown} Handler */
/** @typedef {{ headers?: Record<string, string>, cookies?: Record<string, string>, body?: unknown }} Sent */
/** @typedef {{ status: number, headers: Record<string, string>, cookies: Record<string, string>, body?: any }} Answer */

class App {
  /** @type {{ method: string | null, path: string | null, handler: Handler }[]} */
  #handlers = [];

  /** @param {Handler} handler */
  use(handler) {
    this.#handlers.push({ method: null, path: null, handler });
  }

  /** @param {string} path @param {Handler} handler */
  get(path, handler) {
    this.#handlers.push({ method: 'GET', path, handler });
  }

  /** @param {string} path @param {Handler} handler */
  post(path, handler) {
    this.#handlers.push({ method: 'POST', path, handler });
  }

  /**
   * Calls the handlers of a request until one answers.
   * @param {string} method
   * @param {string} path
   * @param {Sent} [sent]
   * @returns {Promise<Answer>}
   */
  request(method, path, { headers = {}, cookies = {}, body } = {}) {
    const suits = (/** @type {{ method: string | null, path: string | null }} */ one) =>
      one.method === null || (one.method === method && one.path === path);
    const handlers = this.#handlers.filter(suits).map(({ handler }) => handler);
    return new Promise((resolve, reject) => {
      /** @type {Answer} */
      const answer = { status: 200, headers: {}, cookies: {} };
      const res = {
        set(/** @type {string} */ name, /** @type {string} */ value) {
          answer.headers[name] = value;
        },
        cookie(/** @type {string} */ name, /** @type {string} */ value) {
          answer.cookies[name] = value;
        },
        sendStatus: (/** @type {number} */ status) => resolve({ ...answer, status }),
        json: (/** @type {unknown} */ value) => resolve({ ...answer, body: value }),
      };
      const req = { method, path, body, cookies, get: (/** @type {string} */ name) => headers[name] };
      const next = (/** @type {unknown} */ error) => {
        const handler = handlers.shift();
        if (error !== undefined || handler === undefined) return reject(error ?? new Error(`no answer to ${path}`));
        // Express 5 hands on what an async handler rejects with.
        Promise.resolve(handler(req, res, next)).catch(next);
      };
      next(undefined);
    });
  }
}

module.exports = { App };
