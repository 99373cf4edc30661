'use strict';

// A call with a promise, made without closures: each statement has one.

const { Call } = require('./core-link.js');

class PromisedCall extends Call {
  constructor() {
    const promise = new Promise(keepSettlers);
    super(resolveLast, rejectLast);
    /** @type {Promise<any>} */
    this.promise = promise;
  }
}

// Those of the promise that was made last. Promise.withResolvers() needs Node 22.
/** @type {(value: any) => void} */
let resolveLast;
/** @type {(error: Error) => void} */
let rejectLast;

/** @param {typeof resolveLast} resolve @param {typeof rejectLast} reject */
function keepSettlers(resolve, reject) {
  resolveLast = resolve;
  rejectLast = reject;
}

module.exports = { PromisedCall };
