'use strict';

// Where PostgreSQL's clients keep their files: in the user's home directory, on Windows in %APPDATA%\postgresql.

const os = require('node:os');
const path = require('node:path');

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} name below the home directory: `.pgpass`, `.postgresql/root.crt`
 * @param {string} [onWindows] below %APPDATA%\postgresql, where it has another name
 * @returns {string | undefined} nothing for a user without a home, as there is one in some containers
 */
function homeFile(env, name, onWindows = path.basename(name)) {
  if (process.platform === 'win32') return path.join(env.APPDATA ?? '', 'postgresql', onWindows);
  let home = env.HOME;
  try {
    home ||= os.userInfo().homedir;
  } catch {
    return undefined;
  }
  return home ? path.join(home, name) : undefined;
}

module.exports = { homeFile };
