'use strict';

// What a callback has returned, as the JSON that a later call with the same key gets back.

const { ParameterError } = require('../../errors.js');

/** What a value is, for an error. @param {any} value */
function nameOf(value) {
  if (typeof value === 'number') return `the number ${Object.is(value, -0) ? '-0' : value}`;
  if (typeof value !== 'object') return typeof value === 'bigint' ? 'a BigInt' : `of type ${typeof value}`;
  return `an object of the class ${value.constructor?.name || 'without a name'}`;
}

/**
 * Throws at the first part that would come back as something else.
 * @param {any} value
 * @param {string} path
 * @param {object[]} around the objects that it is in
 */
function check(value, path, around) {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return;
  const refuse = (/** @type {string} */ what) => {
    throw new ParameterError(`exactlyOnce.remember: ${path} is ${what}, which JSON cannot hold`);
  };
  if (typeof value !== 'object') refuse(nameOf(value));
  if (around.includes(value)) refuse('an object that is in itself');
  const within = [...around, value];
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], `${path}[${i}]`, within);
    return;
  }
  const prototype = Object.getPrototypeOf(value);
  if ((prototype !== Object.prototype && prototype !== null) || typeof value.toJSON === 'function')
    refuse(nameOf(value));
  for (const [name, part] of Object.entries(value)) check(part, `${path}.${name}`, within);
}

/**
 * The JSON of what a callback has returned; null for undefined.
 * @param {unknown} value
 * @returns {string | null}
 */
function toRemember(value) {
  if (value === undefined) return null;
  check(value, 'the value', []);
  return JSON.stringify(value);
}

/** @param {string | null} text */
const remembered = (text) => (text === null ? undefined : JSON.parse(text));

module.exports = { remembered, toRemember };
