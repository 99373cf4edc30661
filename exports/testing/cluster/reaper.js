'use strict';

// The watchdog. A test can end in ways that run no code of its own (kill -9, a crash of the add-on under test), so another process
// cleans up: a detached child that holds the reading end of a pipe whose writing end only the test has. "+dir" and "-dir" lines say
// which folders have running servers. When the pipe closes, whatever the reason, the folders that are left are removed with their
// processes. There is no other mechanism: no exit hooks and no signal handlers in the test, and so no difference between a test
// that ends well and one that does not.

const { spawn } = require('node:child_process');
const { sweep } = require('./processes.js');

/** @typedef {{ process: import('node:child_process').ChildProcess, dirs: Set<string> }} Watchdog */

/** @type {Watchdog | null} one for all clusters of this process */
let watchdog = null;

/**
 * From now on `dir` and the servers in it end with this process.
 *
 * @param {string} dir
 */
function guard(dir) {
  watchdog ??= hire();
  watchdog.dirs.add(dir);
  tell(watchdog, `+${dir}\n`);
}

/**
 * `dir` was removed; after the last folder the watchdog ends.
 *
 * @param {string} dir
 */
function release(dir) {
  if (!watchdog?.dirs.delete(dir)) return;
  tell(watchdog, `-${dir}\n`);
  if (watchdog.dirs.size === 0) {
    watchdog.process.stdin?.end();
    watchdog = null;
  }
}

/** @returns {Watchdog} */
function hire() {
  const child = spawn(process.execPath, [__filename], {
    cwd: '/', // a folder under test must not be held by the watchdog
    detached: true, // a session of its own: Ctrl-C and a closing terminal do not reach it
    env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  child.on('error', () => {});
  const pipe = /** @type {import('node:net').Socket} */ (child.stdin);
  pipe.unref();
  pipe.on('error', () => {});
  return { process: child, dirs: new Set() };
}

/**
 * @param {Watchdog} to
 * @param {string} line
 */
function tell(to, line) {
  to.process.stdin?.write(line);
}

/** The code of the child. */
function watch() {
  for (const name of /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGTERM'])) process.on(name, () => {});
  let text = '';
  const finish = async () => {
    await Promise.allSettled([...openDirs(text)].map(sweep));
    process.exit(0);
  };
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (chunk) => {
    text += chunk;
  });
  process.stdin.on('end', finish);
  process.stdin.on('error', finish);
}

/**
 * @param {string} text
 * @returns {Set<string>}
 */
function openDirs(text) {
  /** @type {Set<string>} */
  const dirs = new Set();
  for (const line of text.split('\n').filter(Boolean)) {
    if (line.startsWith('+')) dirs.add(line.slice(1));
    else dirs.delete(line.slice(1));
  }
  return dirs;
}

if (require.main === module) watch();

exports.guard = guard;
exports.release = release;
