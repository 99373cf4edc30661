'use strict';

// The options of pool.dashboard(), a row each.

const { ParameterError } = require('../errors.js');
const { kindOf, nonEmpty, string } = require('./validate.js');

/** @typedef {import('./validate.js').Rows} Rows */

/** A shorter one could be guessed. */
const LEAST_TOKEN = 16;

/** @param {unknown} value @param {string} name */
function token(value, name) {
  if (string(name, value).length < LEAST_TOKEN) {
    throw new ParameterError(`${name} must have ${LEAST_TOKEN} characters at least: a short one can be guessed`);
  }
  return value;
}

/** @param {unknown} value @param {string} name */
function path(value, name) {
  if (!/^\/([\w.~-]+\/)*$/.test(string(name, value))) {
    throw new ParameterError(`${name} must begin and end with a slash, as '/admin/database/' does`);
  }
  return value;
}

/** @param {unknown} value @param {string} name */
function hosts(value, name) {
  if (!Array.isArray(value) || value.length === 0) {
    throw new ParameterError(
      `${name} must be an array of host names, not ${Array.isArray(value) ? '[]' : kindOf(value)}`,
    );
  }
  for (const [index, host] of value.entries()) {
    if (/[/@\s]/.test(nonEmpty(`${name}[${index}]`, host))) {
      throw new ParameterError(
        `${name}[${index}] must be a host as it stands in a URL: 'localhost', '[::1]', 'db.test:8432'`,
      );
    }
  }
  return value;
}

/** @satisfies {Rows} */
const DASHBOARD = {
  token: {
    type: 'string',
    preset: 'none',
    check: token,
    text: 'what a browser must show, once: open the page with `?token=...`',
    more:
      'The page keeps it as a cookie that scripts cannot read; programs send `Authorization: Bearer ...`. Without it whoever reaches ' +
      'the handler sees the page: guard it as the other internal pages of the service are guarded.',
  },
  path: {
    type: 'string',
    preset: 'any',
    check: path,
    text: 'where the page is, with a slash at both ends',
    more: 'Any other path is not found then. Without it the page is wherever the handler is mounted.',
  },
  allowedHosts: {
    type: 'string[]',
    preset: 'any',
    check: hosts,
    text: 'the hosts under which the page may be asked for; the port may be left out',
    more:
      'For a page on loopback without a token: another site whose name resolves to 127.0.0.1 (DNS rebinding) sends its own name, and is ' +
      'refused.',
  },
};

module.exports = { DASHBOARD };
