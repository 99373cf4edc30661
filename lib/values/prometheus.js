'use strict';

// The text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4): the one place that writes it.
// Names follow prometheus.io/docs/practices/naming: base units, `_total` for what only grows.

/** What a response with the text says that it is. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** @typedef {{ suffix?: string, labels?: Readonly<Record<string, string>>, value: number }} Sample */
/** @typedef {'counter' | 'gauge' | 'histogram'} Type */
/** @typedef {{ name: string, type: Type, help: string, samples: Sample[] }} Family */

/** @type {Record<string, string>} A NUL would end the text for the parser of Prometheus, as the end of a string in C. */
const ESCAPES = { '\\': '\\\\', '"': '\\"', '\n': '\\n', '\0': '\u{fffd}' };
const SPECIAL = /[\\"\n\0]/;
const SPECIALS = new RegExp(SPECIAL, 'g');

/** Nearly every label is written as it is, and a scrape has thousands. @param {string} value */
const labelValue = (value) =>
  SPECIAL.test(value) ? value.replace(SPECIALS, (character) => ESCAPES[character]) : value;

/** @type {Record<string, string>} */
const NONE = {};

/** @param {number} value */
const numeral = (value) => (value === Number.POSITIVE_INFINITY ? '+Inf' : String(value));

/** @param {Readonly<Record<string, string>>} labels */
function labelText(labels) {
  let text = '';
  for (const name of Object.keys(labels)) {
    text += `${text === '' ? '{' : ','}${name}="${labelValue(labels[name])}"`;
  }
  return text === '' ? '' : `${text}}`;
}

/**
 * The samples of one histogram.
 * @param {Readonly<Record<string, string>>} labels
 * @param {{ buckets: { le: number, count: number }[], sum: number, count: number }} histogram `buckets`: how many values were at most
 *   `le`, ascending, the last with `le` Infinity
 * @returns {Sample[]}
 */
const histogramSamples = (labels, { buckets, sum, count }) => [
  ...buckets.map(({ le, count: value }) => ({ suffix: '_bucket', labels: { ...labels, le: numeral(le) }, value })),
  { suffix: '_sum', labels, value: sum },
  { suffix: '_count', labels, value: count },
];

/**
 * The text. A family without samples is left out.
 * @param {Family[]} families
 */
function prometheusText(families) {
  let text = '';
  for (const { name, type, help, samples } of families) {
    if (samples.length === 0) continue;
    text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    for (const { suffix = '', labels = NONE, value } of samples) {
      text += `${name}${suffix}${labelText(labels)} ${numeral(value)}\n`;
    }
  }
  return text;
}

module.exports = { CONTENT_TYPE, histogramSamples, prometheusText };
