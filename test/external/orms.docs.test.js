'use strict';

// The js blocks of docs/orms.md run as programs of their own, with the published libraries, and end by themselves.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ROOT, allBlocks } = require('../packaging/docs/blocks.js');
const { HANG_MS, test, useCluster } = require('../support/helpers.js');
const { NotAvailableError, Packages } = require('./packages.js');
const { programOf } = require('./runtimes/install.js');

const PAGE = 'docs/orms.md';
const INSTALL_MS = 600_000;
const packages = new Packages(path.join(__dirname, 'orms', 'packages'), 'orms');
const blocks = allBlocks().filter(({ file, language }) => file === PAGE && language === 'js');
const db = useCluster({ nodes: 3 });

/** The flags with which the first line of a block says that it is started. @param {string} text */
const flagsOf = (text) => /^\/\/ node (.*)/.exec(text)?.[1].split(' ') ?? [];

/** @param {string} node @param {import('../packaging/docs/blocks.js').Block} block */
function run(node, { text, note }) {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
  const { hosts, user, password, database } = db.cluster;
  const url = `postgres://${user}:${password}@${hosts}/${database}`;
  // Slonik's form for servers with ports of their own.
  const ofPage = text.replace('postgres://app:secret@db1,db2,db3:5432/shop', `postgres:///${database}?host=${hosts}`);
  const login = {
    DATABASE_URL: url,
    PGUSER: user,
    PGPASSWORD: password,
    PGHOST: hosts.join(),
    PGDATABASE: database,
    SESSION_SECRET: 'a secret of the documentation',
  };
  const args = [...flagsOf(text), path.join(__dirname, 'orms', 'block.js'), JSON.stringify({ text: ofPage, note })];
  return new Promise((resolve, reject) => {
    execFile(node, args, { env: { ...env, ...login }, timeout: HANG_MS }, (error, _stdout, stderr) =>
      error ? reject(error) : resolve(stderr),
    );
  });
}

test('docs: orms.md has an example for each library of its table', () => {
  const page = fs.readFileSync(path.join(ROOT, PAGE), 'utf8');
  const rows = page.match(/^\| \[.*$/gm) ?? [];
  const libraries = rows.map((row) => /^\| \[([^\]]+)\]/.exec(row)?.[1]);
  const sections = page.split(/^### /m).slice(1);
  const withExample = sections.filter((text) => text.includes('```js')).map((text) => text.split('\n')[0]);
  assert.ok(libraries.length >= 6);
  assert.deepEqual(withExample.sort(), libraries.sort());
});

for (const block of blocks) {
  const title = block.text.split('\n').find((line) => !line.startsWith('//'));
  test(`docs: ${PAGE}:${block.line} runs: ${title}`, { timeout: INSTALL_MS }, async (t) => {
    try {
      await packages.install();
      assert.equal(await run(await programOf('node-24'), block), '');
    } catch (error) {
      if (!(error instanceof NotAvailableError)) throw error;
      t.skip(error.message);
    }
  });
}
