'use strict';

// What every process of the cluster starts with: a folder that its account owns, and an environment in which no setting of
// the caller's (PG*, PATRONI_*, ETCD_*, proxies, Python's) has a say.

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

exports.newFolder = newFolder;
exports.plainEnvironment = plainEnvironment;
