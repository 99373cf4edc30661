'use strict';

// Finds the known name for `did you mean`.

/**
 * How many letters are inserted, left out, changed or swapped with their neighbour (optimal string alignment).
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
  /** @type {number[][]} */
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  for (let j = 1; j <= b.length; j++) rows[0][j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const changed = rows[i - 1][j - 1] + Number(a[i - 1] !== b[j - 1]);
      let best = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, changed);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2][j - 2] + 1);
      rows[i][j] = best;
    }
  }
  return rows[a.length][b.length];
}

/** `pool_size` and `PoolSize` are `poolSize`. @param {string} name */
const plain = (name) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');

/** Names are also equal but for their unit: `statementTimeout`, `idleTimeoutMillis`. @param {string} name */
const withoutUnit = (name) => plain(name).replace(/(ms|millis)$/, '');

/** A longer text is not a misspelt name. */
const LONGEST = 40;

/**
 * The known name that is equal to `name` but for case and separators, or differs in a third of its letters at most.
 * @param {string} name
 * @param {readonly string[]} known
 */
function nearest(name, known) {
  const wanted = plain(name);
  if (wanted === '' || wanted.length > LONGEST) return undefined;
  const same =
    known.find((one) => plain(one) === wanted) ?? known.find((one) => withoutUnit(one) === withoutUnit(name));
  if (same !== undefined) return same;
  const scored = known.map((one) => ({ one, score: distance(wanted, plain(one)) }));
  const best = scored.reduce((a, b) => (b.score < a.score ? b : a), { one: '', score: Infinity });
  return best.score <= Math.floor(wanted.length / 3) ? best.one : undefined;
}

/**
 * `: did you mean 'x'?`, or nothing.
 * @param {string} name
 * @param {readonly string[]} known
 * @param {Readonly<Record<string, string>>} [elsewhere] what others call some of them
 * @param {string} [prefix]
 */
function didYouMean(name, known, elsewhere = {}, prefix = '') {
  const found = nearest(name, [...known, ...Object.keys(elsewhere)]);
  const meant = found !== undefined && Object.hasOwn(elsewhere, found) ? elsewhere[found] : found;
  return meant === undefined ? '' : `: did you mean '${prefix}${meant}'?`;
}

module.exports = { didYouMean, distance, nearest };
