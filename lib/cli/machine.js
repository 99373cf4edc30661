'use strict';

// This side of the connection: what runs here, and where the native addon is. Nothing of it loads the addon.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.join(__dirname, '..', '..');
const NAME = 'hyperiondb-client';

/**
 * @typedef {object} Machine
 * @property {string} package its version
 * @property {string} node
 * @property {string} napi the newest Node-API that this Node has
 * @property {string} platform
 * @property {string} arch
 * @property {string | null} libc `'glibc 2.36'`, `'musl'`; null where there is no choice
 * @property {string} os
 */

/** @returns {Machine} */
function machine() {
  return {
    package: JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')).version,
    node: process.version,
    napi: process.versions.napi ?? '?',
    platform: process.platform,
    arch: process.arch,
    libc: libc(),
    os: `${os.type()} ${os.release()}`,
  };
}

function libc() {
  if (process.platform !== 'linux') return null;
  const report = /** @type {any} */ (process.report);
  report.excludeNetwork = true; // it would look up the names of all sockets
  const { header } = report.getReport();
  return header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl';
}

/** As packages and files of addons are called: `linux-x64-gnu`. @param {Machine} machine */
function target({ platform, arch, libc: c }) {
  const abi = platform === 'win32' ? '-msvc' : c === null ? '' : c === 'musl' ? '-musl' : '-gnu';
  return `${platform}-${arch}${abi}`;
}

/**
 * @typedef {object} Addon
 * @property {string} target
 * @property {string} package the package in which it comes
 * @property {string | null} path where it is; null: nowhere
 * @property {number | null} bytes
 * @property {string | null} error why it does not load
 */

/** Where Node finds it, as index.js looks for it. @param {Machine} here @param {NodeJS.ProcessEnv} env @returns {Addon} */
function addon(here, env) {
  const name = target(here);
  const found = [
    env.NAPI_RS_NATIVE_LIBRARY_PATH,
    path.join(ROOT, `${NAME}.${name}.node`),
    resolved(`${NAME}-${name}`),
  ].find((file) => file && fs.existsSync(file));
  return {
    target: name,
    package: `${NAME}-${name}`,
    path: found ?? null,
    bytes: found ? fs.statSync(found).size : null,
    error: null,
  };
}

/** @param {string} name */
function resolved(name) {
  try {
    return require.resolve(name, { paths: [ROOT] });
  } catch {
    return undefined;
  }
}

/** The public API with the addon loaded, or what keeps it from loading. @param {Addon} addon */
function loaded(addon) {
  try {
    return { client: require('../../client.js'), addon };
  } catch (error) {
    return { client: null, addon: { ...addon, error: reasonOf(error) } };
  }
}

/**
 * What the system said, where index.js only says that nothing was found: it has every attempt in its chain of causes.
 * @param {unknown} error
 */
function reasonOf(error) {
  const messages = [];
  for (let at = error; at instanceof Error && messages.length < 100; at = at.cause) messages.push(at.message);
  return messages.find((message) => !/^Cannot find /.test(message)) ?? messages[0] ?? String(error);
}

module.exports = { addon, loaded, machine };
