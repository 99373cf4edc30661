'use strict';

// The source of a load: an iterable or an async iterable of rows or of ready data.

const { isUint8Array } = require('node:util').types;
const { ParameterError } = require('../../errors.js');

/** An iterator whose `next` is called without arguments. @typedef {Iterator<unknown> | AsyncIterator<unknown>} Source */

/**
 * Checks a source; the function that is returned begins to iterate it.
 * @param {any} source
 * @param {boolean} isReady whether the source is data in one of COPY's formats, not rows
 * @returns {() => { iterator: Source, isAsync: boolean }}
 */
function sourceOpener(source, isReady) {
  const isData = typeof source === 'string' || isUint8Array(source);
  if (isData && isReady) return () => ({ iterator: [source][Symbol.iterator](), isAsync: false });
  if (isData) throw new ParameterError('source: ready data needs a target like COPY ... FROM STDIN');
  const isAsync = typeof source?.[Symbol.asyncIterator] === 'function';
  if (!isAsync && typeof source?.[Symbol.iterator] !== 'function') {
    const things = isReady ? 'a Readable, a Buffer, a string or an iterable of these' : 'an iterable of rows';
    throw new ParameterError(`source must be ${things}`);
  }
  return () => ({ iterator: source[isAsync ? Symbol.asyncIterator : Symbol.iterator](), isAsync });
}

module.exports = { sourceOpener };
