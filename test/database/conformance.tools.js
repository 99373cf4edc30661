'use strict';

// What a fact is. The facts run over every engine and driver (conformance.test.js), and in other versions of Node
// (test/external/database.test.js), where node:test's context is not at hand: so they use nothing of test/support.

const assert = require('node:assert/strict');

/** @typedef {any} Database */

/**
 * @typedef {object} Place where a fact is tried
 * @property {'postgres' | 'sqlite'} engine
 * @property {(options?: object) => Promise<Database>} open opens the same database again
 */

/**
 * @typedef {object} Fact
 * @property {string} title
 * @property {true} [reopens] it opens the same database more than once
 * @property {(db: Database, place: Place) => Promise<void>} run
 */

/** The error with which a promise rejects. @param {Promise<unknown>} promise @returns {Promise<any>} */
async function failureOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('it resolved');
}

/** A promise with its resolve function. */
function gate() {
  /** @type {(value?: any) => void} */
  let open = () => {};
  /** @type {Promise<any>} */
  const opened = new Promise((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

module.exports = { failureOf, gate };
