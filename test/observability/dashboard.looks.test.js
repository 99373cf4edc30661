'use strict';

// The dashboard in Chromium, in every state: from 360 to 1920 pixels, in dark and light, by keyboard alone, and as axe sees it.

const assert = require('node:assert/strict');
const { handlerOf, isLive, seriousFindings, serve, sideways, useBrowser } = require('./dashboard.support.js');
const { FakePool, Feed } = require('./dashboard.fake.js');
const { story } = require('./dashboard.story.js');
const { test, until } = require('../support/helpers.js');

/** @typedef {import('playwright-core').Page} Page */

const WIDTHS = [360, 768, 1280, 1920];
const LONG_MS = 180_000;
const NEVER_MS = 0x7fff_ffff;
const browser = useBrowser();

/** A pool that has just been opened: no node was asked yet. */
function newborn() {
  const pool = new FakePool(3);
  for (const node of pool.nodeList) {
    const unknown = {
      role: 'unknown',
      state: 'down',
      timeline: null,
      lsn: null,
      latencyMs: null,
      lagMs: null,
      lagBytes: null,
    };
    Object.assign(node, unknown, { fit: false, reason: 'not asked yet' });
  }
  return { pool, feed: new Feed(pool.source(), { intervalMs: NEVER_MS }) };
}

/** Long names, large numbers, and more nodes than there are colours. */
function extreme() {
  const told = story({
    nodes: 9,
    seconds: 120,
    name: 'the-pool-with-a-name-that-is-longer-than-any-that-a-person-would-choose',
    eventful: false,
  });
  for (const [index, node] of told.pool.nodeList.entries()) {
    node.host = `database-${index}.a-region-of-the-world-1.rds.cloud-provider.example`;
    told.pool.raw.nodes[index].node = `${node.host}:5432`;
    if (index > 5)
      Object.assign(node, {
        state: 'down',
        fit: false,
        reason: 'down',
        lastError: `could not resolve ${'x'.repeat(120)} <b>&amp;`,
      });
  }
  for (let number = 0; number < 40; number++)
    told.pool.errors(`ERR_A_LONG_CODE_OF_A_KIND_${number}`, 10 ** (number % 12));
  told.pool.raw.queries = 987_654_321_098;
  told.pool.raw.rows = 9_876_543_210_987;
  told.feed.look();
  told.feed.look();
  return told;
}

/** @type {Record<string, { open: () => { feed: any, crash?: () => void }, act?: (page: Page, told: any) => Promise<void> }>} */
const STATES = {
  'with failovers and errors': { open: () => story() },
  'fifteen minutes, as tables': {
    open: () => story(),
    act: async (page) => {
      await page.getByLabel('15 min').check();
      for (const button of await page.getByRole('button', { name: /as a table/ }).all()) await button.click();
      assert.equal(await page.locator('.values table').count(), 4);
    },
  },
  'a failover under way': {
    open: () => story(),
    act: async (page, { crash, feed }) => {
      crash();
      feed.look();
      await page.locator('.health[data-level="bad"]').waitFor();
    },
  },
  'a new pool': { open: newborn },
  'a single node': { open: () => story({ nodes: 1, seconds: 20, eventful: false, name: null }) },
  'long names and large numbers': { open: extreme },
  'the pool has ended': {
    open: () => story({ seconds: 60, eventful: false }),
    act: async (page, { feed }) => {
      feed.close();
      await page.locator('body[data-connection="closed"]').waitFor();
    },
  },
};

for (const [state, { open, act }] of Object.entries(STATES)) {
  test(`dashboard looks: ${state}: no sideways scrolling and no serious finding of axe, at every width and in both themes`, {
    timeout: LONG_MS,
  }, async (t) => {
    for (const theme of /** @type {const} */ (['light', 'dark'])) {
      const told = open();
      const { url } = await serve(t, handlerOf(told.feed));
      const { page, problems } = await browser.page(t, { theme });
      await page.goto(url);
      await isLive(page);
      await act?.(page, told);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await page.locator('.chart canvas:visible, .values table:visible').first().waitFor();
        // Charts take their new size in the next frame.
        await until(`it fits into ${width} pixels`, async () => (await sideways(page)) <= 0);
        assert.deepEqual(await seriousFindings(page), [], `${theme}, ${width} pixels`);
      }
      assert.deepEqual(problems, []);
      await page.close();
    }
  });
}

test('dashboard looks: the token page is plain, and a page whose token has changed says what to do', async (t) => {
  const first = story({ seconds: 10, eventful: false });
  const token = 'the-first-token-of-the-page';
  const { url, port, stop } = await serve(t, handlerOf(first.feed, { token }));
  const { page } = await browser.page(t);
  await page.goto(`${url}/?token=${token}`);
  await isLive(page);
  assert.equal(page.url(), `${url}/`, 'the token is not in the address any more');
  assert.deepEqual(await page.evaluate(() => document.cookie), '', 'scripts do not see the cookie');
  await stop();
  await serve(t, handlerOf(first.feed, { token: 'the-second-token-of-the-page' }), port);
  await page.locator('body[data-connection="refused"]').waitFor();
  assert.match(await page.locator('#notice').innerText(), /Open the address with the token again/);
  assert.deepEqual(await seriousFindings(page), []);
});

// --- keyboard

/** What has the focus: its name, and whether that can be seen. @param {Page} page */
const focused = (page) =>
  page.evaluate(() => {
    const element = /** @type {HTMLElement} */ (document.activeElement);
    const shown = element instanceof HTMLInputElement ? /** @type {Element} */ (element.nextElementSibling) : element;
    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
    const text =
      element.getAttribute('aria-label') ??
      (element instanceof HTMLInputElement ? `${element.name} ${element.value}` : element.innerText);
    return {
      name: text.trim().split('\n')[0],
      isSeen: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2,
      tag: element.tagName,
    };
  });

test('dashboard looks: everything can be done with the keyboard alone, and the focus can be seen', {
  timeout: LONG_MS,
}, async (t) => {
  const { feed } = story();
  const { url } = await serve(t, handlerOf(feed));
  const { page, problems } = await browser.page(t);
  await page.goto(url);
  await isLive(page);
  const press = (/** @type {string} */ key) => page.keyboard.press(key);
  /** @type {string[]} */
  const names = [];
  for (let count = 0; count < 80; count++) {
    await press('Tab');
    const { name, isSeen, tag } = await focused(page);
    if (tag === 'BODY') break;
    assert.ok(isSeen, `the focus on ${name} can be seen`);
    names.push(name);
  }
  assert.ok(names.length < 80, 'the focus comes to the end of the page');
  assert.deepEqual(names.slice(0, 4), ['Skip to the figures', 'minutes 5', 'theme auto', 'Pause']);
  for (const name of [
    'Statements a second: time',
    'Latency as a table',
    'waits-view time',
    'Failovers, the newest first',
    'What happened',
  ]) {
    assert.ok(names.includes(name), `${name} in ${names.join(', ')}`);
  }

  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  await page.reload();
  await isLive(page);
  await press('Tab');
  await press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');

  await page.locator('input[name="minutes"][value="5"]').focus();
  await press('ArrowRight');
  assert.ok(await page.locator('input[name="minutes"][value="15"]').isChecked());
  await until(
    'the errors are those of 15 minutes',
    async () => (await page.locator('.errors th').nth(1).innerText()) === '15 min',
  );

  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.locator('input[name="theme"][value="light"]').focus();
  await press('ArrowRight');
  assert.notEqual(await ground(), light, 'dark by the switch');
  await page.reload();
  await isLive(page);
  assert.notEqual(await ground(), light, 'the choice is kept');
  assert.ok(await page.locator('input[name="minutes"][value="15"]').isChecked());

  const pause = page.getByRole('button', { name: 'Pause' });
  await pause.focus();
  await press('Space');
  assert.equal(await page.locator('#live').innerText(), 'Paused');
  await press('Space');
  assert.equal(await page.locator('#live').innerText(), 'Live');

  const slider = page.getByRole('slider', { name: 'Statements a second: time' });
  await slider.focus();
  assert.equal(await slider.getAttribute('aria-valuetext'), 'latest');
  await press('ArrowLeft');
  const [before, at] = [
    await slider.getAttribute('aria-valuetext'),
    Number(await slider.getAttribute('aria-valuenow')),
  ];
  assert.match(
    /** @type {string} */ (before),
    /^\d\d:\d\d:\d\d: db1:5432 [\d,.]+, db2:5432 [\d,.]+, db3:5432 [\d,.]+$/,
  );
  await press('PageDown');
  assert.equal(Number(await slider.getAttribute('aria-valuenow')), at - 15);
  await press('Home');
  assert.ok(Number(await slider.getAttribute('aria-valuenow')) <= 1);
  assert.match(await page.locator('#charts .chart-time').first().innerText(), /^\d\d:\d\d:\d\d$/);
  assert.match(
    await page.locator('#charts .chart-time').nth(1).innerText(),
    /^\d\d:\d\d:\d\d$/,
    'all charts show the same time',
  );
  await press('Escape');
  assert.equal(await page.locator('#charts .chart-time').first().innerText(), '');

  await page.locator('input[name="statements-view"][value="nodes"]').focus();
  await press('ArrowRight');
  assert.deepEqual(
    (await page.locator('.chart').first().locator('.legend-title').allInnerTexts()).map((name) => name.trim()),
    ['succeeded', 'failed'],
  );
  const line = page.locator('.chart').first().locator('.legend button').first();
  await line.focus();
  await press('Enter');
  assert.equal(await line.getAttribute('aria-pressed'), 'false');
  await page.getByRole('button', { name: 'Latency as a table' }).focus();
  await press('Enter');
  const table = page.locator('#charts .values table');
  assert.deepEqual(await table.locator('thead th').allInnerTexts(), ['From', 'p50', 'p95', 'p99']);
  assert.ok((await table.locator('tbody tr').count()) >= 14);
  const details = page.locator('.failover details');
  await details.nth(1).locator('summary').focus();
  await press('Enter');
  assert.ok(await details.nth(1).evaluate((element) => /** @type {HTMLDetailsElement} */ (element).open));
  feed.look();
  await page.waitForTimeout(200);
  assert.ok(
    await details.nth(1).evaluate((element) => /** @type {HTMLDetailsElement} */ (element).open),
    'it stays open with the next figures',
  );
  assert.deepEqual(problems, []);
});

test('dashboard looks: who wants no motion gets none', async (t) => {
  const { feed } = story({ seconds: 10, eventful: false });
  const { url } = await serve(t, handlerOf(feed));
  for (const [motion, expected] of /** @type {const} */ ([
    ['reduce', 0],
    ['no-preference', 1],
  ])) {
    const { page } = await browser.page(t, { motion });
    await page.goto(url);
    await isLive(page);
    assert.equal(await page.evaluate(() => document.getAnimations().length), expected, motion);
  }
});

test('dashboard looks: only changes of state are read out', async (t) => {
  const told = story({ seconds: 30, eventful: false });
  const { url } = await serve(t, handlerOf(told.feed));
  const { page } = await browser.page(t);
  await page.goto(url);
  await isLive(page);
  await page.evaluate(() => {
    /** @type {string[]} */
    const all = [];
    /** @type {any} */ (globalThis).told = all;
    for (const region of document.querySelectorAll('[aria-live], [role="status"], [role="alert"], [role="log"]')) {
      new MutationObserver(() => all.push(/** @type {HTMLElement} */ (region).innerText)).observe(region, {
        childList: true,
        characterData: true,
        subtree: true,
      });
    }
  });
  for (let count = 0; count < 3; count++) told.next();
  await page.waitForTimeout(300);
  assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).told), []);
  told.crash();
  told.next();
  told.next();
  await page.locator('.health[data-level="bad"]').waitFor();
  await page.waitForTimeout(300);
  assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).told), ['A failover is under way']);
});

test('dashboard looks: a page in the background keeps its title, gives its connection back after 15 minutes, and takes it again', async (t) => {
  const told = story({ seconds: 30, eventful: false });
  let open = 0;
  const handler = handlerOf(told.feed);
  const { url } = await serve(t, (request, response) => {
    if (request.url === '/events') {
      open++;
      response.on('close', () => open--);
    }
    handler(request, response);
  });
  const { page, problems } = await browser.page(t);
  await page.clock.install();
  await page.goto(url);
  await isLive(page);
  const setHidden = (/** @type {boolean} */ hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { configurable: true, value });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  await setHidden(true);
  told.crash();
  told.feed.look();
  await until('the title tells of the failover', async () => (await page.title()) === '! Failover · orders');
  await page.clock.runFor(14 * 60_000);
  assert.equal(open, 1);
  await page.clock.runFor(2 * 60_000);
  await until('the connection is given back', async () => open === 0);
  await page.clock.runFor(60_000);
  assert.equal(open, 0, 'it is not made again');
  assert.equal(await page.title(), 'orders');
  await setHidden(false);
  await page.locator('body[data-connection="live"]').waitFor();
  assert.equal(open, 1);
  assert.deepEqual(problems, []);
});

test('dashboard looks: what a server says is text, never markup', async (t) => {
  const told = story({ seconds: 10, eventful: false });
  const markup = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
  Object.assign(told.pool.nodeList[1], { state: 'down', lastError: markup });
  told.pool.errors(markup, 1);
  told.feed.look();
  const { url } = await serve(t, handlerOf(told.feed));
  const { page, problems } = await browser.page(t);
  page.on('dialog', (dialog) => {
    problems.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(url);
  await isLive(page);
  assert.equal(await page.locator('.nodes tr[data-state="down"] .reason').innerText(), markup);
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.deepEqual(problems, []);
});
