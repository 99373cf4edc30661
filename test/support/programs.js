'use strict';

// Programs that a suite needs (Patroni, etcd, PgBouncer, Redis, Prometheus). Installed ones are used; missing ones are installed from Debian's
// packages where that is possible without asking: by root, with apt.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

/** @typedef {import('../../exports/testing/cluster/account.js').Account} Account */
/** @typedef {{ command: string[], version: string }} Program */

const FOLDERS = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/local/bin', '/usr/bin', '/usr/sbin'];

/** Something is missing that cannot be installed here. */
class MissingError extends Error {}

/**
 * The output of a program, run as the account that will run it: the only reliable test of permissions.
 *
 * @param {string[]} command
 * @param {Account | null} account
 * @returns {string | null} null when it cannot be run
 */
function outputOf([file, ...args], account) {
  try {
    return execFileSync(file, args, {
      cwd: '/',
      encoding: 'utf8',
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 30_000,
      ...account,
    });
  } catch {
    return null;
  }
}

/**
 * @param {string[]} command
 * @param {Account | null} account
 * @returns {Program | null}
 */
function program(command, account) {
  const version = /\d+\.\d+(\.\d+)?/.exec(outputOf([...command, '--version'], account) ?? '')?.[0];
  return version === undefined ? null : { command, version };
}

/**
 * @param {string} name
 * @param {string} variable that may name it
 * @param {Account | null} account
 */
function findProgram(name, variable, account) {
  const named = process.env[variable];
  if (named) return program([named], account) ?? unusable(variable);
  const candidates = FOLDERS.map((folder) => path.join(folder, name));
  return candidates.reduce(
    (/** @type {Program | null} */ found, file) => found ?? (fs.existsSync(file) ? program([file], account) : null),
    null,
  );
}

/** @param {string} variable @returns {never} */
function unusable(variable) {
  throw new MissingError(
    `${variable} names ${process.env[variable]}, which cannot be used by the account that runs it`,
  );
}

/** @param {string} name whether apt knows it */
function aptHas(name) {
  return /Candidate: \d/.test(outputOf(['apt-cache', 'policy', name], null) ?? '');
}

const POLICY = '/usr/sbin/policy-rc.d';
const UNITS = /** @type {Record<string, string>} */ ({
  patroni: 'patroni',
  'etcd-server': 'etcd',
  pgbouncer: 'pgbouncer',
  'redis-server': 'redis-server',
  prometheus: 'prometheus',
});

/**
 * Debian starts what it installs. invoke-rc.d asks policy-rc.d whether it may (101: it may not), so there is such a file during the
 * installation; only apt receives Ctrl-C then, so that the file is removed again.
 *
 * @param {() => void} work
 */
function withoutServices(work) {
  const ours = !fs.existsSync(POLICY);
  const ignore = () => {};
  process.on('SIGINT', ignore);
  if (ours) fs.writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    work();
  } finally {
    if (ours) fs.rmSync(POLICY, { force: true });
    process.off('SIGINT', ignore);
  }
}

/** @param {string[]} args */
function apt(...args) {
  const command = ['-y', '-q', ...args];
  console.log(`> apt-get ${command.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    execFileSync('apt-get', command, { env, stdio: ['ignore', 2, 2] });
    return true;
  } catch {
    return false;
  }
}

/** One by one: a package that a release does not have must not keep the others out. @param {string[]} packages */
function installPackages(packages) {
  const install = (/** @type {string} */ name) => apt('install', '--no-install-recommends', name);
  withoutServices(() => {
    const refused = packages.filter((name) => !install(name));
    // Missing or old package lists are the usual reason.
    if (refused.length > 0 && apt('update')) refused.forEach(install);
    // They must not start at the next boot either: they are here for this test.
    for (const name of packages) if (UNITS[name]) outputOf(['systemctl', 'disable', '--quiet', UNITS[name]], null);
  });
}

/** Whether missing programs may be installed. */
function canInstall() {
  return process.getuid?.() === 0 && outputOf(['apt-get', '--version'], null) !== null;
}

module.exports = {
  FOLDERS,
  MissingError,
  aptHas,
  canInstall,
  findProgram,
  installPackages,
  outputOf,
  program,
  unusable,
};
