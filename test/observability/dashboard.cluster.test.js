'use strict';

// The dashboard of a real pool in Chromium: a switchover and a crash of the primary under load, and the end of the pool.

const assert = require('node:assert/strict');
const path = require('node:path');
const { isLive, seriousFindings, serve, useBrowser } = require('./dashboard.support.js');
const { CLI, ROOT, Running, reaching } = require('../support/command.js');
const { ownCluster, sleep, test, until } = require('../support/helpers.js');

const LONG_MS = 180_000;
const browser = useBrowser();

/** Writers that write until the test ends, and repeat nothing. @param {any} pool */
function writers(pool) {
  let isOver = false;
  let written = 0;
  const write = async () => {
    while (!isOver) {
      await pool.query('INSERT INTO seen DEFAULT VALUES').then(
        () => written++,
        () => sleep(10),
      );
      await pool.read('SELECT count(*) FROM seen').catch(() => {});
      await sleep(3);
    }
  };
  const ended = Promise.all([write(), write(), write(), write()]);
  return {
    get written() {
      return written;
    },
    stop: () => {
      isOver = true;
      return ended;
    },
  };
}

/** @param {import('playwright-core').Page} page @param {string} selector */
const textOf = (page, selector) => page.locator(selector).first().innerText();

test('dashboard: a switchover, a kill -9 of the primary and the end of the pool are on the page', {
  timeout: LONG_MS,
}, async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  const { cluster } = own;
  await cluster.primary().sql('CREATE TABLE seen (at timestamptz DEFAULT now())');
  const pool = own.pool(t);
  const { url } = await serve(t, pool.dashboard());
  const load = writers(pool);
  t.after(() => load.stop());
  const { page, problems } = await browser.page(t, { width: 1600, theme: 'dark' });
  await page.goto(url);
  await isLive(page);
  const first = cluster.primary();
  await until(
    'the page names the primary',
    async () => (await textOf(page, '#health-title')) === `${first.address} accepts writes`,
  );
  await until('it shows statements of each node', async () => {
    const rates = await page.locator('.nodes .cell-statements.number').allInnerTexts();
    return rates.slice(-3).every((rate) => Number.parseFloat(rate) > 0);
  });

  await first.fence();
  const second = await cluster.mostAdvanced();
  await cluster.failover(second);
  await until(
    'the page names the next primary',
    async () => (await textOf(page, '#health-title')) === `${second.address} accepts writes`,
  );
  await until('the switchover is done', async () => (await page.locator('.failover[data-level="ok"]').count()) === 1);
  const switchover = await textOf(page, '.failover');
  for (const part of [
    first.address,
    second.address,
    /done in [\d.]+ m?s/,
    'until it was found',
    'until the first write',
  ]) {
    assert.ok(typeof part === 'string' ? switchover.includes(part) : part.test(switchover), `${part}: ${switchover}`);
  }
  await page.locator('.nodes tr[data-state="fenced"]').waitFor();
  assert.match(await page.locator('.nodes tr[data-state="fenced"] .reason').innerText(), /\w/);
  await first.rejoin(second);
  await until('all nodes are up', async () => (await textOf(page, '#health-text')) === 'All 3 nodes are up.');

  await second.crash();
  await page.locator('.health[data-level="bad"]').waitFor();
  await page.locator('.failover[data-level="bad"]').waitFor();
  assert.match(await textOf(page, '.failover'), new RegExp(`${second.address}[^]*not chosen yet[^]*under way for`));
  assert.match(await page.locator('#announcement').innerText(), /^A failover is under way/);
  assert.deepEqual(await seriousFindings(page), []);
  const third = await cluster.mostAdvanced();
  await cluster.failover(third);
  await until(
    'the page names the third primary',
    async () => (await textOf(page, '#health-title')) === `${third.address} accepts writes`,
  );
  await until('the failover is done', async () => (await page.locator('.failover[data-level="ok"]').count()) === 2);
  const { failovers } = pool.stats();
  const last = failovers.at(-1);
  assert.equal(last.to, third.address);
  assert.ok((await textOf(page, '.failover .counts')).startsWith(`${last.held} held`));
  const steps = await page.locator('.failover').first().locator('.steps li').allInnerTexts();
  assert.ok(
    steps.some((step) => step.includes(`First write acknowledged by ${third.address}`)),
    steps.join(),
  );
  t.diagnostic(`${load.written} rows; switchover ${switchover.split('\n')[3]}`);

  assert.deepEqual(problems, []);
  await load.stop();
  await pool.end();
  await page.locator('body[data-connection="closed"]').waitFor();
  assert.match(await textOf(page, '#notice'), /^The pool is closed\./);
  assert.deepEqual(problems, []);
  assert.throws(() => pool.dashboard(), { code: 'ERR_POOL_CLOSED' });
});

test('dashboard: the command shows a cluster that nobody else uses, and a crash of its primary', {
  timeout: LONG_MS,
}, async (t) => {
  const own = await ownCluster(t, { nodes: 2, synchronous: false });
  const { cluster } = own;
  const running = new Running(
    process.execPath,
    [CLI, 'dashboard', '--hosts', cluster.hosts.join(), '--port', '0'],
    reaching(own),
  );
  t.after(() => running.child.kill('SIGKILL'));
  await running.printed(/http:\/\/127\.0\.0\.1:\d+\/ /);
  const [url] = /** @type {RegExpExecArray} */ (/http:\S+/.exec(running.out));
  const { page, problems } = await browser.page(t);
  await page.goto(url);
  await isLive(page);
  await until('the probes give latencies of both nodes', async () => {
    const texts = await page.locator('.nodes tbody .cell-p50').allInnerTexts();
    return texts.length === 2 && texts.every((text) => /\d/.test(text));
  });
  const [first, second] = cluster.nodes;
  await first.crash();
  await page.locator('.health[data-level="bad"]').waitFor();
  await cluster.failover(second);
  await until(
    'it names the new primary',
    async () => (await textOf(page, '#health-title')) === `${second.address} accepts writes`,
  );
  await until('the failover is done', async () => (await page.locator('.failover[data-level="ok"]').count()) === 1);
  // The command never writes.
  assert.match(await textOf(page, '.failover .badge'), /^found in [\d.]+ m?s, no write yet$/);
  assert.deepEqual(problems, []);
  running.child.kill('SIGINT');
  const { code, err } = await running.ended;
  assert.deepEqual({ code, err }, { code: 0, err: '' });
  await until('the page says that it is not connected', () => page.locator('#notice').isVisible());
});

test('npm run demo -- --dashboard shows the cluster of the demo until Ctrl-C', { timeout: LONG_MS }, async (t) => {
  const running = new Running(process.execPath, [path.join(ROOT, 'scripts', 'demo.js'), '--dashboard'], process.env);
  t.after(() => running.child.kill('SIGKILL'));
  await running.printed(/dashboard: http:\/\/127\.0\.0\.1:\d+\/ /);
  const [url] = /** @type {RegExpExecArray} */ (/http:\S+/.exec(running.out));
  const { page, problems } = await browser.page(t);
  await page.goto(url);
  await isLive(page);
  await until('there is load', async () => Number((await textOf(page, '.tile .value')).replace(',', '')) > 50);
  assert.equal(await textOf(page, '#name'), 'demo');
  assert.deepEqual(problems, []);
  running.child.kill('SIGINT');
  const { code, out, err } = await running.ended;
  assert.deepEqual([code, err], [130, '']);
  assert.match(out, /SIGINT: the servers are stopped and their files are removed\./);
});
