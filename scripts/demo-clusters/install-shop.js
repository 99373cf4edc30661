'use strict';

// The example of the shop as its users have it: a folder of its own, with the package in node_modules.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.join(__dirname, '..', '..');

/** @returns {{ folder: string, clustersFrom: any, openShop: any, serverOf: any, ShopError: any, remove: () => void }} */
function installShop() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-shop-'));
  fs.cpSync(path.join(ROOT, 'examples', 'shop'), folder, { recursive: true });
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'hyperiondb-client'), 'junction');
  const files = ['clusters', 'shop', 'server'].map((name) => require(path.join(folder, `${name}.js`)));
  return Object.assign({ folder, remove: () => fs.rmSync(folder, { recursive: true }) }, ...files);
}

/**
 * The variables of the example.
 * @param {Record<'users0' | 'users1' | 'catalogue' | 'orders', { hosts: string[], user: string, password: string, database: string }>} clusters
 * @returns {Record<string, string>}
 */
function variablesOf({ users0, users1, catalogue, orders }) {
  const { user, password, database } = orders;
  return {
    ...{ SHOP_USER: user, SHOP_PASSWORD: password, SHOP_DATABASE: database },
    ...{ SHOP_USERS_0: users0.hosts.join(), SHOP_USERS_1: users1.hosts.join() },
    ...{ SHOP_CATALOGUE: catalogue.hosts.join(), SHOP_ORDERS: orders.hosts.join() },
  };
}

module.exports = { installShop, variablesOf };
