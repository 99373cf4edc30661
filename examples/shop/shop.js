'use strict';

// A shop on three clusters: users in two shards, a catalogue, and orders. Money and stock are never in two places: an order takes both
// from where they were, in one transaction over all clusters.

const { randomUUID } = require('node:crypto');
const path = require('node:path');
const { retry } = require('hyperiondb-client');
const { MultiClusterPostgres } = require('hyperiondb-client/clusters');

/** What a customer may be told, and the status of HTTP that says it. */
class ShopError extends Error {
  constructor(message, status = 409) {
    super(message);
    this.status = status;
  }
}

class Shop {
  /** @param {MultiClusterPostgres} multi initialized */
  constructor(multi) {
    this.multi = multi;
  }

  // --- Users: one shard each

  async addUser({ name, balance = 0n, userId = randomUUID() }) {
    const sql = 'INSERT INTO users (user_id, name, balance) VALUES ($1, $2, $3)';
    await this.multi.query(sql, [userId, name, balance], { schema: 'users', shardKey: userId });
    return userId;
  }

  async user(userId) {
    const sql = 'SELECT user_id, name, balance FROM users WHERE user_id = $1';
    const { rows } = await this.multi.query(sql, [userId], { schema: 'users', shardKey: userId });
    return rows[0];
  }

  /** A read without a shardKey goes to all shards: each sends its newest, and the newest of these are kept. */
  async newestUsers(limit = 10) {
    const sql = 'SELECT user_id, name, created_at FROM users ORDER BY created_at DESC LIMIT $1';
    // ISO 8601: without its Z, the order of the texts is that of the times.
    const time = ({ created_at }) => created_at.slice(0, -1);
    const orderBy = (a, b) => (time(a) < time(b) ? 1 : time(a) > time(b) ? -1 : 0);
    const { rows } = await this.multi.query(sql, [limit], { schema: 'users', orderBy, limit });
    return rows;
  }

  // --- The catalogue: pages from the cache

  async addProduct({ productId, name, price, stock }) {
    const sql = 'INSERT INTO products (product_id, name, price, stock) VALUES ($1, $2, $3, $4)';
    await this.multi.query(sql, [productId, name, price, stock], { schema: 'catalogue' });
  }

  async product(productId) {
    const sql = 'SELECT product_id, name, price FROM products WHERE product_id = $1';
    const options = { schema: 'catalogue', cache: true, cacheTtl: 60_000, tags: [`product:${productId}`] };
    const { rows, cached } = await this.multi.query(sql, [productId], options);
    return rows[0] && { ...rows[0], cached };
  }

  async setPrice(productId, price) {
    const sql = 'UPDATE products SET price = $2 WHERE product_id = $1';
    await this.multi.query(sql, [productId, price], { schema: 'catalogue' });
    await this.multi.invalidateCache({ tags: [`product:${productId}`] });
  }

  // --- Orders: a transaction over three clusters

  /**
   * The caller chooses the id: when the answer is lost on the way, the same call again finds the order instead of making a second one.
   * All transactions lock in one order (catalogue, orders, users), because no server sees a deadlock between two clusters.
   */
  async order({ orderId = randomUUID(), userId, productId, quantity = 1 }) {
    if (userId === undefined || productId === undefined || !(Number.isInteger(quantity) && quantity > 0)) {
      throw new ShopError('an order has a userId, a productId, and a quantity from 1', 400);
    }
    const lock = 'SELECT price, stock FROM products WHERE product_id = $1 FOR UPDATE';
    const note = 'INSERT INTO orders (order_id, user_id, product_id, quantity, amount) VALUES ($1, $2, $3, $4, $5)';
    const take = 'UPDATE products SET stock = stock - $2 WHERE product_id = $1';
    const pay = 'UPDATE users SET balance = balance - $2 WHERE user_id = $1 AND balance >= $2';
    const transaction = async (tx) => {
      const { rows } = await tx.query(lock, [productId], { schema: 'catalogue' });
      if (rows.length === 0) throw new ShopError('no such product');
      const [{ price, stock }] = rows;
      const amount = price * BigInt(quantity);
      // Before anything is refused: an order that was made already is an order.
      await tx.query(note, [orderId, userId, productId, quantity, amount], { schema: 'orders' });
      if (stock < quantity) throw new ShopError('not in stock');
      await tx.query(take, [productId, quantity], { schema: 'catalogue' });
      const paid = await tx.query(pay, [userId, amount], { schema: 'users', shardKey: userId });
      if (paid.rowCount === 0) throw new ShopError('not enough money');
      return { orderId, amount };
    };
    const schemas = ['catalogue', 'orders', 'users'];
    try {
      // Again, if it has certainly changed nothing: a primary was lost, or two orders have met in the wrong moment.
      return await retry(() => this.multi.withTransaction(schemas, transaction, { timeoutMs: 5_000 }), { attempts: 5 });
    } catch (error) {
      if (error.code !== '23505') throw error;
      // unique_violation: this order was made before.
      return { orderId, amount: (await this.#orderOf(orderId)).amount };
    }
  }

  /** On the primary: another process may have made it, and a standby may not have it yet. */
  async #orderOf(orderId) {
    const sql = 'SELECT amount FROM orders WHERE order_id = $1';
    const { rows } = await this.multi.query(sql, [orderId], { schema: 'orders', consistencyLevel: 'strong' });
    return rows[0];
  }

  /** On a standby that has what this process has written. */
  async ordersOf(userId) {
    const sql = 'SELECT order_id, product_id, quantity, amount FROM orders WHERE user_id = $1 ORDER BY ordered_at';
    const { rows } = await this.multi.query(sql, [userId], { schema: 'orders' });
    return rows;
  }

  // --- Operation

  health() {
    return this.multi.healthCheck();
  }

  metrics() {
    return this.multi.prometheus();
  }

  close() {
    return this.multi.close({ timeoutMs: 5_000 });
  }
}

/** Each cluster has a folder of migrations. Processes that start at the same time wait for each other. */
async function migrate(multi) {
  for (const cluster of ['users', 'catalogue', 'orders']) {
    await multi.migrate({ directory: path.join(__dirname, 'migrations', cluster), clusters: [cluster] });
  }
}

/**
 * @param {object} clusters as clusters.js returns them
 * @param {object} [options] of MultiClusterPostgres
 */
async function openShop(clusters, options) {
  // The cluster that is replicated synchronously has the decisions on transactions.
  const multi = new MultiClusterPostgres({ decisions: { cluster: 'orders' }, ...options });
  await multi.initialize(clusters);
  await migrate(multi);
  return new Shop(multi);
}

module.exports = { Shop, ShopError, openShop };
