'use strict';

// The hook for import: of this thread (module.registerHooks), or of Node's loader thread (module.register), where nothing but this
// file and modules.js is loaded.

const { absent, moduleFor, urlOf } = require('./modules.js');

/**
 * @param {string} specifier
 * @param {{ conditions?: readonly string[], parentURL?: string }} context
 * @param {(specifier: string, context: object) => any} next
 */
function resolve(specifier, context, next) {
  // require() comes here, too, with registerHooks; it goes on to Module._resolveFilename, which is patched.
  const found = context.conditions?.includes('require') ? undefined : moduleFor(specifier);
  if (found === undefined) return next(specifier, context);
  if ('missing' in found) throw absent(found.missing, context.parentURL, 'ERR_MODULE_NOT_FOUND');
  const url = urlOf(found.name, context.parentURL);
  return { url, format: url.endsWith('.json') ? 'json' : 'module', shortCircuit: true };
}

module.exports = { resolve };
