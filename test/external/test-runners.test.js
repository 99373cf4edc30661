'use strict';

// hyperiondb-client/testing in the runners that people use: node:test, jest, vitest and mocha, each in a process of its own with the
// same tests.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { before } = require('node:test');
const { NotAvailableError } = require('./packages.js');
const { HANG_MS, test, useCluster } = require('../support/helpers.js');
const { RUNNERS, packages } = require('./test-runners/index.js');

/** @typedef {import('./test-runners/index.js').Runner} Runner */

const ROOT = path.join(__dirname, '..', '..');
const INSTALL_MS = 600_000;
const db = useCluster({ nodes: 1 });
/** Why the runners are not there. */
let missing = '';

before(
  async () => {
    await db.started;
    await db.sql('DROP TABLE IF EXISTS kept; CREATE TABLE kept (id int PRIMARY KEY)');
    try {
      await packages.install();
    } catch (error) {
      if (!(error instanceof NotAvailableError)) throw error;
      missing = error.message;
    }
  },
  { timeout: INSTALL_MS },
);

/** @param {Runner} runner @param {NodeJS.ProcessEnv} [more] @returns {Promise<{ code: number | null, stdout: string, stderr: string }>} */
function run(runner, more) {
  // NODE_TEST_CONTEXT would make node:test report to this process.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, runner.args(), {
    cwd: ROOT,
    env: { ...env, KIT_OPTIONS: JSON.stringify(db.options()), ...more },
    timeout: HANG_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = { stdout: '', stderr: '' };
  for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
    child[name].setEncoding('utf8').on('data', (text) => {
      out[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...out }));
  });
}

/** @type {Record<string, 'passed' | 'skipped'>} */
const EXPECTED = {
  'writes a row': 'passed',
  'writes the same row': 'passed',
  'leaves an error behind': 'passed',
  'leaves a savepoint behind': 'passed',
  'has transactions within': 'passed',
  'starts a server': 'passed',
};
/** jest has no way to skip a test that runs; only node:test has subtests. @param {Runner} runner */
const expectedOf = ({ name }) => ({
  ...EXPECTED,
  ...(name === 'node:test' ? { 'has subtests': 'passed', one: 'passed', two: 'passed' } : {}),
  ...(name === 'jest' ? {} : { 'is skipped where nothing answers': 'skipped' }),
});

for (const runner of RUNNERS) {
  test(`${runner.name}: each test is in a transaction that is undone, and one without a server is skipped`, async (t) => {
    if (missing) return t.skip(missing);
    const { code, stdout, stderr } = await run(runner);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.deepEqual(runner.outcomes(stdout), expectedOf(runner));
    assert.deepEqual(await db.sql('SELECT id FROM kept'), []);
  });

  test(`${runner.name}: a test whose transaction cannot be undone as it should fails, in its hook`, async (t) => {
    if (missing) return t.skip(missing);
    const { code, stdout, stderr } = await run(runner, { KIT_BROKEN: '1' });
    assert.notEqual(code, 0);
    assert.match(`${stdout}\n${stderr}`, /a test within this one has not ended/);
    assert.deepEqual(await db.sql('SELECT id FROM kept'), []);
  });
}
