'use strict';

// A folder for each process of the cluster, which its account owns and which has its log, and an environment without the
// settings of the caller (PG*, PATRONI_*, ETCD_*, proxies, Python's).

const { spawn } = require('node:child_process');
const fs = require('node:fs');

/** @typedef {import('./install').Account} Account */

/** @param {string} dir @param {Account | null} owner */
function newFolder(dir, owner) {
  fs.mkdirSync(dir, { mode: 0o755 });
  if (owner) fs.chownSync(dir, owner.uid, owner.gid);
}

/** @param {string} home */
function plainEnvironment(home) {
  return {
    HOME: home,
    LANG: 'C.UTF-8',
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    TZ: 'UTC',
  };
}

/**
 * @param {string[]} command
 * @param {{ dir: string, logFile: string, account: Account | null }} place
 * @param {(child: import('node:child_process').ChildProcess) => void} gone called when it has ended, or did not start
 */
function startIn([program, ...args], { dir, logFile, account }, gone) {
  const log = fs.openSync(logFile, 'a', 0o644);
  const child = spawn(program, args, {
    cwd: dir, // the watchdog finds the process by its working directory
    detached: true, // Ctrl-C is for the test, not for this process
    env: plainEnvironment(dir),
    stdio: ['ignore', log, log],
    ...account,
  });
  fs.closeSync(log);
  child.on('error', () => gone(child));
  child.on('exit', () => gone(child));
  child.unref();
  return child;
}

exports.newFolder = newFolder;
exports.startIn = startIn;
