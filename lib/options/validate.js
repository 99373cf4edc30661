'use strict';

// Checks of options, each with an error that names the option and prints no value that may be a secret.

const { OptionError } = require('../errors.js');

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

module.exports = { MAX_MS, integer, kindOf, nonEmpty, oneOf, plainObject, string };
