'use strict';

// A result: an ordinary array of row objects that also knows rowCount, command and fields. They are not enumerable, so
// a result compares and prints as what it is.

/** @type {readonly object[]} */
const NO_FIELDS = Object.freeze([]);
// One descriptor for all: V8 is markedly slower when it has to make a new one each time.
const hidden = { value: /** @type {unknown} */ (undefined), writable: true, configurable: true, enumerable: false };

/**
 * @param {import('../core/core-link.js').Call} call
 * @param {import('../core/statements.js').Statement} statement
 */
function toRows(call, statement) {
  statement.takesStructure ??= call.structure;
  return asRows(call.rows, call.rowCount, statement.command, call.shape);
}

/**
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
