'use strict';

// What happens to the shop while customers order: the primary of the orders crashes and its standby takes over, and a process is killed in
// the middle of its commit. The harness acts as the failover manager; the package gets no hint.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { text } = require('node:stream/consumers');
const { setTimeout: sleep } = require('node:timers/promises');

/** @typedef {import('../../test/support/cluster').Cluster} Cluster */
/**
 * @typedef {object} Stage
 * @property {Record<'users0' | 'users1' | 'catalogue' | 'orders', Cluster>} clusters
 * @property {any} shop
 * @property {import('./load.js').Load} load
 * @property {Record<string, string>} variables of the shop
 * @property {number} seconds
 * @property {(text: string) => void} now what is happening
 * @property {(text: string) => void} happened
 */
/**
 * What became of the process that was killed.
 * @typedef {object} Kill
 * @property {string | null} signal that has ended it
 * @property {number} left parts of its transaction that were prepared and not committed then
 * @property {number} recovered transactions that the recovery has committed
 * @property {number} recoveryMs
 */

/** The time until a standby is promoted: a manager needs a moment to decide. */
const INDECISION_MS = 600;
/** A product that only the process orders that is killed. */
const ITS_PRODUCT = 99;
const VICTIM_MS = 20_000;

/** @param {Stage} stage @returns {Promise<Kill>} */
async function play(stage) {
  const { now, seconds } = stage;
  const began = performance.now();
  const at = (/** @type {number} */ share) => sleep(Math.max(0, began + seconds * 1_000 * share - performance.now()));
  now('steady load');
  await at(0.2);
  await failover(stage);
  now('steady load');
  await at(0.6);
  const kill = await killInTheMiddle(stage);
  now('steady load');
  await at(1);
  return kill;
}

/** @param {Stage} stage */
async function failover({ clusters: { orders }, load, now, happened }) {
  const [first, next] = [orders.primary(), await orders.mostAdvanced()];
  load.episodes.begin(`crash of orders ${first.name}`);
  now(`orders ${first.name} has crashed: no order can be made`);
  await first.crash();
  happened(`crashed orders ${first.name}, the primary: all its processes killed at once`);
  await sleep(INDECISION_MS);
  now(`orders ${next.name} is being promoted`);
  // There is no other standby that commits could wait for.
  await orders.failover(next, { synchronous: false });
  happened(`promoted orders ${next.name}`);
  now(`orders ${first.name} comes back as a standby (base backup)`);
  await first.rejoin(next);
  happened(`orders ${first.name} is a standby of ${next.name}`);
}

/** @param {Stage} stage @returns {Promise<Kill>} */
async function killInTheMiddle({ clusters, shop, load, variables, now, happened }) {
  await load.addProduct(ITS_PRODUCT);
  const userId = await load.addUser('Ada', 1_000n);
  const entry = load.enter({ userId, productId: ITS_PRODUCT });
  const { orderId, productId } = entry;
  now('another process makes an order, and is killed in the middle of its commit');
  const child = spawn(process.execPath, [path.join(__dirname, 'victim.js')], {
    env: { ...process.env, ...variables, SHOP_ORDER: JSON.stringify({ orderId, userId, productId }) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: VICTIM_MS,
    killSignal: 'SIGTERM',
  });
  const ended = new Promise((resolve) => child.on('close', (_code, name) => resolve(name)));
  const [id, problem, signal] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (signal !== 'SIGKILL') throw new Error(`the process was not killed in the middle of its commit: ${problem}`);
  const left = await preparedOf(clusters, id.trim());
  happened('SIGKILL for a process after the first of its three COMMIT PREPARED');
  happened(`its piece is taken, and not paid or noted: ${left} parts are prepared`);
  const began = performance.now();
  const { committed } = await shop.multi.recover();
  const recoveryMs = performance.now() - began;
  // It was decided, so it is made, although nobody was told.
  entry.outcome = 'made';
  happened('recover() of this process has found the decision, and committed them');
  return { signal, left, recovered: committed, recoveryMs };
}

/** @param {Stage['clusters']} clusters @param {string} id of a transaction */
async function preparedOf(clusters, id) {
  const sql = `SELECT count(*)::int AS n FROM pg_prepared_xacts WHERE gid LIKE 'hdb:%:${id}.%'`;
  const counts = await Promise.all(Object.values(clusters).map((cluster) => cluster.primary().sql(sql)));
  return counts.reduce((sum, [{ n }]) => sum + Number(n), 0);
}

module.exports = { INDECISION_MS, play };
