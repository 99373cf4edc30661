'use strict';

// The environment variables of libpq that set session settings and have no keyword: PGTZ, PGGEQO, PGDATESTYLE.

const { OptionError } = require('../errors.js');

/** Of PGDATESTYLE only the order of day and month counts: it says how the server reads `1/2/2024`. */
const ORDERS = /** @type {[RegExp, string][]} */ ([
  [/^(dmy|euro.*)$/, 'DMY'],
  [/^(mdy|us|noneuro.*)$/, 'MDY'],
  [/^ymd$/, 'YMD'],
  // A style, which implies an order if none is named.
  [/^german$/, 'DMY'],
]);
const STYLES = /^(iso|sql|postgres.*|german)$/;

/**
 * Dates are always printed in ISO style, because the core reads what the server prints.
 * @param {string} value
 * @returns {string | undefined}
 */
function dateStyle(value) {
  const words = value.toLowerCase().split(/[\s,]+/);
  const orders = ORDERS.filter(([pattern]) => words.some((word) => pattern.test(word)));
  if (words.some((word) => !STYLES.test(word) && !ORDERS.some(([pattern]) => pattern.test(word)))) {
    throw new OptionError('PGDATESTYLE is not a DateStyle');
  }
  return orders.length === 0 ? undefined : `ISO, ${orders[0][1]}`;
}

/** @type {Record<string, { variable: string, read: (value: string) => string | undefined }>} */
const SETTINGS = {
  DateStyle: { variable: 'PGDATESTYLE', read: dateStyle },
  TimeZone: { variable: 'PGTZ', read: (value) => value },
  geqo: { variable: 'PGGEQO', read: (value) => value },
};

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} given settings that are said already, in whatever case
 * @returns {Record<string, string>}
 */
function environmentSettings(env, given) {
  const known = new Set(given.map((name) => name.toLowerCase()));
  /** @type {Record<string, string>} */
  const settings = {};
  for (const [name, { variable, read }] of Object.entries(SETTINGS)) {
    const value = env[variable];
    // libpq has a word for it.
    if (!value || value.toLowerCase() === 'default' || known.has(name.toLowerCase())) continue;
    const setting = read(value);
    if (setting !== undefined) settings[name] = setting;
  }
  return settings;
}

module.exports = { environmentSettings };
