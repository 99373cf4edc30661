'use strict';

// A program that is traced on every supported version of Node: runStores() and the context of OpenTelemetry are code of Node. In the
// full run on all of them, else on the one that runs this.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');
const { NotAvailableError } = require('../external/packages.js');
const { programOf } = require('../external/runtimes/install.js');
const { test, useCluster } = require('../support/helpers.js');

const run = promisify(execFile);
const INSTALL_MS = 600_000;
const db = useCluster({ nodes: 1, synchronous: false });

const VERSIONS = process.env.HYPERION_FULL === '1' ? ['20', '22', '24'] : [];

/** @param {string} node */
async function check(node) {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
  const program = path.join(__dirname, 'otel.program.js');
  const { stdout } = await run(node, [program, JSON.stringify(db.options())], { env });
  const transaction = `transaction ${db.cluster.database}`;
  assert.deepEqual(JSON.parse(stdout), {
    tree: [
      ['SELECT', transaction],
      ['VALUES', 'step'],
      ['step', transaction],
      [transaction, 'request'],
      ['SHOW', 'request'],
      ['request', null],
    ],
    durations: 3,
  });
}

test('otel: a program of its own is traced', () => check(process.execPath));

for (const major of VERSIONS) {
  test(`otel: a program on Node ${major} is traced`, { timeout: INSTALL_MS }, async (t) => {
    let node = '';
    try {
      node = await programOf(`node-${major}`);
    } catch (error) {
      if (!(error instanceof NotAvailableError)) throw error;
      t.skip(error.message);
      return;
    }
    await check(node);
  });
}
