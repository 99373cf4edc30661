'use strict';

// Folders: where clusters live, copying a data directory (a template, or a running server's for a base backup), and a
// cache of things that are slow to make. The cache is in the temp folder and shared by every process of this user; entries
// are built in a private folder and renamed into place, so two builders at once cost time and nothing else.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { guard, release } = require('./reaper.js');

/** @typedef {import('./account.js').Account} Account */

/**
 * Copies a tree, giving everything to `owner`. What vanishes while we read is left out, as in any base backup.
 *
 * @param {string} from
 * @param {string} to must not exist yet
 * @param {{ owner?: Account | null, skip?: (relative: string) => boolean }} [options]
 * @returns {Promise<void>}
 */
async function copyTree(from, to, { owner = null, skip = () => false } = {}) {
  /** @param {string} relative */
  async function copyFolder(relative) {
    const target = path.join(to, relative);
    const entries = await fs.promises.readdir(path.join(from, relative), { withFileTypes: true });
    await fs.promises.mkdir(target, { mode: 0o700 });
    if (owner) await fs.promises.chown(target, owner.uid, owner.gid);
    await Promise.all(entries.map((entry) => copyEntry(path.join(relative, entry.name), entry.isDirectory())));
  }

  /**
   * @param {string} relative
   * @param {boolean} isFolder
   */
  async function copyEntry(relative, isFolder) {
    if (skip(relative)) return;
    try {
      if (isFolder) return await copyFolder(relative);
      const target = path.join(to, relative);
      await fs.promises.copyFile(path.join(from, relative), target, fs.constants.COPYFILE_FICLONE);
      if (owner) await fs.promises.chown(target, owner.uid, owner.gid);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
    }
  }

  await copyFolder('');
}

/**
 * The folder `tree` of a cache entry, built when it is missing or damaged.
 *
 * @param {string} name must change when the content would
 * @param {(tree: string) => Promise<void>} build fills `tree`, which does not exist yet
 * @returns {Promise<string>}
 */
async function cached(name, build) {
  const cache = cacheFolder();
  const entry = path.join(cache, name);
  if (!isWhole(entry)) {
    const draft = fs.mkdtempSync(path.join(cache, 'draft-'));
    guard(draft);
    try {
      fs.chmodSync(draft, 0o755);
      await build(path.join(draft, 'tree'));
      fs.writeFileSync(path.join(draft, 'count'), String(countEntries(path.join(draft, 'tree'))));
      publish(draft, entry);
    } finally {
      fs.rmSync(draft, { recursive: true, force: true });
      release(draft);
    }
  }
  return path.join(entry, 'tree');
}

/**
 * @param {string} draft
 * @param {string} entry
 */
function publish(draft, entry) {
  try {
    fs.renameSync(draft, entry);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    if (isWhole(entry)) return; // another process was faster
    fs.rmSync(entry, { recursive: true, force: true });
    publish(draft, entry);
  }
}

/**
 * A temp cleaner (systemd-tmpfiles) removes old files one by one, empty ones first: an entry that exists may have holes.
 *
 * @param {string} entry
 */
function isWhole(entry) {
  try {
    return Number(fs.readFileSync(path.join(entry, 'count'), 'utf8')) === countEntries(path.join(entry, 'tree'));
  } catch {
    return false;
  }
}

/** @param {string} folder */
function countEntries(folder) {
  return fs.readdirSync(folder, { recursive: true }).length;
}

/** @returns {string} a folder only we can write to, though its name can be guessed */
function cacheFolder() {
  const uid = process.getuid?.() ?? 0;
  const folder = path.join(tempFolder(), `hyperion-cache-${uid}`);
  fs.mkdirSync(folder, { recursive: true, mode: 0o711 });
  const found = fs.lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o022) !== 0) {
    throw new Error(`${folder} is not a private folder of uid ${uid}: remove it`);
  }
  return folder;
}

/** The real path: processes report their working directory without symlinks (on macOS /tmp is one). */
function tempFolder() {
  return fs.realpathSync(os.tmpdir());
}

/**
 * A new folder for a cluster: in TMPDIR when it is set, else in memory where there is plenty of it, else in the temp folder.
 * A data directory is some 700 small files, and making and removing thousands of them is what a disk's filesystem is worst
 * at (an ext4 without journal gets ten times slower when many were removed in the last minutes).
 */
function newClusterFolder() {
  const parent = !process.env.TMPDIR && hasRoom(MEMORY_FOLDER) ? MEMORY_FOLDER : tempFolder();
  return fs.mkdtempSync(path.join(parent, 'hyperion-cluster-'));
}

const MEMORY_FOLDER = '/dev/shm';
const ROOM_BYTES = 2 * 1024 ** 3;

/** @param {string} folder */
function hasRoom(folder) {
  try {
    const { bavail, bsize } = fs.statfsSync(folder);
    fs.accessSync(folder, fs.constants.W_OK);
    return bavail * bsize >= ROOM_BYTES;
  } catch {
    return false;
  }
}

exports.copyTree = copyTree;
exports.cacheFolder = cacheFolder;
exports.cached = cached;
exports.newClusterFolder = newClusterFolder;
