'use strict';

// This machine: what runs here, and where the native add-on is. Only loadClient() loads the add-on.

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
function describeMachine() {
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
  report.excludeNetwork = true; // Otherwise the report looks up the host names of all sockets.
  const { header } = report.getReport();
  return header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl';
}

/** The machine in the names of add-ons' packages and files: `linux-x64-gnu`. @param {Machine} machine */
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

/** The add-on's file, in the places where index.js looks for it. @param {Machine} here @param {NodeJS.ProcessEnv} env @returns {Addon} */
function findAddon(here, env) {
  const name = target(here);
  const found = [
    env.NAPI_RS_NATIVE_LIBRARY_PATH,
    path.join(ROOT, `${NAME}.${name}.node`),
    resolvePackage(`${NAME}-${name}`),
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
function resolvePackage(name) {
  try {
    return require.resolve(name, { paths: [ROOT] });
  } catch {
    return undefined;
  }
}

/** Loads the public API with the add-on; `client` is null when that fails. @param {Addon} addon */
function loadClient(addon) {
  try {
    return { client: require('../../client.js'), addon };
  } catch (error) {
    return { client: null, addon: { ...addon, error: reasonOf(error) } };
  }
}

/**
 * The error of the system. index.js reports only that nothing was found; every attempt is in its chain of causes.
 * @param {unknown} error
 */
function reasonOf(error) {
  const messages = [];
  for (let at = error; at instanceof Error && messages.length < 100; at = at.cause) messages.push(at.message);
  return messages.find((message) => !/^Cannot find /.test(message)) ?? messages[0] ?? String(error);
}

module.exports = { describeMachine, findAddon, loadClient };
