'use strict';

// The clients of a pool that nobody has, the one that was used last in front. One timer looks for those that were idle for too long.

const Client = require('./client.js');

class IdleClient {
  /** @param {any} client @param {number} until when it is removed; Infinity: never */
  constructor(client, until) {
    this.client = client;
    this.until = until;
  }
}

class IdleClients {
  /** @type {IdleClient[]} */
  items = [];
  #pool;
  /** @type {any} */
  #timer;
  /** Of clients of another class. @type {WeakMap<object, (error: any) => void>} */
  #listeners = new WeakMap();

  /** @param {any} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  /** @param {any} client */
  add(client) {
    const { idleTimeoutMillis, allowExitOnIdle } = this.#pool.options;
    const isTimed = idleTimeoutMillis && this.#pool._isAboveMin();
    this.items.push(new IdleClient(client, isTimed ? performance.now() + idleTimeoutMillis : Infinity));
    if (isTimed && this.#timer === undefined) this.#wake(idleTimeoutMillis);
    if (client instanceof Client) client._isIdle = true;
    else client.on('error', this.#listeners.get(client));
    if (allowExitOnIdle) client.unref();
  }

  /** Takes the client that was used last. */
  take() {
    const item = this.items.pop();
    if (item !== undefined) this.#taken(item.client);
    return item;
  }

  /** Takes that client, if nothing has to be looked at before it works. @returns {Client | undefined} */
  takeFresh() {
    const item = this.items.at(-1);
    if (item === undefined || !(item.client instanceof Client)) return undefined;
    const { client } = item;
    if (client.query !== Client.prototype.query || !client._canBegin()) return undefined;
    if (client._isSpent || this.#pool._isDoubtful(client)) return undefined;
    this.items.pop();
    this.#taken(client);
    return client;
  }

  /** @param {any} client @returns {boolean} whether it was idle */
  remove(client) {
    const index = this.items.findIndex((item) => item.client === client);
    if (index < 0) return false;
    this.items.splice(index, 1);
    if (client instanceof Client) client._isIdle = false;
    return true;
  }

  /** @param {any} client */
  #taken(client) {
    if (client instanceof Client) client._isIdle = false;
    else client.removeListener('error', this.#listeners.get(client));
    if (this.#pool.options.allowExitOnIdle) client.ref?.();
  }

  /**
   * Errors of a client that nobody has. One of ours keeps the listener while somebody has it: so an error that its holder does not
   * listen to does not end the process.
   * @param {any} client
   */
  listenTo(client) {
    const listener = (/** @type {any} */ error) => {
      if (client instanceof Client && !client._isIdle) return;
      if (!(client instanceof Client)) {
        client.removeListener('error', listener);
        client.on('error', () => this.#pool.log('additional client error after disconnection due to error', error));
      }
      this.#pool._idleClientFailed(client, error);
    };
    if (client instanceof Client) client.on('error', listener);
    else this.#listeners.set(client, listener);
  }

  /** @param {number} ms */
  #wake(ms) {
    this.#timer = setTimeout(() => this.#sweep(), ms);
    // The idle clients keep the process alive themselves, if they shall.
    this.#timer.unref?.();
  }

  #sweep() {
    this.#timer = undefined;
    const now = performance.now();
    for (const { client, until } of [...this.items]) {
      if (until > now || !this.#pool._isAboveMin()) continue;
      this.#pool.log('remove idle client');
      this.#pool._remove(client, () => this.#pool._pulseQueue());
    }
    const next = Math.min(...this.items.map(({ until }) => until).filter((until) => until > now));
    if (next !== Infinity) this.#wake(next - now);
  }
}

module.exports = { IdleClients };
