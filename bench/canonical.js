'use strict';

// Values in a form that does not depend on the client: a BigInt of one client equals a string of another, an ISO text equals a
// Date. Any other difference stays a difference.

/**
 * @param {unknown} value
 * @returns {string}
 */
function canonical(value) {
  return JSON.stringify(value, function replace(_key, given) {
    // JSON.stringify has already called a Date's toJSON: its ISO text is what we want.
    if (typeof given === 'bigint') return given.toString();
    if (given !== null && typeof given === 'object' && !Array.isArray(given)) {
      return Object.fromEntries(Object.entries(given).sort(([a], [b]) => (a < b ? -1 : 1)));
    }
    return given;
  });
}

module.exports = { canonical };
