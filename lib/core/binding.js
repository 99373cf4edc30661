'use strict';

// Loads the native add-on, or throws an error that says what to do. Each platform has its add-on in a package of its own, which is
// an optional dependency of this package: npm installs the one that fits, and does not report when it installs none. index.js, which
// napi generates, looks for the add-on and reports every place where it looked; this file names the one package that is missing.

const fs = require('node:fs');
const path = require('node:path');
const { HyperionError } = require('../errors.js');
const { PROTOCOL_VERSION } = require('./numbers.js');

/** @typedef {{ platform: string, arch: string, libc: 'glibc' | 'musl' | null }} Machine */

/** The machine this process runs on. @returns {Machine} */
function thisMachine() {
  const { platform, arch } = process;
  return { platform, arch, libc: platform === 'linux' ? libcOf() : null };
}

function libcOf() {
  const report = /** @type {{ excludeNetwork?: boolean, getReport(): any }} */ (
    /** @type {unknown} */ (process.report)
  );
  const before = report.excludeNetwork;
  report.excludeNetwork = true; // Otherwise the report looks up the host names of all sockets.
  const { header } = report.getReport();
  report.excludeNetwork = before;
  return header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

/**
 * The end of the name of a machine's package, as napi names it.
 * @param {Machine} machine
 */
function suffixOf({ platform, arch, libc }) {
  if (platform === 'linux') return `linux-${arch}-${libc === 'musl' ? 'musl' : 'gnu'}`;
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

/**
 * The message when Deno did not permit to load the add-on; undefined when that is not the cause. Deno may name --allow-sys although
 * --allow-read is missing: index.js asks for a report of the process when it cannot read /usr/bin/ldd.
 * @param {unknown} error of index.js, whose causes have the messages of Deno's errors, not their class
 */
function refusedByDeno(error) {
  for (let at = /** @type {any} */ (error); at; at = at.cause) {
    if (/^Requires \w+ access to /.test(at.message)) {
      return `Deno did not let hyperiondb-client load its native addon, which needs --allow-env, --allow-ffi and --allow-read: ${at.message}`;
    }
  }
  return undefined;
}

/**
 * Why the places that were found could not be loaded; empty when none was found.
 * @param {unknown} error of index.js: each place where it looked is the cause of the next one's error
 */
function refusals(error) {
  /** @type {string[]} */
  const found = [];
  for (let at = /** @type {any} */ (error)?.cause; at; at = at.cause) {
    if (!/^Cannot find (native binding|module)/.test(at.message)) found.push(at.message);
  }
  return found.reverse();
}

/**
 * The message when the add-on cannot be loaded.
 * @param {{ name: string, version: string, optionalDependencies?: Record<string, string> }} manifest
 * @param {Machine} machine
 * @param {unknown} error of index.js
 * @param {string | undefined} named the file of NAPI_RS_NATIVE_LIBRARY_PATH
 */
function explain({ name, version, optionalDependencies = {} }, machine, error, named) {
  if (named) return `the native addon of ${name} was not loaded: NAPI_RS_NATIVE_LIBRARY_PATH names ${named}`;
  const wanted = `${name}-${suffixOf(machine)}`;
  if (!(wanted in optionalDependencies)) {
    const there = Object.keys(optionalDependencies).map((other) => other.slice(name.length + 1));
    return `there is no native addon of ${name} for ${suffixOf(machine)}: there are those for ${there.sort().join(', ')}`;
  }
  const reasons = refusals(error);
  if (reasons.length > 0) {
    const advice = machine.libc === 'glibc' ? ' It needs glibc 2.17 or later.' : '';
    return `the native addon of ${name} is there, but could not be loaded: ${reasons.join('; ')}.${advice} To install it anew: npm install ${wanted}@${version}`;
  }
  return [
    `the native addon of ${name} is missing: the package ${wanted}@${version} is not installed. Usual causes:`,
    '- npm was told to leave it out: --omit=optional, --no-optional, or omit=optional in .npmrc. Install without that.',
    '- node_modules or the lock file comes from another platform: remove node_modules and install on this machine;',
    '  if that does not help, remove the lock file, too.',
    '- Alpine and other systems with musl have a package of their own, as have those with glibc: an image must install its own',
    '  node_modules, not copy those of another.',
    `To install it by hand: npm install ${wanted}@${version}`,
  ].join('\n');
}

const readManifest = () => JSON.parse(fs.readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8'));

/**
 * Refuses an add-on with other numbers. It and this package are two packages, and an install may mix their versions.
 * @param {{ Environment?: { numbers?: () => string } }} addon
 */
function checkVersion(addon) {
  const theirs = JSON.parse(addon.Environment?.numbers?.() ?? '{}');
  if (theirs.protocolVersion === PROTOCOL_VERSION) return;
  const { name, version } = readManifest();
  const wanted = `${name}-${suffixOf(thisMachine())}`;
  const found = theirs.packageVersion === undefined ? 'an older version' : `version ${theirs.packageVersion}`;
  throw new HyperionError(
    `the native add-on ${wanted} has ${found}, and ${name} ${version} needs ${version}. To install it anew: npm install ${wanted}@${version}`,
    'ERR_BINDING_VERSION',
  );
}

/** @returns {typeof import('../../index.js')} */
function load() {
  const addon = find();
  checkVersion(addon);
  return addon;
}

/** @returns {typeof import('../../index.js')} */
function find() {
  try {
    return require('../../index.js');
  } catch (error) {
    const refused = refusedByDeno(error);
    // First of all: to look for other causes needs permissions, too.
    if (refused !== undefined) throw new HyperionError(refused, 'ERR_NO_BINDING', { cause: error });
    const manifest = readManifest();
    const message = explain(manifest, thisMachine(), error, process.env.NAPI_RS_NATIVE_LIBRARY_PATH);
    throw new HyperionError(message, 'ERR_NO_BINDING', { cause: error });
  }
}

module.exports = { checkVersion, explain, load, refusedByDeno, suffixOf, thisMachine };
