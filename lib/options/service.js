'use strict';

// The connection service file, as libpq reads it (parseServiceInfo in fe-connect.c; PostgreSQL docs, 34.17): sections of
// keyword=value lines, `#` for comments. The user's file first, then the system's.

const fs = require('node:fs');
const path = require('node:path');
const { OptionError } = require('../errors.js');
const { homeFile } = require('./files.js');
const { KEYWORDS, unknownKeyword } = require('./keywords.js');

/** The system's folders if PGSYSCONFDIR is not set: of Debian, of Red Hat, and of a build from source. */
const SYSTEM = ['/etc/postgresql-common', '/etc/sysconfig/pgsql', '/usr/local/pgsql/etc'];

/**
 * @param {string} service
 * @param {NodeJS.ProcessEnv} env
 * @returns {Map<string, string>}
 */
function readService(service, env) {
  if (env.PGSERVICEFILE && !fs.existsSync(env.PGSERVICEFILE)) {
    throw new OptionError(`service: the file "${env.PGSERVICEFILE}" (PGSERVICEFILE) does not exist`);
  }
  const own = env.PGSERVICEFILE || homeFile(env, '.pg_service.conf');
  const system = (env.PGSYSCONFDIR ? [env.PGSYSCONFDIR] : SYSTEM).map((folder) => path.join(folder, 'pg_service.conf'));
  for (const file of own === undefined ? system : [own, ...system]) {
    const found = fs.existsSync(file) ? section(file, service) : undefined;
    if (found !== undefined) return found;
  }
  throw new OptionError(`service '${service}' is not defined in a service file`);
}

/**
 * @param {string} file
 * @param {string} service
 */
function section(file, service) {
  /** @type {Map<string, string> | undefined} */
  let settings;
  for (const [index, raw] of read(file).split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (settings !== undefined) break;
      if (line.startsWith(`[${service}]`)) settings = new Map();
      continue;
    }
    if (settings === undefined) continue;
    const [keyword, value] = pair(line, `service file "${file}", line ${index + 1}`);
    // Of two equal keywords the first one counts.
    if (!settings.has(keyword)) settings.set(keyword, value);
  }
  return settings;
}

/**
 * @param {string} line
 * @param {string} place
 */
function pair(line, place) {
  if (line.startsWith('ldap')) throw new OptionError(`${place}: a look-up by LDAP is not supported`);
  const equals = line.indexOf('=');
  if (equals < 0) throw new OptionError(`${place}: there is no '='`);
  const keyword = line.slice(0, equals);
  if (keyword === 'service') throw new OptionError(`${place}: a service cannot name another`);
  if (Object.hasOwn(KEYWORDS, keyword.trimEnd()) && keyword !== keyword.trimEnd()) {
    throw new OptionError(`${place}: there must be no space before '='`);
  }
  if (!Object.hasOwn(KEYWORDS, keyword)) throw new OptionError(`${place}: ${unknownKeyword(keyword)}`);
  return [keyword, line.slice(equals + 1)];
}

/** @param {string} file */
function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new OptionError(`service file "${file}" cannot be read (${/** @type {any} */ (error).code})`);
  }
}

module.exports = { readService };
