'use strict';

// The shop over HTTP: `node server.js`. README.md has the requests.

const http = require('node:http');
const { text } = require('node:stream/consumers');
const { clustersFrom } = require('./clusters.js');
const { ShopError, openShop } = require('./shop.js');

/** What each request does: a status and a body. */
const ROUTES = {
  'GET /products': async (shop, id) => {
    const product = await shop.product(Number(id));
    return product === undefined ? [404, { error: 'no such product' }] : [200, product];
  },
  'POST /orders': async (shop, _id, body) => [201, await shop.order(body ?? {})],
  'GET /orders': async (shop, userId) => [200, await shop.ordersOf(userId)],
  'GET /users': async (shop, userId) => {
    if (userId === undefined) return [200, await shop.newestUsers()];
    const user = await shop.user(userId);
    return user === undefined ? [404, { error: 'no such user' }] : [200, user];
  },
  // For a load balancer: 503 as long as one of the clusters accepts no writes.
  'GET /health': async (shop) => {
    const health = await shop.health();
    return [health.healthy ? 200 : 503, health];
  },
  'GET /metrics': async (shop) => [200, shop.metrics()],
};

/** Amounts are BigInts, which JSON does not know. */
const json = (value) => JSON.stringify(value, (_, member) => (typeof member === 'bigint' ? Number(member) : member));

async function answer(shop, request) {
  const [, resource, id] = request.url.split('/');
  const route = ROUTES[`${request.method} /${resource}`];
  if (route === undefined) return [404, { error: 'no such page' }];
  try {
    const body = await text(request);
    return await route(shop, id, body === '' ? undefined : JSON.parse(body));
  } catch (error) {
    if (error instanceof ShopError) return [error.status, { error: error.message }];
    // What is no JSON, no value of its type for us, or none for the server (22: data exception).
    if (error instanceof SyntaxError || /^(ERR_INVALID_PARAM$|22)/.test(error.code)) {
      return [400, { error: error.message }];
    }
    console.error(error);
    // The same request again is safe in any case: its orderId is made once.
    return [503, { error: 'try again', retryable: error.retryable === true }];
  }
}

const serverOf = (shop) =>
  http.createServer(async (request, response) => {
    const [status, body] = await answer(shop, request);
    const isText = typeof body === 'string';
    response.writeHead(status, { 'content-type': isText ? 'text/plain; version=0.0.4' : 'application/json' });
    response.end(isText ? body : json(body));
  });

async function main() {
  const shop = await openShop(clustersFrom(process.env));
  const server = serverOf(shop).listen(process.env.PORT ?? 3000);
  process.once('SIGTERM', () => server.close(() => shop.close()));
}

if (require.main === module) main();

module.exports = { serverOf };
