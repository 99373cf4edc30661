'use strict';

// What the tests of the dashboard need: a server for a page, requests as a hostile client makes them, and Debian's Chromium.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const { after, before } = require('node:test');
const { dashboardHandler, dashboardOptions } = require('../../lib/api/dashboard/index.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { UnsupportedError } = require('../support/cluster');
const { canInstall, findProgram, installPackages } = require('../support/programs.js');

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {(request: any, response: any) => void} Handler */

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** @param {any} feed @param {Record<string, unknown>} [options] */
const handlerOf = (feed, options = {}) => dashboardHandler(feed, dashboardOptions(options));

/**
 * A server that ends with its test.
 * @param {import('node:test').TestContext} t
 * @param {Handler} handler
 * @param {number} [port]
 */
async function serve(t, handler, port) {
  const server = http.createServer(handler);
  const chosen = port ?? (await freePort());
  await new Promise((resolve) => server.listen(chosen, '127.0.0.1', () => resolve(undefined)));
  const stop = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  t.after(stop);
  return { port: chosen, url: `http://127.0.0.1:${chosen}`, server, stop };
}

/**
 * A request whose path and headers are sent as they are.
 * @param {number} port
 * @param {string} path
 * @param {{ method?: string, headers?: Record<string, string | string[]> }} [options]
 * @returns {Promise<{ status: number, headers: import('node:http').IncomingHttpHeaders, body: string }>}
 */
function ask(port, path, { method = 'GET', headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    request.on('error', reject).end();
  });
}

/**
 * A viewer that is no browser: the events that it has got.
 * @param {number} port
 * @param {string} [path]
 * @param {Record<string, string>} [headers]
 */
async function viewer(port, path = '/events', headers = {}) {
  /** @type {{ event: string, data: any }[]} */
  const events = [];
  let isEnded = false;
  let rest = '';
  const request = http.get({ host: '127.0.0.1', port, path, headers, agent: false });
  /** @type {import('node:http').IncomingMessage} */
  const response = await new Promise((resolve, reject) => {
    request.on('response', resolve).on('error', reject);
  });
  request.on('error', () => {});
  response.on('error', () => {});
  response.on('close', () => {
    isEnded = true;
  });
  response.setEncoding('utf8').on('data', (text) => {
    const parts = (rest + text).split('\n\n');
    rest = /** @type {string} */ (parts.pop());
    for (const part of parts) {
      const [, event, data] = /** @type {RegExpExecArray} */ (/^event: (\w+)\ndata: (.*)$/.exec(part));
      events.push({ event, data: JSON.parse(data) });
    }
  });
  return {
    ...{ request, response, events },
    get isEnded() {
      return isEnded;
    },
    close: () => request.destroy(),
  };
}

/** @returns {string} the program; throws what makes `test` skip */
function chromium() {
  const find = () => findProgram('chromium', 'HYPERION_CHROMIUM', null);
  let found = find();
  if (found === null && canInstall()) {
    installPackages(['chromium']);
    found = find();
  }
  if (found === null) throw new UnsupportedError('chromium', 'it is not there: apt-get install chromium');
  return found.command[0];
}

/** A Chromium for all tests of a file. */
function useBrowser() {
  /** @type {import('playwright-core').Browser | undefined} */
  let browser;
  /** @type {unknown} */
  let problem;
  before(async () => {
    try {
      const { chromium: launcher } = require('playwright-core');
      browser = await launcher.launch({ executablePath: chromium(), args: FLAGS });
    } catch (error) {
      problem = error;
    }
  });
  after(() => browser?.close());
  return {
    /**
     * A page that closes with its test, and what went wrong on it: messages of the console, violations of the policy, requests to others.
     * @param {import('node:test').TestContext} t
     * @param {{ width?: number, height?: number, theme?: 'dark' | 'light', motion?: 'reduce' | 'no-preference' }} [options]
     */
    async page(t, { width = 1280, height = 900, theme = 'light', motion = 'reduce' } = {}) {
      if (browser === undefined) throw problem;
      const context = await browser.newContext({
        ...{ viewport: { width, height }, colorScheme: theme, reducedMotion: motion },
        ...{ locale: 'en-GB', timezoneId: 'UTC' },
      });
      t.after(() => context.close());
      const page = await context.newPage();
      /** @type {string[]} */
      const problems = [];
      await page.exposeBinding('tellViolation', (_, text) => problems.push(`policy: ${text}`));
      await page.addInitScript(() => {
        addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
          /** @type {any} */ (globalThis).tellViolation(`${violatedDirective} ${blockedURI}`);
        });
      });
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()}`);
      });
      page.on('pageerror', (error) => problems.push(`exception: ${error.stack}`));
      page.on('request', (request) => {
        const { origin } = new URL(page.url().startsWith('http') ? page.url() : request.url());
        if (new URL(request.url()).origin !== origin) problems.push(`request: ${request.url()}`);
      });
      return { page, problems };
    },
  };
}

/** The page shows live figures. @param {Page} page */
async function isLive(page) {
  await page.locator('body[data-connection="live"]').waitFor();
  await page.locator('.nodes tbody tr').first().waitFor();
  await page.locator('.chart canvas').first().waitFor();
}

const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds that is serious or critical. @param {Page} page @returns {Promise<string[]>} */
async function seriousFindings(page) {
  // By the debugger, which the policy of the page does not bind.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() => /** @type {any} */ (globalThis).axe.run());
  assert.ok(passes.length > 15, 'axe has looked at something');
  return violations
    .filter((/** @type {any} */ { impact }) => impact === 'serious' || impact === 'critical')
    .flatMap((/** @type {any} */ { id, impact, nodes }) =>
      nodes.map(
        (/** @type {any} */ { target, failureSummary }) => `${impact} ${id}: ${target.join(' ')}: ${failureSummary}`,
      ),
    );
}

/** By how many pixels the page is wider than its window. @param {Page} page @returns {Promise<number>} */
const sideways = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

module.exports = {
  FLAGS,
  ask,
  chromium,
  handlerOf,
  isLive,
  seriousFindings,
  serve,
  sideways,
  useBrowser,
  viewer,
};
