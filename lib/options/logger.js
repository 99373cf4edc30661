'use strict';

// The option `logger`.

const { OptionError } = require('../errors.js');
const { kindOf } = require('./validate.js');

const LEVELS = ['info', 'warn', 'error', 'debug'];
const KINDS = `a function, or an object with the functions ${LEVELS.join(', ')} (pino, winston, bunyan, console)`;

/**
 * @param {any} value
 * @param {string} name
 */
function loggerOf(value, name) {
  if (typeof value === 'function') return value;
  if (typeof value !== 'object' || value === null)
    throw new OptionError(`${name} must be ${KINDS}, not ${kindOf(value)}`);
  const missing = LEVELS.filter((level) => typeof value[level] !== 'function');
  if (missing.length > 0) throw new OptionError(`${name} must be ${KINDS}: it has no ${missing.join(', ')}`);
  return value;
}

module.exports = { loggerOf };
