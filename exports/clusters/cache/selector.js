'use strict';

// What removes an entry: labels for its cluster, its schema, its tags, and the name that its caller gave it. An invalidation selects by
// one of these, or by a pattern for the names.

const { ParameterError } = require('../../../client.js');

/**
 * @typedef {object} Selector
 * @property {readonly string[]} labels an entry with any of them is removed
 * @property {(label: string) => boolean} [isMatch] in place of `labels`: which labels remove an entry
 * @property {object} asked as it was asked for
 */

/** More would be more than a script of Redis takes at once. */
const MOST_TAGS = 100;

/** Every entry has it. */
const EVERYTHING = '*';

const LABELS = {
  cluster: (/** @type {string} */ id) => `c:${id}`,
  schema: (/** @type {string} */ schema) => `s:${schema}`,
  tag: (/** @type {string} */ tag) => `t:${tag}`,
  key: (/** @type {string} */ key) => `k:${key}`,
};

/** @param {unknown} value @param {string} name @returns {string} */
function text(value, name) {
  if (typeof value !== 'string' || value === '') throw new ParameterError(`${name} must be a string that is not empty`);
  if (!value.isWellFormed()) throw new ParameterError(`${name} is no well-formed text`);
  return value;
}

/** @param {unknown} value @returns {string[]} */
function tagsOf(value) {
  if (!Array.isArray(value)) throw new ParameterError('tags must be an array of strings');
  if (value.length > MOST_TAGS) throw new ParameterError(`tags must be ${MOST_TAGS} at most, not ${value.length}`);
  return [...new Set(value.map((tag, index) => text(tag, `tags[${index}]`)))].sort();
}

/**
 * What removes the entry of a call.
 * @param {{ clusterId: string, schema?: string, tags?: readonly string[], cacheKey?: string }} call
 */
function labelsOf({ clusterId, schema, tags, cacheKey }) {
  const labels = [LABELS.cluster(clusterId)];
  if (schema !== undefined) labels.push(LABELS.schema(schema));
  if (tags !== undefined) labels.push(...tagsOf(tags).map(LABELS.tag));
  if (cacheKey !== undefined) labels.push(LABELS.key(text(cacheKey, 'cacheKey')));
  return labels;
}

/** The character that begins at `at`, both halves of a surrogate pair. @param {string} value @param {number} at */
const characterAt = (value, at) => String.fromCodePoint(/** @type {number} */ (value.codePointAt(at)));

/**
 * Whether a pattern matches a whole text: `*` is any characters, `?` is one. In time that grows with the product of the lengths at
 * most, which a regular expression does not promise.
 * @param {string} pattern
 * @param {string} value
 */
function matches(pattern, value) {
  let [at, start] = [0, 0];
  /** Where the last star is, and where the text goes on behind what it has taken. */
  let [star, taken] = [-1, 0];
  while (start < value.length) {
    const next = characterAt(value, start);
    if (pattern[at] === '*') {
      [star, taken] = [at++, start];
    } else if (at < pattern.length && (pattern[at] === '?' || pattern.startsWith(next, at))) {
      at += pattern[at] === '?' ? 1 : next.length;
      start += next.length;
    } else if (star >= 0) {
      taken += characterAt(value, taken).length;
      [at, start] = [star + 1, taken];
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/** @type {Record<string, (value: any) => Omit<Selector, 'asked'>>} */
const SELECTORS = {
  schema: (value) => ({ labels: [LABELS.schema(text(value, 'schema'))] }),
  cluster: (value) => ({ labels: [LABELS.cluster(text(value, 'cluster'))] }),
  tags: (value) => ({ labels: tagsOf(value).map(LABELS.tag) }),
  key: (value) => ({ labels: [LABELS.key(text(value, 'key'))] }),
  pattern: (value) => {
    const pattern = text(value, 'pattern');
    return { labels: [], isMatch: (label) => label.startsWith(LABELS.key('')) && matches(pattern, label.slice(2)) };
  },
};

/**
 * An invalidation, checked.
 * @param {any} asked
 * @returns {Selector}
 */
function selectorOf(asked) {
  const names = Object.keys(SELECTORS);
  const given = typeof asked === 'object' && asked !== null ? Object.keys(asked) : [];
  if (given.length !== 1 || !names.includes(given[0])) {
    throw new ParameterError(`an invalidation has exactly one of the members ${names.join(', ')}`);
  }
  const [name] = given;
  return { ...SELECTORS[name](asked[name]), asked: { [name]: asked[name] } };
}

/** Selects every entry. @type {Selector} */
const everything = { labels: [], isMatch: () => true, asked: { everything: true } };

/** Whether an invalidation concerns an entry with these labels. @param {Selector} selector @param {readonly string[]} labels */
const concerns = ({ labels: selected, isMatch }, labels) =>
  isMatch === undefined ? labels.some((label) => selected.includes(label)) : labels.some(isMatch);

module.exports = { EVERYTHING, concerns, everything, labelsOf, selectorOf };
