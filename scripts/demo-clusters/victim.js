'use strict';

// A process that makes one order and is killed in the middle of its commit: the decision is written down and one of three clusters has
// committed. scenario.js starts it, with the variables of the shop, and with the order in SHOP_ORDER.

const { TwoPhase } = require('../../exports/clusters/two-phase/index.js');
const { installShop } = require('./install-shop.js');

/** At each point of a commit the function of this name is awaited. */
const POINT = Symbol.for('hyperiondb-client.two-phase-point');

async function main() {
  const { clustersFrom, openShop, remove } = installShop();
  const shop = await openShop(clustersFrom(process.env));
  // Its modules are loaded.
  remove();
  shop.multi.on('transactionStarted', (/** @type {{ id: string }} */ { id }) => process.stdout.write(`${id}\n`));
  /** @type {any} */ (TwoPhase.prototype)[POINT] = (/** @type {string} */ point, /** @type {number} */ part) => {
    if (point === 'committed one') process.kill(process.pid, 'SIGKILL');
    // The others wait, so that exactly one has committed.
    return point === 'commit' && part > 0 ? new Promise(() => {}) : undefined;
  };
  await shop.order(JSON.parse(/** @type {string} */ (process.env.SHOP_ORDER)));
  throw new Error('the process should not live to see the end of its order');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
