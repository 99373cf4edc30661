'use strict';

// What stands in for which module: pg, its packages, and the files of pg/lib that programs and libraries load by their paths.

const path = require('node:path');
const { pathToFileURL } = require('node:url');

const FOLDER = path.join(__dirname, 'modules');
const PACKAGES = ['pg', 'pg-cursor', 'pg-pool', 'pg-protocol', 'pg-query-stream', 'pg-types'];
/** The files of pg/lib that have a counterpart. */
const LIB = [
  ...['client', 'connection', 'connection-parameters', 'defaults', 'query', 'result', 'type-overrides', 'utils'],
];
const NATIVE = /^(?:pg-native|pg\/(?:lib\/)?native)(?:\/|$)/;
/** Those that have more names than their default for `import`, as those of pg have. */
const NAMED = ['pg', 'pg-protocol', 'pg-types', 'lib-utils'];

/** @typedef {{ name: string } | { missing: string }} Found `name`: of a file in modules/, without its ending */

/**
 * What stands in for a module; undefined: it is not ours.
 * @param {string} request as it stands in require() or import
 * @returns {Found | undefined}
 */
function moduleFor(request) {
  if (PACKAGES.includes(request)) return { name: request };
  if (NATIVE.test(request)) return { missing: request };
  if (!request.startsWith('pg/')) return undefined;
  if (request === 'pg/package.json') return { name: 'package' };
  const [, file = 'index'] = /^pg\/lib(?:\/(.+?))?(?:\.js)?$/.exec(request) ?? [undefined, ''];
  if (file === 'index') return { name: 'pg' };
  return LIB.includes(file) ? { name: `lib-${file}` } : { missing: request };
}

/** Everything that there is, for Bun, which asks for it by name. */
const REQUESTS = [...PACKAGES, ...LIB.flatMap((file) => [`pg/lib/${file}`, `pg/lib/${file}.js`])];

/** The file for require(). @param {string} name */
const fileOf = (name) => path.join(FOLDER, name === 'package' ? 'pg.json' : `${name}.js`);

/**
 * The URL for import. Each loads the file for require(), so that both give the same objects.
 * @param {string} name
 * @param {string | undefined} parentUrl
 */
function urlOf(name, parentUrl) {
  if (name === 'package') return pathToFileURL(fileOf(name)).href;
  const isNamed = NAMED.includes(name);
  const url = pathToFileURL(path.join(FOLDER, `${isNamed ? name : 'default'}.mjs`));
  if (!isNamed) url.searchParams.set('name', name);
  // The importer of pg-protocol alone may see the one in node_modules.
  if (name === 'pg-protocol' && parentUrl !== undefined) url.searchParams.set('from', parentUrl);
  return url.href;
}

/**
 * The error for a module that is not there, with the code by which programs know that.
 * @param {string} request
 * @param {string | undefined} parent
 * @param {'MODULE_NOT_FOUND' | 'ERR_MODULE_NOT_FOUND'} code
 */
function absent(request, parent, code) {
  const why = NATIVE.test(request)
    ? 'hyperiondb-client/register stands in for pg, without a native part'
    : `hyperiondb-client/register stands in for pg, and of its files it has pg/package.json and pg/lib/{${LIB.join(',')}}`;
  const from = parent === undefined ? '' : `\nRequired by ${parent}`;
  return Object.assign(new Error(`Cannot find module '${request}': ${why}${from}`), { code });
}

module.exports = { REQUESTS, absent, fileOf, moduleFor, urlOf };
