'use strict';

// The facts about openDatabase() in each supported Node: over PostgreSQL, and over SQLite by better-sqlite3 in Node 20, by node:sqlite
// in Node 22 and 24. better-sqlite3 is built for one version of Node; it is tried in every version that can load it.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');
const { FACTS } = require('../database/conformance.js');
const { HANG_MS, loginOf, test, useCluster } = require('../support/helpers');
const { NotAvailableError } = require('./packages.js');
const { programOf } = require('./runtimes/install');

const db = useCluster({ nodes: 1 });

/** Where the facts must have been tried, at least. @type {[major: string, driver: string][]} */
const RUNTIMES = [
  ['20', 'better-sqlite3'],
  ['22', 'node:sqlite'],
  ['24', 'node:sqlite'],
];

/** What the program prints in a Node. @param {string} program */
async function linesOf(program) {
  const file = path.join(__dirname, 'database.program.js');
  const { stdout, stderr } = await promisify(execFile)(program, [file, JSON.stringify(loginOf(db.cluster))], {
    maxBuffer: 2 ** 26,
  });
  assert.equal(stderr, '');
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => /** @type {{ place: string, title: string, error?: string }} */ (JSON.parse(line)));
}

for (const [major, driver] of RUNTIMES) {
  // The runtimes are downloaded when they are first needed.
  test(`Node ${major}: the facts about openDatabase() hold on PostgreSQL and ${driver}`, {
    timeout: 10 * HANG_MS,
  }, async (t) => {
    /** @type {string} */
    let program;
    try {
      program = await programOf(`node-${major}`);
    } catch (error) {
      if (!(error instanceof NotAvailableError)) throw error;
      return t.skip(error.message);
    }
    const lines = await linesOf(program);
    assert.deepEqual(
      lines.filter(({ error }) => error !== undefined),
      [],
    );
    const places = [...new Set(lines.map(({ place }) => place))];
    for (const place of places) assert.equal(lines.filter((line) => line.place === place).length, FACTS.length, place);
    t.diagnostic(`${FACTS.length} facts on each of ${places.join(', ')}`);
    assert.ok(places.includes('postgres'));
    const ours = process.versions.node.split('.')[0];
    if (driver === 'better-sqlite3' && !places.includes(driver) && ours !== major) {
      return t.skip(`better-sqlite3 is built for Node ${ours} here`);
    }
    assert.ok(places.includes(driver), places.join());
  });
}
