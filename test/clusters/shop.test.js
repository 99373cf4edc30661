'use strict';

// examples/shop on embedded clusters: users in two shards, a catalogue, orders with a standby. What an order takes from one cluster is in
// another, or nowhere.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const path = require('node:path');
const { after, before } = require('node:test');
const { installShop, variablesOf } = require('../../scripts/demo-clusters/install-shop.js');
const { range, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const settings = { max_prepared_transactions: 20 };
const clusters = useClusters({
  users0: { nodes: 1, settings },
  users1: { nodes: 1, settings },
  catalogue: { nodes: 1, settings },
  orders: { nodes: 2, settings },
});
const { users0, users1, catalogue, orders } = clusters;

/** @type {any} */
let shop;
/** @type {any} */
let server;

const { folder, clustersFrom, openShop, serverOf, remove } = installShop();

before(async () => {
  await clusters.started;
  const started = {
    ...{ users0: users0.cluster, users1: users1.cluster, catalogue: catalogue.cluster, orders: orders.cluster },
  };
  shop = await openShop(clustersFrom(variablesOf(started)));
  server = serverOf(shop).listen(0, '127.0.0.1');
  await until('the server listens', async () => server.address());
});

after(async () => {
  server?.close();
  await shop?.close();
  remove();
});

/** @param {any[]} dbs @param {string} sql an int */
const sum = async (dbs, sql) =>
  (await Promise.all(dbs.map((db) => db.sql(sql)))).reduce((total, [{ n }]) => total + Number(n), 0);

/** All money, and all pieces of all products: in whichever cluster they are. */
const inventory = async () => ({
  money:
    (await sum([users0, users1], 'SELECT coalesce(sum(balance), 0)::int AS n FROM users')) +
    (await sum([orders], 'SELECT coalesce(sum(amount), 0)::int AS n FROM orders')),
  pieces:
    (await sum([catalogue], 'SELECT coalesce(sum(stock), 0)::int AS n FROM products')) +
    (await sum([orders], 'SELECT coalesce(sum(quantity), 0)::int AS n FROM orders')),
});

let lastProduct = 0;
/** @param {object} [more] */
async function newProduct(more) {
  const productId = ++lastProduct;
  await shop.addProduct({ productId, name: `product ${productId}`, price: 250n, stock: 10, ...more });
  return productId;
}

/** @param {string} route @param {object} [init] */
async function request(route, init) {
  const response = await fetch(`http://127.0.0.1:${server.address().port}${route}`, init);
  const body = await response.text();
  return {
    status: response.status,
    body: /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(body) : body,
  };
}

const post = (/** @type {string} */ route, /** @type {object} */ body) =>
  request(route, { method: 'POST', body: JSON.stringify(body) });

test('shop: each cluster has its own migrations, and both shards have those of the users', async () => {
  /** @type {Record<string, string[]>} */
  const applied = {};
  for (const cluster of ['users', 'catalogue', 'orders']) {
    const directory = path.join(folder, 'migrations', cluster);
    for (const { unit, migrations } of await shop.multi.migrationStatus({ directory, clusters: [cluster] })) {
      applied[unit] = migrations.map((/** @type {any} */ { name, state }) => `${name} ${state}`);
    }
  }
  assert.deepEqual(applied, {
    'users/0': ['001_users applied'],
    'users/1': ['001_users applied'],
    catalogue: ['001_products applied'],
    orders: ['001_orders applied', '002_orders_by_user applied'],
  });
});

test('shop: users are in both shards, each in one, and the newest of both are found in their order', async () => {
  const ids = [];
  for (const i of range(12)) ids.push(await shop.addUser({ name: `user ${i}` }));
  const counts = await Promise.all([users0, users1].map((db) => sum([db], 'SELECT count(*)::int AS n FROM users')));
  assert.equal(counts[0] + counts[1], ids.length);
  assert.ok(Math.min(...counts) > 0, `${counts}`);
  const newest = await shop.newestUsers(5);
  assert.deepEqual(
    newest.map((/** @type {any} */ { user_id }) => user_id),
    ids.slice(-5).reverse(),
  );
  assert.equal((await shop.user(ids[0])).name, 'user 0');
  assert.equal(await shop.user(randomUUID()), undefined);
});

test('shop: a page comes from the cache until its price changes', async () => {
  const [productId, other] = [await newProduct(), await newProduct()];
  const seen = [await shop.product(productId), await shop.product(productId)];
  await shop.product(other);
  await shop.setPrice(productId, 300n);
  seen.push(await shop.product(productId), await shop.product(other));
  assert.deepEqual(
    seen.map(({ price, cached }) => [price, cached]),
    [
      [250n, false],
      [250n, true],
      [300n, false],
      [250n, true],
    ],
  );
});

test('shop: an order takes stock and money, is read on the standby, and is made once', async () => {
  const [userId, productId] = [await shop.addUser({ name: 'Ada', balance: 1_000n }), await newProduct()];
  const before = await inventory();
  const order = { orderId: randomUUID(), userId, productId, quantity: 3 };
  const first = await shop.order(order);
  assert.deepEqual(first, { orderId: order.orderId, amount: 750n });
  assert.deepEqual(await shop.order({ ...order, quantity: 1 }), first);
  assert.equal((await shop.user(userId)).balance, 250n);
  assert.deepEqual(
    [...(await shop.ordersOf(userId))].map((/** @type {any} */ row) => ({ ...row })),
    [{ order_id: order.orderId, product_id: productId, quantity: 3, amount: 750n }],
  );
  const { node } = await shop.multi.query('SELECT 1', [], { schema: 'orders' });
  assert.notEqual(node, orders.cluster.primary().address);
  assert.deepEqual(await inventory(), before);
});

test('shop: an order that was made is found again when there is no money for another', async () => {
  const [userId, productId] = [await shop.addUser({ name: 'Cyd', balance: 250n }), await newProduct({ stock: 1 })];
  const order = { orderId: randomUUID(), userId, productId };
  const first = await shop.order(order);
  assert.deepEqual(await shop.order(order), first);
  await assert.rejects(() => shop.order({ ...order, orderId: randomUUID() }), { message: 'not in stock' });
});

test('shop: an order without enough stock or money changes nothing', async () => {
  const [userId, productId] = [await shop.addUser({ name: 'Bob', balance: 1_000n }), await newProduct()];
  const before = await inventory();
  await assert.rejects(() => shop.order({ userId, productId, quantity: 11 }), { message: 'not in stock' });
  await assert.rejects(() => shop.order({ userId, productId, quantity: 5 }), { message: 'not enough money' });
  assert.deepEqual(await inventory(), before);
  assert.deepEqual([(await shop.user(userId)).balance, await shop.ordersOf(userId)].flat(), [1_000n]);
});

test('shop: of many orders at once each is there as a whole', async () => {
  const userIds = await Promise.all(range(4).map((i) => shop.addUser({ name: `buyer ${i}`, balance: 1_000n })));
  const productIds = await Promise.all(range(2).map(() => newProduct({ price: 100n })));
  const before = await inventory();
  const ended = await Promise.allSettled(
    range(30).map((i) => shop.order({ userId: userIds[i % 4], productId: productIds[i % 2] })),
  );
  const failed = ended
    .filter(({ status }) => status === 'rejected')
    .map((/** @type {any} */ { reason }) => reason.message);
  // Twenty pieces were there.
  assert.deepEqual(failed, Array(10).fill('not in stock'));
  assert.deepEqual(await inventory(), before);
  assert.equal(shop.multi.getMetrics().transactions.inDoubt, 0);
});

test('shop: over HTTP', async () => {
  const [userId, productId] = [await shop.addUser({ name: 'Eve', balance: 500n }), await newProduct()];
  assert.deepEqual((await request(`/products/${productId}`)).body, {
    ...{ product_id: productId, name: `product ${productId}`, price: 250, cached: false },
  });
  const order = { orderId: randomUUID(), userId, productId };
  assert.deepEqual(await post('/orders', order), { status: 201, body: { orderId: order.orderId, amount: 250 } });
  assert.equal((await request(`/orders/${userId}`)).body.length, 1);
  assert.equal((await request(`/users/${userId}`)).body.balance, 250);
  assert.equal((await request('/users')).body[0].user_id, userId);
  const refused = [
    await post('/orders', { userId, productId, quantity: 2 }),
    await post('/orders', { productId }),
    await post('/orders', { orderId: 'mine', userId, productId }),
    await request('/products/0'),
    await request('/nowhere'),
  ];
  assert.deepEqual(
    refused.map(({ status }) => status),
    [409, 400, 400, 404, 404],
  );
  const health = await request('/health');
  assert.deepEqual([health.status, Object.keys(health.body.clusters)], [200, ['users', 'catalogue', 'orders']]);
  assert.match(
    (await request('/metrics')).body,
    /^hyperiondb_clusters_queries_total\{cluster="orders",kind="read"\} \d+$/m,
  );
});
