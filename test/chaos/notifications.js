'use strict';

// The workers that listen and notify. The payload of a notification is its number; each sender waits for one before it sends
// the next, so that its numbers must arrive in order.

const { setTimeout: sleep } = require('node:timers/promises');
const { told } = require('./history');

/** @typedef {import('./load').Load} Load */
/** @typedef {import('./random').Random} Random */

/** The first channel has two handlers that stay, the others one each; visitors listen on all of them for a while. */
const CHANNELS = ['chaos_a', 'Chaos "b"', 'chaos_c'];
const STAYING = [CHANNELS[0], CHANNELS[0], CHANNELS[1], CHANNELS[2]];
/** How long a visitor listens at most. */
const VISIT_MS = 200;
/** A new notification falls into a gap while the session is being replaced: another one is sent after this time. */
const AGAIN_MS = 300;

class Notifications {
  #load;
  #next = 0;
  #subscriptions = 0;
  #provers = 0;

  /** @param {Load} load */
  constructor(load) {
    this.#load = load;
    load.pool.on('gap', (/** @type {any} */ { channels, since, until }) =>
      load.record.gaps.push({ channels, since: since.getTime(), until: until.getTime() }),
    );
  }

  /** Subscribes the handlers that stay. */
  async open() {
    await Promise.all(STAYING.map((channel) => this.#subscribe(channel)));
  }

  /** @param {string} channel */
  async #subscribe(channel) {
    const { pool, record } = this.#load;
    const subscription = this.#subscriptions++;
    /** @type {import('./history').Subscription} */
    const entry = { channel, since: Infinity };
    record.subscriptions.set(subscription, entry);
    const handle = await pool.listen(channel, (/** @type {string} */ payload, /** @type {any} */ { channel }) =>
      record.received.push({ subscription, channel, payload, at: Date.now() }),
    );
    entry.since = Date.now();
    return { handle, entry, subscription };
  }

  /** @param {string} channel @param {string} sender @param {boolean} [inTransaction] */
  async send(channel, sender, inTransaction = false) {
    const { pool, record } = this.#load;
    const number = this.#next++;
    /** @type {import('./history').Sent} */
    const entry = { fate: 'pending', at: Date.now(), channel, sender };
    record.sent.set(number, entry);
    const work = () =>
      inTransaction
        ? pool.transaction((/** @type {any} */ tx) => tx.query('SELECT pg_notify($1, $2)', [channel, String(number)]), {
            retries: 100,
          })
        : pool.notify(channel, String(number));
    await told(entry, work, Date.now);
    return entry;
  }

  /** A handler listens for a while. @param {Random} random */
  async visit(random) {
    /** @type {import('./history').Visit} */
    const visit = { fate: 'pending', at: performance.now() };
    this.#load.record.visits.push(visit);
    await told(visit, async () => {
      const { handle, entry, subscription } = await this.#subscribe(random.pick(CHANNELS));
      await sleep(random.int(1, VISIT_MS));
      // A notification that was just acknowledged may still be on its way, and nobody promises it to a handler that leaves.
      entry.until = Date.now();
      await this.#hears(entry.channel, [subscription], Infinity);
      await handle.unlisten();
      entry.ended = Date.now();
    });
    this.#load.count('listen', visit);
  }

  /**
   * Sends until each staying handler has had something new, and so everything before it. A channel on which nothing new
   * arrives is deaf.
   * @param {number} patienceMs
   */
  async prove(patienceMs) {
    const { record } = this.#load;
    const stays = (/** @type {import('./history').Subscription} */ { until, since }) =>
      until === undefined && since !== Infinity;
    const proofs = CHANNELS.map(async (channel) => {
      const listening = [...record.subscriptions].filter(([, each]) => each.channel === channel && stays(each));
      const subscriptions = listening.map(([subscription]) => subscription);
      if (!(await this.#hears(channel, subscriptions, patienceMs))) record.deaf.push(channel);
    });
    await Promise.all(proofs);
  }

  /**
   * Whether all of the handlers receive something that is sent from now on.
   * @param {string} channel
   * @param {number[]} subscriptions
   * @param {number} patienceMs
   */
  async #hears(channel, subscriptions, patienceMs) {
    const { record } = this.#load;
    const deadline = Date.now() + patienceMs;
    const sender = `prover ${this.#provers++}`;
    const fresh = new Set();
    let looked = record.received.length;
    const deaf = new Set(subscriptions);
    const allHeard = () => {
      for (; looked < record.received.length; looked++) {
        const { subscription, payload } = record.received[looked];
        if (fresh.has(payload)) deaf.delete(subscription);
      }
      return deaf.size === 0;
    };
    while (deaf.size > 0) {
      if (Date.now() > deadline || this.#load.isAbandoned) return false;
      fresh.add(String(this.#next));
      await this.send(channel, sender);
      const again = Date.now() + AGAIN_MS;
      while (!allHeard() && Date.now() < again) await sleep(2);
    }
    return true;
  }
}

exports.LISTENERS = {
  notify: {
    inFlight: 1,
    /** @param {Load} load @param {Random} random @param {string} name */
    async deed(load, random, name) {
      const entry = await load.notifications.send(random.pick(CHANNELS), name, random.once(4));
      load.count('notify', entry);
    },
  },
  listen: {
    inFlight: 1,
    /** @param {Load} load @param {Random} random */
    deed: (load, random) => load.notifications.visit(random),
  },
};
exports.Notifications = Notifications;
