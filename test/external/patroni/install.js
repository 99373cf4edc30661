'use strict';

// Where PostgreSQL, Patroni and etcd come from. Installed programs are used; missing ones are installed where that is possible
// without asking: Debian's packages by root, Patroni also from PyPI in a folder of its own, which is preferred to a version that
// loses writes by itself. Otherwise a MissingError says what is missing and which command installs it.
//
//   HYPERION_PG_BIN    a folder with the whole server: initdb, pg_basebackup, pg_rewind, ...
//   HYPERION_PATRONI   the `patroni` command
//   HYPERION_ETCD      the `etcd` command

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { serverAccount } = require('../../../exports/testing/cluster/account.js');
const { cached } = require('../../../exports/testing/cluster/files.js');
const {
  FOLDERS,
  MissingError,
  aptHas,
  canInstall,
  findProgram,
  installPackages,
  outputOf,
  program,
  unusable,
} = require('../../support/programs');

/** @typedef {import('../../../exports/testing/cluster/account.js').Account} Account */
/** @typedef {import('../../support/programs').Program} Program */
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
/** The last version that takes a ttl of a few seconds (settings.js). */
const PYPI_PATRONI = '3.1.2';
/**
 * Older versions (Debian 12 has 3.0.2) write the leader key without a check when their lease has run out
 * (patroni/dcs/etcd3.py, _update_leader): an agent that was frozen takes the key back from the new leader, and the writes that
 * the new leader had acknowledged are lost, whatever client wrote them.
 */
const SOUND_PATRONI = [3, 1, 2];
const PYPI_PACKAGES = [`patroni[etcd3]==${PYPI_PATRONI}`, 'psycopg2-binary'];

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

/** The Debian packages of the programs that were not found. @param {ReturnType<typeof find>} found */
function packagesFor({ postgres, patroni, etcd }) {
  return [
    ...(postgres ? [] : [aptHas('postgresql-15') ? 'postgresql-15' : 'postgresql']),
    ...(patroni ? [] : ['patroni', 'python3-venv']),
    ...(etcd ? [] : ['etcd-server']),
  ];
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
    // The script's own first line names the folder in which it was built.
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
  if (canInstall() && packagesFor(found).length > 0) {
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
