'use strict';

// Reads the text format of Prometheus: strictly line by line, and with the parser of another package, whose results must be the same.

const assert = require('node:assert/strict');
// @ts-expect-error it has no types
const parsePrometheusTextFormat = require('parse-prometheus-text-format');

/** @typedef {{ name: string, labels: Record<string, string>, value: number }} Sample */
/** @typedef {{ name: string, type: string, help: string, samples: Sample[] }} Family */

const SUFFIXES = ['_bucket', '_sum', '_count'];

/** @param {string} text */
const numberOf = (text) => Number(text.replace('+Inf', 'Infinity'));

/** @param {string} line @param {Family} family */
function sampleOf(line, family) {
  const sample = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/s.exec(line);
  assert.ok(sample !== null, `not a line of the format: ${line}`);
  const [, name, labelText = '', value] = sample;
  const suffixes = family.type === 'histogram' ? SUFFIXES : [''];
  assert.ok(suffixes.map((suffix) => family.name + suffix).includes(name), `${name} does not belong to ${family.name}`);
  /** @type {Record<string, string>} */
  const labels = {};
  const rest = labelText.replace(/([a-zA-Z_]\w*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/g, (_, label, escaped) => {
    assert.ok(!Object.hasOwn(labels, label), `${label} is written twice: ${line}`);
    labels[label] = escaped.replace(/\\(.)/g, (/** @type {string} */ __, /** @type {string} */ c) =>
      c === 'n' ? '\n' : c,
    );
    return '';
  });
  assert.equal(rest, '', `labels that are none: ${labelText}`);
  assert.match(value, /^(\+Inf|-?\d+(\.\d+)?(e[+-]\d+)?)$/);
  return { name, labels, value: numberOf(value) };
}

/** @param {Sample} sample */
const keyOf = ({ name, labels }) => JSON.stringify([name, ...Object.entries(labels).sort()]);

/**
 * What the other parser has found. Of histograms it drops the labels, and takes several for one: their lines are given to it as samples
 * without a type.
 * @param {string} text
 * @returns {Sample[]}
 */
function readByOther(text) {
  const untyped = text.replace(/^# HELP .*\n# TYPE .* histogram\n/gm, '');
  return parsePrometheusTextFormat(untyped).flatMap((/** @type {any} */ { name, metrics }) =>
    metrics.map((/** @type {any} */ { labels = {}, value }) => ({ name, labels, value: numberOf(value) })),
  );
}

/** @param {Sample[]} samples */
const sorted = (samples) => samples.map((sample) => `${keyOf(sample)} ${sample.value}`).sort();

/**
 * Every line is a HELP, a TYPE or a sample of the family that was declared last, and no series is written twice.
 * @param {string} text
 * @returns {Map<string, Family>}
 */
function readMetrics(text) {
  assert.ok(text.endsWith('\n'));
  /** @type {Map<string, Family>} */
  const families = new Map();
  const seen = new Set();
  /** @type {any} */
  let family;
  for (const line of text.split('\n').slice(0, -1)) {
    const help = /^# HELP ([a-z_]+) (.+)$/.exec(line);
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (help !== null) {
      assert.ok(!families.has(help[1]), `${help[1]} is declared twice`);
      family = { name: help[1], help: help[2], samples: [] };
      families.set(help[1], family);
    } else if (type !== null) {
      assert.equal(type[1], family.name);
      family.type = type[2];
    } else {
      const sample = sampleOf(line, family);
      assert.ok(!seen.has(keyOf(sample)), `a series is written twice: ${line}`);
      seen.add(keyOf(sample));
      family.samples.push(sample);
    }
  }
  assert.deepEqual(sorted(readByOther(text)), sorted([...families.values()].flatMap(({ samples }) => samples)));
  return families;
}

/**
 * The value of one series.
 * @param {Map<string, Family>} families
 * @param {string} name
 * @param {Record<string, string>} [labels] those that it has at least
 */
function seriesValue(families, name, labels = {}) {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
  const found = (family?.samples ?? []).filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  assert.equal(found.length, 1, `${found.length} series of ${name} with ${JSON.stringify(labels)}`);
  return found[0].value;
}

module.exports = { readMetrics, seriesValue };
