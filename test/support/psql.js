'use strict';

// psql, where it is installed: how libpq connects to the same server. (LD_LIBRARY_PATH chooses another version.)

const { execFile } = require('node:child_process');
const { UnsupportedError } = require('./cluster');

/** Whether its session is encrypted; or its error. */
const SQL = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';

/**
 * @param {Record<string, string | number>} keywords
 * @param {string} home a folder without .postgresql
 * @returns {Promise<string>} `tls`, `plain`, or libpq's words
 */
function askPsql(keywords, home) {
  const info = Object.entries({ connect_timeout: 10, ...keywords });
  const conninfo = info.map(([key, value]) => `${key}='${String(value).replace(/['\\]/g, '\\$&')}'`).join(' ');
  const { PATH, LD_LIBRARY_PATH } = process.env;
  const env = { PATH, LD_LIBRARY_PATH, HOME: home, LC_ALL: 'C' };
  return new Promise((resolve, reject) => {
    execFile('psql', ['-XAtc', SQL, conninfo], { env }, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT') reject(new UnsupportedError('psql', 'it is not installed'));
      else resolve(error ? stderr.trim() : stdout.trim() === 't' ? 'tls' : 'plain');
    });
  });
}

module.exports = { askPsql };
