'use strict';

// The password file, as libpq reads it (PostgreSQL docs, 34.16, The Password File): lines of
// hostname:port:database:username:password, `*` for any, backslash before a literal colon or backslash, first match
// wins; a file that others may read is ignored.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** @param {NodeJS.ProcessEnv} env */
function location(env) {
  if (env.PGPASSFILE) return env.PGPASSFILE;
  if (process.platform === 'win32') return path.join(env.APPDATA ?? '', 'postgresql', 'pgpass.conf');
  return path.join(env.HOME || os.homedir(), '.pgpass');
}

/**
 * The five fields of a line, or null.
 * @param {string} line
 */
function fields(line) {
  if (line === '' || line.startsWith('#')) return null;
  const parts = [''];
  for (let i = 0; i < line.length; i++) {
    const last = parts.length - 1;
    // The password is the rest: colons in it need no backslash.
    if (line[i] === '\\' && i + 1 < line.length) parts[last] += line[++i];
    else if (line[i] === ':' && parts.length < 5) parts.push('');
    else parts[last] += line[i];
  }
  return parts.length === 5 ? parts : null;
}

/** @param {string} file */
function readable(file) {
  try {
    const { mode } = fs.statSync(file);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      process.emitWarning(
        `password file "${file}" has group or world access; permissions should be u=rw (0600) or less`,
      );
      return null;
    }
    return fs.readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/**
 * @param {{ host: string, port: number }} host
 * @param {Readonly<Record<string, any>>} options
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | null}
 */
function passwordFor({ host, port }, { database, user }, env) {
  const text = readable(location(env));
  if (text === null) return null;
  // A socket in the default directory counts as localhost there; ours are always named.
  const wanted = [host, String(port), database, user];
  for (const line of text.split(/\r?\n/)) {
    const parts = fields(line);
    if (parts?.slice(0, 4).every((part, i) => part === '*' || part === wanted[i])) return parts[4];
  }
  return null;
}

module.exports = { passwordFor };
