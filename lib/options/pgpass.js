'use strict';

// The password file, as libpq reads it (passwordFromFile in fe-connect.c; PostgreSQL docs, 34.16): lines of
// hostname:port:database:username:password, `*` for any, backslash before a literal colon or backslash, first match
// wins; a file that others may read is ignored, with a warning.

const fs = require('node:fs');
const { homeFile } = require('./files.js');
const { SOCKET_FOLDERS } = require('./hosts.js');

/** @typedef {import('./hosts.js').Host} Host */

/**
 * The five fields of a line, not yet unescaped, or null. A colon in a password needs its backslash, too.
 * @param {string} line
 */
function fields(line) {
  if (line === '' || line.startsWith('#')) return null;
  const parts = line.match(/(?:^|:)(?:\\.|[^:\\]|\\$)*/g) ?? [];
  return parts.length < 5 ? null : parts.slice(0, 5).map((part, index) => (index === 0 ? part : part.slice(1)));
}

/** @param {string} field */
const unescaped = (field) => field.replaceAll(/\\(.)/g, '$1');

/** @param {string} file @param {string} complaint */
const warn = (file, complaint) => process.emitWarning(`password file "${file}" ${complaint}`);

/** @param {string} file */
function readable(file) {
  try {
    const stat = fs.statSync(file);
    if (!stat.isFile()) {
      warn(file, 'is not a plain file');
      return '';
    }
    if (process.platform !== 'win32' && (stat.mode & 0o077) !== 0) {
      warn(file, 'has group or world access; permissions should be u=rw (0600) or less');
      return '';
    }
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** A socket in a default folder counts as localhost. @param {Host} host */
const namesOf = ({ host }) => (SOCKET_FOLDERS.includes(host) ? [host, 'localhost'] : [host]);

/**
 * The password for each host; null where there is none.
 * @param {Readonly<Record<string, any>>} options as parseOptions made them
 * @param {NodeJS.ProcessEnv} env
 * @returns {(string | null)[]}
 */
function passwordsFromFile({ hosts, database, user, passfile }, env) {
  const file = passfile ?? homeFile(env, '.pgpass', 'pgpass.conf');
  const lines = (file === undefined ? '' : readable(file)).split(/\r*\n/).map(fields);
  return hosts.map((/** @type {Host} */ host) => {
    const wanted = [namesOf(host), [String(host.port)], [database], [user]];
    const found = lines.find((line) =>
      wanted.every((names, index) => line && (line[index] === '*' || names.includes(unescaped(line[index])))),
    );
    return (found && unescaped(found[4])) || null;
  });
}

module.exports = { passwordsFromFile };
