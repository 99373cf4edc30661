'use strict';

// Packages that some tests need and most people who clone the repository never do: too large to be development dependencies. A
// folder has their package.json and package-lock.json; they are installed under target/ when they are first needed, without scripts.

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');
const { npmProgram, ROOT } = require('../../scripts/release/stage.js');

const MANIFESTS = ['package.json', 'package-lock.json'];
/** Not `ci`, for the reason that scripts/setup.js has: this, too, installs what is locked. */
const INSTALL = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1'];

/** What cannot be had here; the message says why. */
class NotAvailableError extends Error {}

/** The texts that say what is to be installed. @param {string} folder */
const manifestsIn = (folder) =>
  MANIFESTS.map((name) => path.join(folder, name))
    .map((file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''))
    .join('\n');

/** No install takes so long: whoever held the lock was killed. Milliseconds. */
const STALE_MS = 600_000;

/** Whether a lock, which is a folder, is ours now. @param {string} lock */
function isTaken(lock) {
  try {
    fs.mkdirSync(lock);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    const { mtimeMs = Date.now() } = fs.statSync(lock, { throwIfNoEntry: false }) ?? {};
    if (Date.now() - mtimeMs > STALE_MS) fs.rmSync(lock, { recursive: true, force: true });
    return false;
  }
}

class Packages {
  #manifests;
  #name;
  /** Tried once: where the registry does not answer, each try takes long. @type {Promise<void> | undefined} */
  #installing;

  /** @param {string} manifests the folder that says what is to be installed @param {string} name of the folder under target/ */
  constructor(manifests, name) {
    this.#manifests = manifests;
    this.#name = name;
    this.folder = path.join(ROOT, 'target', name);
  }

  /** Installs what is missing, or is not what is asked for. @param {() => boolean} [isThere] */
  async install(isThere = () => true) {
    const isReady = () => isThere() && this.#isCurrent();
    if (isReady()) return;
    this.#installing ??= this.#install(isReady);
    await this.#installing;
  }

  /** One process installs; the others wait for it. @param {() => boolean} isReady */
  async #install(isReady) {
    const lock = `${this.folder}.lock`;
    fs.mkdirSync(path.dirname(lock), { recursive: true });
    while (!isTaken(lock)) {
      await sleep(200);
      if (isReady()) return;
    }
    try {
      if (!isReady()) await this.#replace();
    } finally {
      fs.rmSync(lock, { recursive: true, force: true });
    }
  }

  #isCurrent() {
    return manifestsIn(this.folder) === manifestsIn(this.#manifests);
  }

  /** In a folder of its own that is renamed: what is there is always whole. */
  async #replace() {
    const draft = `${this.folder}-${process.pid}`;
    fs.mkdirSync(draft, { recursive: true });
    try {
      for (const name of MANIFESTS) fs.copyFileSync(path.join(this.#manifests, name), path.join(draft, name));
      await this.#npm(draft);
      fs.rmSync(this.folder, { recursive: true, force: true });
      fs.renameSync(draft, this.folder);
    } finally {
      fs.rmSync(draft, { recursive: true, force: true });
    }
  }

  /** @param {string} folder */
  async #npm(folder) {
    try {
      await promisify(execFile)(process.execPath, [npmProgram(), ...INSTALL], { cwd: folder });
    } catch (error) {
      const { stderr, message } = /** @type {Error & { stderr?: string }} */ (error);
      const why = /npm (?:error|ERR!) (?:code )?(.*)/.exec(stderr ?? '')?.[1] ?? message;
      throw new NotAvailableError(`the ${this.#name} could not be had from the npm registry: ${why}`);
    }
  }
}

module.exports = { NotAvailableError, Packages };
