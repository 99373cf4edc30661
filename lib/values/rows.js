'use strict';

// A result: an ordinary array of row objects that also has rowCount, command and fields. These properties are not enumerable, so
// a result compares and prints as an array of its rows.

/** @type {readonly object[]} */
const NO_FIELDS = Object.freeze([]);
// One descriptor for all: V8 is markedly slower when it has to make a new one each time.
const hidden = { value: /** @type {unknown} */ (undefined), writable: true, configurable: true, enumerable: false };

/**
 * @typedef {object} FinishedCall a Call of lib/core/core-link.js
 * @property {object[]} rows
 * @property {number} rowCount
 * @property {import('./shapes.js').Shape | null} shape
 * @property {boolean} structure whether a parameter of the statement takes an object by its members
 */

/**
 * The result of a call that has ended.
 * @param {FinishedCall} call
 * @param {{ command: string, takesStructure: boolean | undefined }} statement learns whether it takes a structure
 */
function toRows(call, statement) {
  statement.takesStructure ??= call.structure;
  return asRows(call.rows, call.rowCount, statement.command, call.shape);
}

/**
 * Makes a result of an array of rows.
 * @param {object[]} rows
 * @param {number} rowCount
 * @param {string} command
 * @param {import('./shapes.js').Shape | null} shape
 */
function asRows(rows, rowCount, command, shape) {
  hidden.value = rowCount;
  Object.defineProperty(rows, 'rowCount', hidden);
  hidden.value = command;
  Object.defineProperty(rows, 'command', hidden);
  hidden.value = shape === null ? NO_FIELDS : shape.fields;
  Object.defineProperty(rows, 'fields', hidden);
  return rows;
}

module.exports = { asRows, toRows };
