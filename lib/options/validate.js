'use strict';

// Checks of options, each with an error that names the option and prints no value that may be a secret.

const { OptionError } = require('../errors.js');
const { didYouMean } = require('./did-you-mean.js');

/**
 * An option, or a member of one: what the check, docs/configuration.md and client.d.ts are made of (scripts/options.js).
 * @typedef {object} Row
 * @property {string} type as TypeScript writes it
 * @property {unknown} [value] its default; none: another option, the environment or the server has it
 * @property {string} [preset] how documentation writes the default, where the value does not say it
 * @property {(value: any, name: string) => unknown} check throws an OptionError, or returns what the pool works with
 * @property {true} [local] the core is not told: JavaScript alone works with it
 * @property {string} text what it is: a sentence, without a full stop
 * @property {string} [more] more sentences, for client.d.ts
 * @property {string} [link] where docs/configuration.md says more
 */
/** @typedef {Readonly<Record<string, Row>>} Rows */

/** The largest delay a timer takes. */
const MAX_MS = 0x7fff_ffff;

/** @param {unknown} value */
const kindOf = (value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/**
 * @param {string} name
 * @param {unknown} value
 */
function string(name, value) {
  if (typeof value !== 'string') throw new OptionError(`${name} must be a string, not ${kindOf(value)}`);
  if (value.includes('\0')) throw new OptionError(`${name} contains a NUL character`);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function nonEmpty(name, value) {
  if (string(name, value) === '') throw new OptionError(`${name} must not be empty`);
  return /** @type {string} */ (value);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
function integer(name, value, least, most) {
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw new OptionError(`${name} must be an integer, not ${typeof value === 'number' ? value : kindOf(value)}`);
  }
  if (value < least || value > most) throw new OptionError(`${name} must be from ${least} to ${most}, not ${value}`);
  return value;
}

/** @param {string} name @param {unknown} value @param {number} most */
function finite(name, value, most) {
  if (typeof value !== 'number' || !(value >= 0 && value <= most)) {
    const range = most === Number.MAX_VALUE ? 'a finite number from 0' : `a number from 0 to ${most}`;
    throw new OptionError(`${name} must be ${range}, not ${typeof value === 'number' ? value : kindOf(value)}`);
  }
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {readonly string[]} choices
 */
function oneOf(name, value, choices) {
  if (typeof value !== 'string' || !choices.includes(value)) {
    const given = typeof value === 'string' ? `'${value}'` : kindOf(value);
    throw new OptionError(`${name} must be one of ${choices.map((c) => `'${c}'`).join(', ')}, not ${given}`);
  }
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function plainObject(name, value) {
  if (kindOf(value) !== 'object') throw new OptionError(`${name} must be an object, not ${kindOf(value)}`);
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * Refuses a member that no row describes, and names the nearest known one. It is used for every object with options.
 * @param {Readonly<Record<string, unknown>>} given
 * @param {Readonly<Record<string, unknown>>} rows
 * @param {{ path?: string, elsewhere?: Record<string, string>, hint?: string, reasons?: Record<string, string> }} [more]
 *   `path`: the option whose members these are; `elsewhere`: names that other clients use; `hint`: what helps when no known name
 *   is near; `reasons`: why names that are known elsewhere are refused here
 */
function refuseUnknown(given, rows, { path = '', elsewhere = {}, hint = '', reasons = {} } = {}) {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(rows, name)) continue;
    if (Object.hasOwn(reasons, name)) throw new OptionError(`${name}: ${reasons[name]}`);
    const prefix = path === '' ? '' : `${path}.`;
    throw new OptionError(
      `unknown option '${prefix}${name}'${didYouMean(name, Object.keys(rows), elsewhere, prefix) || hint}`,
    );
  }
}

/**
 * The members of an option that is an object, each checked by its row; what is missing has its default.
 * @param {string} name
 * @param {unknown} value
 * @param {Rows} rows
 * @returns {Record<string, any>}
 */
function members(name, value, rows) {
  const given = plainObject(name, value);
  refuseUnknown(given, rows, { path: name });
  return Object.fromEntries(
    Object.entries(rows).map(([member, row]) => [
      member,
      given[member] === undefined ? row.value : row.check(given[member], `${name}.${member}`),
    ]),
  );
}

// Checks for rows: the value comes first.

/** @param {number} least @param {number} most */
const count = (least, most) => /** @param {unknown} value @param {string} name */ (value, name) =>
  integer(name, value, least, most);
/** @param {number} least */
const ms = (least) => count(least, MAX_MS);
/** @param {unknown} value @param {string} name */
const share = (value, name) => finite(name, value, 1);
/** @param {readonly string[]} choices */
const choice = (choices) => /** @param {unknown} value @param {string} name */ (value, name) =>
  oneOf(name, value, choices);
/** @param {unknown} value @param {string} name */
const filled = (value, name) => nonEmpty(name, value);
/** @param {unknown} value @param {string} name */
const text = (value, name) => string(name, value);
/** @param {unknown} value @param {string} name */
function boolean(value, name) {
  if (typeof value !== 'boolean') throw new OptionError(`${name} must be a boolean, not ${kindOf(value)}`);
  return value;
}
/** @param {unknown} value @param {string} name */
function fn(value, name) {
  if (typeof value !== 'function') throw new OptionError(`${name} must be a function, not ${kindOf(value)}`);
  return value;
}
/** For options that are checked together with others. @param {unknown} value */
const later = (value) => value;

module.exports = {
  MAX_MS,
  boolean,
  choice,
  count,
  filled,
  finite,
  fn,
  integer,
  kindOf,
  later,
  members,
  ms,
  nonEmpty,
  oneOf,
  plainObject,
  refuseUnknown,
  share,
  string,
  text,
};
