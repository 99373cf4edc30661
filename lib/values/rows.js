'use strict';

// A result: an ordinary array of row objects that also has rowCount, command, fields and node, and with the option `token` token.
// These properties are not enumerable, so a result compares and prints as an array of its rows.

/** @type {readonly object[]} */
const NO_FIELDS = Object.freeze([]);
// One descriptor for all: V8 is markedly slower when it has to make a new one each time. It also reads each member, so what is
// false anyway (enumerable) is left out.
const hidden = { value: /** @type {unknown} */ (undefined), writable: true, configurable: true };

/**
 * Makes a result of an array of rows.
 * @param {object[]} rows
 * @param {number} rowCount
 * @param {string} command
 * @param {import('./shapes.js').Shape | null} shape
 * @param {string | null} node
 */
function asRows(rows, rowCount, command, shape, node) {
  hidden.value = rowCount;
  Object.defineProperty(rows, 'rowCount', hidden);
  hidden.value = command;
  Object.defineProperty(rows, 'command', hidden);
  hidden.value = shape === null ? NO_FIELDS : shape.fields;
  Object.defineProperty(rows, 'fields', hidden);
  hidden.value = node;
  Object.defineProperty(rows, 'node', hidden);
  return rows;
}

/**
 * Gives a result its consistency token.
 * @param {object[]} rows
 * @param {string} token
 */
function withToken(rows, token) {
  hidden.value = token;
  return Object.defineProperty(rows, 'token', hidden);
}

module.exports = { asRows, withToken };
