'use strict';

// The load of the shop: customers who order, some of whom look at their orders, a merchant who changes prices, and visitors who read
// pages. A call that fails is made again with the same orderId, as a browser would after a lost answer.

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { Episodes, Meter } = require('../demo/figures.js');

const CUSTOMERS = 6;
const VISITORS = 2;
const USERS = 40;
/** Of the users so many have little money, so that some orders are refused. */
const POOR = 2;
const PRODUCTS = 8;
const BALANCE = 1_000_000n;
const LITTLE = 1_000n;
const STOCK = 100_000;
const PRICE = 250n;
/** One order of this many is looked up by its customer. */
const LOOK_EVERY = 5;
const PRICE_EVERY_MS = 100;
/** A visitor reads so slowly, because pages from the cache would take a core. */
const VISITOR_REST_MS = 2;
const FAILURE_REST_MS = 20;

/** @param {number} from @param {number} to */
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
/** @template T @param {T[]} list */
const oneOf = (list) => list[Math.floor(Math.random() * list.length)];

class Load {
  /** @type {import('./audit.js').Entry[]} */
  entries = [];
  /** @type {import('./audit.js').Start} */
  start = { balances: new Map(), stocks: new Map() };
  made = 0;
  refused = 0;
  /** Calls that have failed, and were made again. */
  again = 0;
  pages = { answered: 0, cached: 0, stale: 0, failed: 0 };
  lookups = { answered: 0, byStandby: 0, missing: 0, failed: 0 };
  orderMeter = new Meter();
  pageMeter = new Meter();
  episodes = new Episodes();
  /** Why calls failed, and how often. @type {Map<string, number>} */
  reasons = new Map();
  /** The node that takes the writes of the orders. */
  primary = '';
  #shop;
  #ShopError;
  #stopped = false;
  #giveUpAt = Infinity;
  /** @type {Promise<unknown>} */
  #done = Promise.resolve();
  /** The last price that was acknowledged. @type {Map<number, bigint>} */
  #prices = new Map();

  /** @param {any} shop @param {any} ShopError */
  constructor(shop, ShopError) {
    this.#shop = shop;
    this.#ShopError = ShopError;
  }

  /** Users and products. */
  async prepare() {
    for (const number of range(1, USERS)) await this.addUser(`user ${number}`, number <= POOR ? LITTLE : BALANCE);
    for (const productId of range(1, PRODUCTS)) await this.addProduct(productId);
  }

  /** @param {string} name @param {bigint} balance @returns {Promise<string>} */
  async addUser(name, balance) {
    const userId = await this.#shop.addUser({ name, balance });
    this.start.balances.set(userId, balance);
    return userId;
  }

  /** @param {number} productId */
  async addProduct(productId) {
    await this.#shop.addProduct({ productId, name: `product ${productId}`, price: PRICE, stock: STOCK });
    this.start.stocks.set(productId, STOCK);
    this.#prices.set(productId, PRICE);
  }

  begin() {
    const users = [...this.start.balances.keys()];
    this.#done = Promise.all([
      ...range(1, CUSTOMERS).map(() => this.#buy(users)),
      ...range(1, VISITORS).map(() => this.#visit()),
      this.#changePrices(),
    ]);
  }

  /** @param {number} timeoutMs an order that is not answered by then stays open */
  async stop(timeoutMs) {
    this.#stopped = true;
    this.#giveUpAt = performance.now() + timeoutMs;
    await this.#done;
  }

  /** An order that somebody else makes. @param {{ userId: string, productId: number }} order */
  enter({ userId, productId }) {
    /** @type {import('./audit.js').Entry} */
    const entry = { orderId: randomUUID(), userId, productId, outcome: 'open' };
    this.entries.push(entry);
    return entry;
  }

  /** @param {string[]} users */
  async #buy(users) {
    for (let number = 1; !this.#stopped; number++) {
      const entry = this.enter({ userId: oneOf(users), productId: oneOf(range(1, PRODUCTS)) });
      await this.#order(entry);
      if (entry.outcome === 'made' && number % LOOK_EVERY === 0) await this.#lookUp(entry);
    }
  }

  /** @param {import('./audit.js').Entry} entry */
  async #order(entry) {
    const { orderId, userId, productId } = entry;
    const began = performance.now();
    while (performance.now() < this.#giveUpAt) {
      try {
        await this.#shop.order({ orderId, userId, productId });
        entry.outcome = 'made';
        this.made += 1;
        this.orderMeter.add(performance.now() - began);
        this.episodes.acknowledged('');
        return;
      } catch (error) {
        if (error instanceof this.#ShopError) {
          entry.outcome = 'refused';
          this.refused += 1;
          return;
        }
        this.again += 1;
        this.#note('order', error);
        await sleep(FAILURE_REST_MS);
      }
    }
  }

  /** On a standby, where its order must be. @param {import('./audit.js').Entry} entry */
  async #lookUp({ orderId, userId }) {
    try {
      const sql = 'SELECT order_id FROM orders WHERE user_id = $1 AND order_id = $2';
      const { rows, node } = await this.#shop.multi.query(sql, [userId, orderId], { schema: 'orders' });
      this.lookups.answered += 1;
      if (node !== this.primary) this.lookups.byStandby += 1;
      if (rows.length === 0) this.lookups.missing += 1;
    } catch (error) {
      this.lookups.failed += 1;
      this.#note('look', error);
    }
  }

  async #visit() {
    while (!this.#stopped) {
      const productId = oneOf(range(1, PRODUCTS));
      const least = /** @type {bigint} */ (this.#prices.get(productId));
      const began = performance.now();
      try {
        const { price, cached } = await this.#shop.product(productId);
        this.pageMeter.add(performance.now() - began);
        this.pages.answered += 1;
        if (cached) this.pages.cached += 1;
        // Prices only rise here.
        if (price < least) this.pages.stale += 1;
      } catch (error) {
        this.pages.failed += 1;
        this.#note('page', error);
      }
      await sleep(VISITOR_REST_MS);
    }
  }

  async #changePrices() {
    while (!this.#stopped) {
      await sleep(PRICE_EVERY_MS);
      const productId = oneOf(range(1, PRODUCTS));
      const price = /** @type {bigint} */ (this.#prices.get(productId)) + 1n;
      try {
        await this.#shop.setPrice(productId, price);
        this.#prices.set(productId, price);
      } catch (error) {
        this.#note('price', error);
      }
    }
  }

  /** @param {string} what @param {any} error */
  #note(what, error) {
    const reason = `${what}: ${error?.code ?? error}, outcome ${error?.outcome ?? 'not stated'}`;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }

  get ok() {
    const { pages, lookups } = this;
    const reads = [pages.stale, pages.failed, lookups.missing, lookups.failed];
    return pages.cached > 0 && lookups.byStandby > 0 && reads.every((count) => count === 0);
  }
}

module.exports = { CUSTOMERS, Load, VISITORS };
