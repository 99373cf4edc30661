'use strict';

// The account that runs the servers. PostgreSQL refuses to run as root, so a harness that root has started (a container, CI) gives
// the servers to another account; any other user runs them as himself. Files that the servers own are chowned to match.

const fs = require('node:fs');

/** @typedef {{ uid: number, gid: number }} Account */

const NOBODY = { uid: 65534, gid: 65534 };

/** @returns {Account | null} the account to drop to, null for "stay who you are" */
function serverAccount() {
  return process.getuid?.() === 0 ? (accountNamed('postgres') ?? NOBODY) : null;
}

/**
 * @param {string} name
 * @returns {Account | null}
 */
function accountNamed(name) {
  const line = fs
    .readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  if (line === undefined) return null;
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

exports.serverAccount = serverAccount;
