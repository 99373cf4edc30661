'use strict';

// docs/clusters.md has everything that it is the only page for: the codes of errors, the events, and the names for Prometheus.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Metrics } = require('../../exports/clusters/metrics.js');
const { prometheusText } = require('../../exports/clusters/prometheus.js');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const FOLDER = path.join(ROOT, 'exports', 'clusters');
const textOf = (/** @type {string} */ file) => fs.readFileSync(file, 'utf8');
const page = textOf(path.join(ROOT, 'docs', 'clusters.md'));
const types = textOf(path.join(FOLDER, 'index.d.ts'));

/** @param {string} text @param {RegExp} pattern with one group */
const all = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, found]) => found))].sort();

const sources = fs
  .readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.js'))
  .map((name) => textOf(path.join(FOLDER, name)))
  .join('\n');

/** Codes of a single pool, which errors.md has: the sources only compare with them. */
const OF_POOLS = ['ERR_ACQUIRE_TIMEOUT', 'ERR_NO_PRIMARY'];

test('docs/clusters.md: every code that the sources name is there, and no other', () => {
  const named = all(sources, /'(ERR_[A-Z_]+)'/g).filter((code) => !OF_POOLS.includes(code));
  assert.ok(named.length > 15, named.join());
  assert.deepEqual(
    all(page, /`(ERR_[A-Z_]+)`/g).filter((code) => !named.includes(code) && !/^ERR_(INVALID|POOL)/.test(code)),
    [],
  );
  for (const code of named) assert.ok(page.includes(`\`${code}\``), code);
});

test('docs/clusters.md: every event of the types is there', () => {
  const [, members = ''] = /\nexport interface MultiClusterEvents \{\n([\s\S]*?)\n\}/.exec(types) ?? [];
  const events = all(members, /^ {2}(\w+): \[/gm);
  assert.ok(events.length > 10, events.join());
  for (const event of events) assert.ok(page.includes(`\`${event}\``), event);
});

test('docs/clusters.md: every metric for Prometheus is there, with its type, and no other', () => {
  const metrics = new Metrics();
  metrics.cluster('orders').record(1, true);
  const cache = { hits: 0, misses: 0, hitRate: 0, entries: 0, bytes: 0 };
  const transactions = { started: 0, committed: 0, aborted: 0, inDoubt: 0, recovered: 0 };
  const text = prometheusText(metrics.snapshot({ cache, transactions, connections: () => 0 }));
  const told = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`).sort();
  const written = [...page.matchAll(/^\| `(hyperiondb_clusters_\w+)` +\| (\w+) /gm)];
  assert.deepEqual(written.map(([, name, type]) => `${name} ${type}`).sort(), told);
});
