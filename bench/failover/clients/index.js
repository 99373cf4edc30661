'use strict';

// The clients, and the ways to set each one up. `best` is the one that counts; `--variants` runs all of them.

/** @typedef {import('../types').Participant} Participant */
/** @typedef {import('../types').Variant} Variant */

/**
 * `read-write` is satisfied by a standby (it looks at default_transaction_read_only, which a standby reports as off), so that
 * writes fail until such a session ends by itself. With `primary` nothing but max_lifetime makes it leave a silent node, and
 * then only in part; 5 s is too short for anything but this. The order of hosts makes no difference beyond chance.
 *
 * @type {Record<string, Variant>}
 */
const POSTGRES = {};
for (const attrs of /** @type {const} */ (['read-write', 'primary'])) {
  for (const primary of /** @type {const} */ (['first', 'last'])) {
    POSTGRES[`${attrs}, primary ${primary}`] = { primary, settings: { attrs } };
    POSTGRES[`${attrs}, primary ${primary}, max_lifetime 5`] = { primary, settings: { attrs, maxLifetime: 5 } };
  }
}

/** The limit is nodeTimeoutMs's default, after which this repository's client gives up a silent node. @type {Record<string, Variant>} */
const PG = {
  'query_timeout 3 s, primary first': { primary: 'first', settings: { queryTimeoutMs: 3_000 } },
  'query_timeout 3 s, primary last': { primary: 'last', settings: { queryTimeoutMs: 3_000 } },
  'no query_timeout, primary first': { primary: 'first', settings: {} },
};

/** @type {Participant[]} */
exports.PARTICIPANTS = [
  {
    name: 'hyperion',
    label: 'hyperiondb-client',
    best: 'defaults, primary first',
    variants: {
      'defaults, primary first': { primary: 'first', settings: {} },
      'defaults, primary last': { primary: 'last', settings: {} },
    },
  },
  { name: 'pg', label: 'pg with a wrapper', best: 'query_timeout 3 s, primary first', variants: PG },
  {
    name: 'postgres',
    label: 'postgres (postgres.js)',
    best: 'primary, primary first, max_lifetime 5',
    variants: POSTGRES,
  },
];
