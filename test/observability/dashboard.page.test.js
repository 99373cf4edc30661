'use strict';

// The dashboard in Chromium: what it shows of a pool whose counts are known, and what it does when the server goes and comes.

const assert = require('node:assert/strict');
const { handlerOf, isLive, seriousFindings, serve, useBrowser } = require('./dashboard.support.js');
const { story } = require('./dashboard.story.js');
const { test, until } = require('../support/helpers.js');

const browser = useBrowser();

/** @param {import('node:test').TestContext} t @param {Parameters<typeof story>[0]} [options] @param {Parameters<typeof browser.page>[1]} [look] */
async function opened(t, options, look) {
  const told = story(options);
  const server = await serve(t, handlerOf(told.feed));
  const { page, problems } = await browser.page(t, look);
  await page.goto(server.url);
  await isLive(page);
  return { ...told, ...server, page, problems };
}

test('dashboard page: nodes, figures, failovers, errors and counts are those of the pool', async (t) => {
  const { page, problems, pool } = await opened(t);
  const text = (/** @type {string} */ selector) => page.locator(selector).first().innerText();
  assert.equal(await text('#health-title'), 'db3:5432 accepts writes');
  assert.equal(await text('#name'), 'orders');
  assert.match(await page.title(), /^db3:5432 · orders$/);
  const row = page.locator('.nodes tbody tr', { hasText: 'db3:5432' });
  assert.deepEqual(
    [
      await row.locator('.cell-role').innerText(),
      await row.locator('.cell-state').innerText(),
      await row.locator('.cell-timeline').innerText(),
    ],
    ['primary', 'up', '3'],
  );
  assert.match(await row.locator('.cell-p99').innerText(), /^\d\.\d ms$/);
  assert.match(
    await page.locator('.nodes tbody tr', { hasText: 'db1:5432' }).locator('.cell-lag').innerText(),
    /^[\d.]+ ms · [\d.]+ k?B$/,
  );
  assert.match(await text('.tile[data-title="Statements a second"] .value'), /^\d,\d{3}$/);
  assert.match(await text('.tile[data-title="Connections"] .value'), /^\d+ of 20$/);
  assert.equal(await page.locator('.chart canvas').count(), 4);
  // The newest first, with its steps.
  const failovers = page.locator('.failover');
  assert.equal(await failovers.count(), 2);
  const newest = await failovers.first().innerText();
  for (const part of [
    'db2:5432',
    'db3:5432',
    'done in 1.41 s',
    '1.31 s until it was found',
    '96 ms until the first write',
    '412 held',
    '31 sent again',
    '2 unknown',
  ]) {
    assert.ok(newest.includes(part), `${part} in ${newest}`);
  }
  const steps = await failovers.first().locator('.steps li').allInnerTexts();
  assert.deepEqual(
    steps.map((step) => step.split('\n')[1]),
    [
      'A connection failed to db2:5432',
      'Asked db2:5432: it does not answer',
      'Asked db1:5432: it is a standby',
      'Asked db3:5432: it is a standby',
      'Asked db3:5432: it is the primary',
      'Chose db3:5432, timeline 3',
      'First write acknowledged by db3:5432',
    ],
  );
  const errors = await page.locator('.errors tbody tr').allInnerTexts();
  assert.deepEqual([errors.length, /^23\s+integrity constraint violation/.test(errors[0])], [3, true], errors.join());
  assert.ok((await text('#pool')).includes(pool.raw.queries.toLocaleString('en-US').slice(0, 4)));
  assert.deepEqual(problems, []);
  assert.deepEqual(await seriousFindings(page), []);
});

test('dashboard page: when the server goes it says so, and when it comes again it is live without a reload', async (t) => {
  const { page, problems, feed, port, stop } = await opened(t, { seconds: 30, eventful: false });
  await page.evaluate(() => {
    /** @type {any} */ (globalThis).isSamePage = true;
  });
  await stop();
  await page.locator('#notice').waitFor();
  assert.match(await page.locator('#notice').innerText(), /^Not connected\. The figures are those of \d\d:\d\d:\d\d\./);
  assert.equal(await page.locator('#live').innerText(), 'Not connected');
  assert.equal(await page.locator('#announcement').innerText(), 'Not connected.');
  assert.deepEqual(await seriousFindings(page), []);
  assert.ok(
    problems.every((problem) => /^console: Failed to load resource: net::ERR/.test(problem)),
    problems.join('\n'),
  );
  // Another process, which has another history.
  feed.close();
  const other = story({ seconds: 10, name: 'another', eventful: false });
  await serve(t, handlerOf(other.feed), port);
  await page.locator('body[data-connection="live"]').waitFor();
  await until('it shows the other pool', async () => (await page.locator('#name').innerText()) === 'another');
  assert.ok(await page.locator('#notice').isHidden());
  assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).isSamePage), true);
});
