'use strict';

// Where PostgreSQL, Patroni and etcd come from. What is installed is used; what is missing is installed when that can be
// done without asking: Debian's packages by root, Patroni also from PyPI in a folder of our own (and rather from there than
// one that loses writes by itself). Else a MissingError says what is missing and which command brings it.
//
//   HYPERION_PG_BIN    a folder with the whole server: initdb, pg_basebackup, pg_rewind, ...
//   HYPERION_PATRONI   the `patroni` command
//   HYPERION_ETCD      the `etcd` command

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { serverAccount } = require('../cluster/account');
const { cached } = require('../cluster/files');

/** @typedef {import('../cluster/account').Account} Account */
/** @typedef {{ command: string[], version: string }} Program */
/** @typedef {{ bin: string, version: string }} Postgres */
/**
 * @typedef {object} Programs
 * @property {Account | null} account who has to run them
 * @property {Postgres} postgres
 * @property {Program} patroni
 * @property {Program} etcd
 */

const DEBIAN_SERVERS = '/usr/lib/postgresql';
const SERVER_TOOLS = ['postgres', 'initdb', 'pg_ctl', 'pg_controldata', 'pg_basebackup', 'pg_rewind', 'psql'];
const FOLDERS = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/local/bin', '/usr/bin', '/usr/sbin'];
/** The last one that takes a ttl of a few seconds (settings.js). */
const PYPI_PATRONI = '3.1.2';
/**
 * Older ones (Debian 12 has 3.0.2) write the leader key without looking when their lease has run out
 * (patroni/dcs/etcd3.py, _update_leader): an agent that was frozen takes the key back from the new leader, and what that
 * one had acknowledged is lost, whoever the client was.
 */
const SOUND_PATRONI = [3, 1, 2];
const PYPI_PACKAGES = [`patroni[etcd3]==${PYPI_PATRONI}`, 'psycopg2-binary'];

/** Something that has to be there is not, and we cannot bring it. */
class MissingError extends Error {}

/**
 * What a program says, run as the account that will run it: the only test of permissions that cannot be wrong.
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
    `${variable} names ${process.env[variable]}, which cannot be used: see test/patroni/install.js`,
  );
}

/** @param {Account | null} account @returns {Postgres | null} the newest one with all its tools */
function findPostgres(account) {
  const { HYPERION_PG_BIN } = process.env;
  const versions = fs.existsSync(DEBIAN_SERVERS) ? fs.readdirSync(DEBIAN_SERVERS) : [];
  const folders = HYPERION_PG_BIN
    ? [path.resolve(HYPERION_PG_BIN)]
    : versions.sort((a, b) => Number(b) - Number(a)).map((version) => path.join(DEBIAN_SERVERS, version, 'bin'));
  const bin = folders.find((folder) => SERVER_TOOLS.every((tool) => fs.existsSync(path.join(folder, tool))));
  const found = bin === undefined ? null : program([path.join(bin, 'postgres')], account);
  if (bin !== undefined && found !== null) return { bin, version: found.version };
  return HYPERION_PG_BIN ? unusable('HYPERION_PG_BIN') : null;
}

/** @param {Account | null} account */
function find(account) {
  return {
    postgres: findPostgres(account),
    patroni: findProgram('patroni', 'HYPERION_PATRONI', account),
    etcd: findProgram('etcd', 'HYPERION_ETCD', account),
  };
}

/** @param {string} name whether apt knows it */
function aptHas(name) {
  return /Candidate: \d/.test(outputOf(['apt-cache', 'policy', name], null) ?? '');
}

/** The Debian packages of what was not found. @param {ReturnType<typeof find>} found */
function packagesFor({ postgres, patroni, etcd }) {
  return [
    ...(postgres ? [] : [aptHas('postgresql-15') ? 'postgresql-15' : 'postgresql']),
    ...(patroni ? [] : ['patroni', 'python3-venv']),
    ...(etcd ? [] : ['etcd-server']),
  ];
}

const POLICY = '/usr/sbin/policy-rc.d';
const UNITS = /** @type {Record<string, string>} */ ({ patroni: 'patroni', 'etcd-server': 'etcd' });

/**
 * Debian starts what it installs. invoke-rc.d asks policy-rc.d whether it may (101: it may not), so there is one while we
 * install; Ctrl-C is for apt then, so that it goes away again.
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

/** One by one: what a release does not have must not keep the others out. @param {string[]} packages */
function installPackages(packages) {
  const install = (/** @type {string} */ name) => apt('install', '--no-install-recommends', name);
  withoutServices(() => {
    const refused = packages.filter((name) => !install(name));
    // Lists that are missing or old are the usual reason.
    if (refused.length > 0 && apt('update')) refused.forEach(install);
    // Nor may they start at the next boot: they are here for this test.
    for (const name of packages) if (UNITS[name]) outputOf(['systemctl', 'disable', '--quiet', UNITS[name]], null);
  });
}

/** @param {Account | null} account @returns {Promise<Program | null>} */
async function patroniFromPyPI(account) {
  const python = FOLDERS.map((folder) => path.join(folder, 'python3')).find(
    (file) => fs.existsSync(file) && outputOf([file, '-c', 'import venv, ensurepip'], account) !== null,
  );
  if (python === undefined) return null;
  try {
    const tree = await cached(`patroni-${PYPI_PATRONI}`, async (draft) => {
      console.log(`> ${python} -m venv, pip install ${PYPI_PACKAGES.join(' ')}`);
      execFileSync(python, ['-m', 'venv', draft], { stdio: ['ignore', 2, 2] });
      const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile', ...PYPI_PACKAGES];
      execFileSync(path.join(draft, 'bin/python'), pip, { stdio: ['ignore', 2, 2] });
      execFileSync('chmod', ['-R', 'a+rX', draft]);
    });
    // Its own first line names the folder it was built in.
    return program([path.join(tree, 'bin/python'), path.join(tree, 'bin/patroni')], account);
  } catch {
    return null;
  }
}

/** @param {Program | null} patroni */
function isSound(patroni) {
  if (patroni === null) return false;
  const own = patroni.version.split('.').map(Number);
  const different = SOUND_PATRONI.findIndex((part, i) => (own[i] ?? 0) !== part);
  return different === -1 || (own[different] ?? 0) > SOUND_PATRONI[different];
}

/** @param {ReturnType<typeof find>} found */
function explain(found) {
  const missing = Object.entries(found).flatMap(([name, what]) => (what ? [] : [name]));
  const commands = packagesFor(found).join(' ');
  return [
    `Missing: ${missing.join(', ')}.`,
    `  On Debian or Ubuntu, as root:  apt-get install --no-install-recommends ${commands}`,
    ...(found.patroni
      ? []
      : [`  Patroni elsewhere:  pip install ${PYPI_PACKAGES.map((name) => `'${name}'`).join(' ')}`]),
    ...(found.etcd
      ? []
      : ['  etcd elsewhere:  a release of etcd-io/etcd (3.4 or later); its `etcd` in PATH is enough']),
    ...(found.postgres ? [] : [`  PostgreSQL elsewhere:  the whole server (${SERVER_TOOLS.join(', ')})`]),
    '  Programs in other places are named by HYPERION_PATRONI, HYPERION_ETCD and HYPERION_PG_BIN (a folder).',
    ...(process.getuid?.() === 0 ? [`  All of them must be usable by the account the servers run as.`] : []),
  ].join('\n');
}

/**
 * @returns {Promise<Programs>}
 * @throws {MissingError}
 */
async function programs() {
  if (process.platform !== 'linux') {
    throw new MissingError('This suite runs on Linux: it needs 127.0.0.1 to 127.0.0.3, signals and /proc.');
  }
  const account = serverAccount();
  let found = find(account);
  const canInstall = process.getuid?.() === 0 && outputOf(['apt-get', '--version'], null) !== null;
  if (canInstall && packagesFor(found).length > 0) {
    installPackages(packagesFor(found));
    found = find(account);
  }
  if (!isSound(found.patroni) && !process.env.HYPERION_PATRONI) {
    found.patroni = (await patroniFromPyPI(account)) ?? found.patroni;
  }
  const { postgres, patroni, etcd } = found;
  if (!postgres || !patroni || !etcd) throw new MissingError(explain(found));
  return { account, postgres, patroni, etcd };
}

exports.isSound = isSound;
exports.programs = programs;
exports.MissingError = MissingError;
