'use strict';

// The errors of many clusters that are none of a single pool's.

const { HyperionError, ParameterError, isRetryable } = require('../../client.js');

/** @param {Record<string, Error>} failures by the ids of the clusters */
function initializeFailed(failures) {
  const reasons = Object.entries(failures).map(([id, error]) => `${id}: ${error.message}`);
  const error = new HyperionError(`not every cluster could be reached: ${reasons.join('; ')}`, 'ERR_INITIALIZE');
  const retryable = Object.values(failures).every((failure) => isRetryable(failure));
  return Object.assign(error, { failures, retryable });
}

/** @param {string} state */
function notInitialized(state) {
  if (state === 'new') return new HyperionError('initialize() was not called', 'ERR_NOT_INITIALIZED');
  const why = state === 'opening' ? 'initialize() has not ended' : 'initialize() was called before';
  return new HyperionError(why, 'ERR_NOT_INITIALIZED');
}

/** @param {string} what @param {string} option */
const notEnabled = (what, option) => new HyperionError(`${what} needs the option ${option}`, 'ERR_NOT_ENABLED');

/** A statement that writes where only a read is possible; the server has refused it. @param {unknown} cause @param {string} message */
const onlyReads = (cause, message) => Object.assign(new ParameterError(message, { cause }), { outcome: 'not-applied' });

module.exports = { initializeFailed, notEnabled, notInitialized, onlyReads };
