'use strict';

// Writes the screenshots of docs/dashboard.md from the page itself, over a pool whose counts are those of dashboard.story.js:
//
//   node test/observability/dashboard.screenshots.js [folder]

const http = require('node:http');
const path = require('node:path');
const { FLAGS, chromium, handlerOf, isLive } = require('./dashboard.support.js');
const { story } = require('./dashboard.story.js');

/** @typedef {{ name: string, width: number, height?: number, theme: 'dark' | 'light', isFailover?: boolean }} Shot `height`: none: the whole page */

/** @type {Shot[]} */
const SHOTS = [
  { name: 'dashboard-dark', width: 1440, height: 1060, theme: 'dark' },
  { name: 'dashboard-light', width: 1440, height: 1060, theme: 'light' },
  { name: 'dashboard-failover', width: 1280, height: 620, theme: 'light', isFailover: true },
  { name: 'dashboard-narrow', width: 390, height: 844, theme: 'dark' },
];

async function main() {
  const folder = path.resolve(process.argv[2] ?? path.join(__dirname, '..', '..', 'docs'));
  const { chromium: launcher } = require('playwright-core');
  const browser = await launcher.launch({ executablePath: chromium(), args: FLAGS });
  try {
    for (const { name, width, height, theme, isFailover } of SHOTS) {
      const { feed, crash, next } = story();
      const server = http.createServer(handlerOf(feed));
      await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      const page = await browser.newPage({
        viewport: { width, height: height ?? 900 },
        colorScheme: theme,
        reducedMotion: 'reduce',
      });
      await page.goto(`http://127.0.0.1:${port}/`);
      await isLive(page);
      if (isFailover) {
        next();
        crash();
        await page.waitForTimeout(1_600);
        next();
        await page.locator('.health[data-level="bad"]').waitFor();
      }
      await page.waitForTimeout(500);
      await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: height === undefined });
      await page.close();
      server.close();
      server.closeAllConnections();
      console.log(`${name}.png`);
    }
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
