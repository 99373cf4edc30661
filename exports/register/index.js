'use strict';

// hyperiondb-client/register: from now on `require('pg')` and `import 'pg'` of this thread give the pg of exports/pg, wherever in
// node_modules the file that asks stands. `node --import hyperiondb-client/register app.js` does it before anything else is loaded, in
// worker threads, too, which inherit the flag.

const Module = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { inBun } = require('./bun.js');
const { resolve } = require('./hooks.js');
const { absent, fileOf, moduleFor } = require('./modules.js');
const { rememberProtocol } = require('./protocol.js');

/** On globalThis, because an application may have two copies of the package: the first one stands in for pg. */
const REGISTERED = Symbol.for('hyperiondb-client.register');

/**
 * require() and require.resolve(). Node, Bun and Deno have this function; hooks of Node 20 do not see require().
 * @param {any} loader
 */
function patchCommonJs(loader) {
  const next = loader._resolveFilename;
  /** @param {string} request @param {any} parent @param {...unknown} rest */
  loader._resolveFilename = function resolveFilename(request, parent, ...rest) {
    const found = moduleFor(request);
    if (found === undefined) return Reflect.apply(next, this, [request, parent, ...rest]);
    if ('missing' in found) throw absent(found.missing, parent?.filename, 'MODULE_NOT_FOUND');
    if (request === 'pg-protocol') rememberProtocol(() => Reflect.apply(next, this, [request, parent, ...rest]));
    return fileOf(found.name);
  };
}

/** import, where there is a way. @param {any} loader */
function hookImports(loader) {
  if (/** @type {any} */ (globalThis).Bun !== undefined) return inBun(/** @type {any} */ (globalThis).Bun);
  if (typeof loader.registerHooks === 'function') return loader.registerHooks({ resolve });
  if (typeof loader.register === 'function') return loader.register(pathToFileURL(path.join(__dirname, 'hooks.js')));
  throw new Error(
    `hyperiondb-client/register needs module.register(): Node 20.6 or later, and this is ${process.version}`,
  );
}

/** What has loaded pg before keeps it, and would not follow a failover. */
function warnOfEarlierPg() {
  const earlier = Object.keys(require.cache).find((file) =>
    /[\\/]node_modules[\\/]pg[\\/]lib[\\/]index\.js$/.test(file),
  );
  if (earlier === undefined) return;
  process.emitWarning(
    `hyperiondb-client/register: ${earlier} was loaded before, and what has loaded it keeps it; load register first, best with --import`,
    { code: 'HYPERION_REGISTERED_LATE' },
  );
}

if (!(REGISTERED in globalThis)) {
  Object.defineProperty(globalThis, REGISTERED, { value: true });
  warnOfEarlierPg();
  patchCommonJs(Module);
  hookImports(Module);
}
