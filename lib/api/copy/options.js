'use strict';

// The options of copyFrom() and copyTo(), checked.

const { callOptions } = require('../call-options.js');
const { ParameterError } = require('../../errors.js');
const { integer } = require('../../options/validate.js');

const LOAD_OPTIONS = ['timeoutMs', 'signal', 'onProgress'];
const UNLOAD_OPTIONS = ['timeoutMs', 'signal', 'highWaterMark'];

/**
 * @param {unknown} options
 * @param {readonly string[]} known LOAD_OPTIONS or UNLOAD_OPTIONS
 */
function copyOptions(options, known) {
  const given = callOptions(options, known);
  if (given.onProgress !== undefined && typeof given.onProgress !== 'function') {
    throw new ParameterError('onProgress must be a function');
  }
  if (given.highWaterMark !== undefined) {
    try {
      integer('highWaterMark', given.highWaterMark, 1, 0x7fff_ffff);
    } catch (error) {
      throw new ParameterError(/** @type {Error} */ (error).message);
    }
  }
  return given;
}

module.exports = { LOAD_OPTIONS, UNLOAD_OPTIONS, copyOptions };
