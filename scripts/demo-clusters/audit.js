'use strict';

// What is counted at the end, in the databases themselves: whether money or stock was created or destroyed, whether an order that was
// acknowledged is missing, whether anything is in doubt.

/** `open`: its last call has failed and said neither. @typedef {'made' | 'refused' | 'open'} Outcome */
/** @typedef {{ orderId: string, userId: string, productId: number, outcome: Outcome }} Entry */
/**
 * What was there before the first order.
 * @typedef {{ balances: Map<string, bigint>, stocks: Map<number, number> }} Start
 */
/**
 * @typedef {object} Found
 * @property {{ order_id: string, user_id: string, product_id: number, quantity: number, amount: bigint }[]} orders
 * @property {{ user_id: string, balance: bigint }[]} users
 * @property {{ product_id: number, stock: number }[]} products
 * @property {number} prepared prepared transactions of the shop, on all servers
 * @property {number} decisions transactions that are decided and not finished everywhere
 */
/**
 * @typedef {object} Verdict
 * @property {number} made orders that were acknowledged
 * @property {number} refused
 * @property {number} open orders of which nobody knows: they may be there or not
 * @property {number} lost of the acknowledged ones missing: must be 0
 * @property {number} denied orders that are there although they were refused: must be 0
 * @property {number} strangers orders that nobody made: must be 0
 * @property {bigint} money cents that were created or destroyed, user by user: must be 0
 * @property {number} stock pieces that were created or destroyed, product by product: must be 0
 * @property {number} inDoubt must be 0
 * @property {boolean} ok
 */

const ORDERS = 'SELECT order_id, user_id, product_id, quantity, amount::text FROM orders';
const USERS = 'SELECT user_id, balance::text FROM users';
const PRODUCTS = 'SELECT product_id, stock FROM products';
const PREPARED = "SELECT count(*)::int AS n FROM pg_prepared_xacts WHERE gid LIKE 'hdb:%'";
const DECISIONS = "SELECT count(*)::int AS n FROM hyperiondb_decisions WHERE outcome = 'commit'";

/** @typedef {{ primary: () => { sql: (text: string) => Promise<any[]> } }} Asked */

/**
 * Asks with the client of the harness, so that the package does not judge itself.
 * @param {Record<'users0' | 'users1' | 'catalogue' | 'orders', Asked>} clusters
 * @returns {Promise<Found>}
 */
async function look({ users0, users1, catalogue, orders }) {
  const ask = (/** @type {Asked} */ cluster, /** @type {string} */ text) => cluster.primary().sql(text);
  const all = [users0, users1, catalogue, orders];
  const counts = await Promise.all([...all.map((one) => ask(one, PREPARED)), ask(orders, DECISIONS)]);
  const [decisions, ...prepared] = counts.map(([{ n }]) => n).reverse();
  const users = (await Promise.all([ask(users0, USERS), ask(users1, USERS)])).flat();
  return {
    orders: (await ask(orders, ORDERS)).map((row) => ({ ...row, amount: BigInt(row.amount) })),
    users: users.map((row) => ({ ...row, balance: BigInt(row.balance) })),
    products: await ask(catalogue, PRODUCTS),
    prepared: prepared.reduce((sum, n) => sum + n, 0),
    decisions,
  };
}

/** @param {bigint} value */
const distance = (value) => (value < 0n ? -value : value);

/**
 * @param {readonly Entry[]} entries
 * @param {Start} start
 * @param {Found} found
 * @returns {Verdict}
 */
function judge(entries, start, { orders, users, products, prepared, decisions }) {
  const there = new Set(orders.map(({ order_id }) => order_id));
  const known = new Set(entries.map(({ orderId }) => orderId));
  const balances = new Map(users.map(({ user_id, balance }) => [user_id, balance]));
  const stocks = new Map(products.map(({ product_id, stock }) => [product_id, stock]));
  for (const { user_id, product_id, quantity, amount } of orders) {
    balances.set(user_id, (balances.get(user_id) ?? 0n) + amount);
    stocks.set(product_id, (stocks.get(product_id) ?? 0) + quantity);
  }
  const userIds = new Set([...start.balances.keys(), ...balances.keys()]);
  const productIds = new Set([...start.stocks.keys(), ...stocks.keys()]);
  const of = (/** @type {Outcome} */ outcome) => entries.filter((entry) => entry.outcome === outcome);
  const verdict = {
    made: of('made').length,
    refused: of('refused').length,
    open: of('open').length,
    lost: of('made').filter(({ orderId }) => !there.has(orderId)).length,
    denied: of('refused').filter(({ orderId }) => there.has(orderId)).length,
    strangers: orders.filter(({ order_id }) => !known.has(order_id)).length,
    money: [...userIds].reduce(
      (sum, id) => sum + distance((balances.get(id) ?? 0n) - (start.balances.get(id) ?? 0n)),
      0n,
    ),
    stock: [...productIds].reduce((sum, id) => sum + Math.abs((stocks.get(id) ?? 0) - (start.stocks.get(id) ?? 0)), 0),
    inDoubt: prepared + decisions,
    ok: false,
  };
  const { made, lost, denied, strangers, money, stock, inDoubt } = verdict;
  verdict.ok = made > 0 && lost + denied + strangers + stock + inDoubt === 0 && money === 0n;
  return verdict;
}

module.exports = { judge, look };
