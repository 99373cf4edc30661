'use strict';

// The options of MultiClusterPostgres itself, a row each.

const client = /** @type {any} */ (require('../../client.js'));
const { checkCache } = require('./cache/rows.js');
const { HEALTH } = require('./health-rows.js');
const { DECISIONS } = require('./two-phase/rows.js');

const { boolean, members, plainObject, refuseUnknown } = client[Symbol.for('hyperiondb-client.options')];

/** @param {string} text @returns {any} */
const enabled = (text) => ({ type: 'boolean', value: true, check: boolean, text });

/** @param {object} rows @param {string} type @param {string} text */
const group = (rows, type, text) => ({
  type,
  value: {},
  preset: '`{}`',
  check: (/** @type {unknown} */ value, /** @type {string} */ name) => members(name, value, rows),
  text,
});

const CONSTRUCTOR = {
  enableCache: enabled('`false`: a call with `cache: true` goes to the database, and there is no cache'),
  enableMetrics: enabled('`false`: nothing is counted, and `getMetrics()` is refused'),
  enableTransactions: enabled('`false`: no transaction spans clusters, so no table of decisions is made or looked at'),
  cache: { type: 'CacheOptions', value: {}, preset: '`{}`', check: checkCache, text: 'the cache of results' },
  cluster: group(HEALTH, 'HealthOptions', 'how the clusters are watched'),
  decisions: group(
    DECISIONS,
    'DecisionOptions',
    'transactions that span clusters, and what finishes them after a crash',
  ),
};

/** @param {unknown} given */
function checkOptions(given = {}) {
  const options = plainObject('options', given);
  refuseUnknown(options, CONSTRUCTOR);
  return /** @type {Record<string, any>} */ (
    Object.fromEntries(
      Object.entries(CONSTRUCTOR).map(([name, { value, check }]) => [
        name,
        check(options[name] === undefined ? value : options[name], name),
      ]),
    )
  );
}

module.exports = { CONSTRUCTOR, checkOptions };
