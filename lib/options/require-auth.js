'use strict';

// The option `requireAuth` (require_auth of libpq): the methods by which a server may ask for the identity of the client.

const { kindOf, string } = require('./validate.js');
const { OptionError } = require('../errors.js');

const METHODS = ['password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'none'];

/**
 * @param {unknown} value `'scram-sha-256,none'`, `'!password,!md5'`, or an array of these
 * @param {string} name
 * @returns {{ methods: string[], negated: boolean } | null} null: any
 */
function requireAuth(value, name) {
  if (typeof value !== 'string' && !Array.isArray(value)) {
    throw new OptionError(`${name} must be a string or an array, not ${kindOf(value)}`);
  }
  if (value === '') return null;
  const list = Array.isArray(value) ? value.map((one) => string(name, one)) : value.split(',');
  if (list.length === 0) throw new OptionError(`${name} must name a method`);
  const negated = list[0].startsWith('!');
  const methods = list.map((one) => {
    if (one.startsWith('!') !== negated) {
      throw new OptionError(`${name}: either all methods are excluded by '!', or none is`);
    }
    return negated ? one.slice(1) : one;
  });
  for (const [index, method] of methods.entries()) {
    if (method === 'oauth') throw new OptionError(`${name}: 'oauth' is not supported`);
    if (!METHODS.includes(method)) {
      throw new OptionError(`${name} must be of ${METHODS.map((one) => `'${one}'`).join(', ')}`);
    }
    if (methods.indexOf(method) !== index) throw new OptionError(`${name}: '${method}' is named more than once`);
  }
  return { methods, negated };
}

module.exports = { requireAuth };
