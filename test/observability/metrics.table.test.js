'use strict';

// docs/observability.md has every metric with its type and labels, and none that is not there. docs/operations.md has every alert.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { metricsOf } = require('../../lib/api/metrics.js');
const { fakePool } = require('./fake-pools.js');
const { readMetrics } = require('../support/exposition.js');
const { test } = require('../support/helpers.js');

/** @param {string[]} file */
const textOf = (...file) => fs.readFileSync(path.join(__dirname, '..', '..', 'docs', ...file), 'utf8');

/** The cells of the rows whose first cell begins so, without backticks. @param {string} text @param {string} start */
const rowsOf = (text, start) =>
  text
    .split('\n')
    .filter((line) => line.startsWith(`| \`${start}`))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.replaceAll('`', '').trim()),
    );

test('docs/observability.md has each metric once, with its type and its labels, in the order of the text', () => {
  const written = rowsOf(textOf('observability.md'), 'hyperiondb_').map(([name, type, labels]) => [name, type, labels]);
  const real = [...readMetrics(metricsOf([['orders', fakePool()]])).values()].map(({ name, type, samples }) => {
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
    labels.delete('pool');
    return [name, type, [...labels].join(', ')];
  });
  assert.deepEqual(written, real);
});

test('docs/operations.md has each alert with its severity', () => {
  const rules = textOf('operations', 'alerts.yml').matchAll(/- alert: (\w+)[\s\S]*?severity: (\w+)/g);
  assert.deepEqual(
    rowsOf(textOf('operations.md'), 'Hyperion').map(([name, severity]) => [name, severity]),
    Array.from(rules, ([, name, severity]) => [name, severity]),
  );
});
