'use strict';

// Bun has no hooks for import; but there a module can be given what it exports.

const { createRequire } = require('node:module');
const { REQUESTS, fileOf, moduleFor } = require('./modules.js');

const load = createRequire(__filename);

/** What `import` and `require` of a module give. @param {string} request */
function contentsOf(request) {
  const { name } = /** @type {{ name: string }} */ (moduleFor(request));
  const value = load(fileOf(name));
  return { exports: { ...value, default: value, __esModule: true }, loader: 'object' };
}

/** @param {any} Bun */
function inBun(Bun) {
  Bun.plugin({
    name: 'hyperiondb-client/register',
    /** @param {any} build */
    setup(build) {
      for (const request of REQUESTS) build.module(request, () => contentsOf(request));
    },
  });
}

module.exports = { inBun };
