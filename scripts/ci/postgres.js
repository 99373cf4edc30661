'use strict';

// Installs a PostgreSQL on a runner of GitHub and names it for the next steps: `node scripts/ci/postgres.js 16`.
//
// 18 on Linux and macOS is the embedded one, which npm has installed. Others come from PostgreSQL's own packages for Debian, or from
// Homebrew. On Windows the harness cannot start servers: the one that GitHub's image brings is started as a service, and is a
// cluster of one node that somebody else runs.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');

const EMBEDDED = '18';

/**
 * @param {string} version
 * @param {NodeJS.Platform} platform
 * @param {NodeJS.ProcessEnv} env
 * @returns {{ commands: string[][], variables: Record<string, string> }} what to run, and what the tests are told
 */
function plan(version, platform, env) {
  if (!/^1[4-8]$/.test(version)) throw new Error(`PostgreSQL ${version} is not one that CI tests`);
  if (platform === 'win32') {
    const service = `postgresql-x64-${version}`;
    return {
      commands: [['powershell', '-Command', `Set-Service ${service} -StartupType manual; Start-Service ${service}`]],
      variables: {
        HYPERION_HOSTS: '127.0.0.1:5432',
        HYPERION_USER: env.PGUSER ?? 'postgres',
        HYPERION_PASSWORD: env.PGPASSWORD ?? 'root',
      },
    };
  }
  if (version === EMBEDDED) return { commands: [], variables: {} };
  if (platform === 'darwin') {
    const prefix = env.HOMEBREW_PREFIX ?? '/opt/homebrew';
    return {
      commands: [['brew', 'install', `postgresql@${version}`]],
      variables: { HYPERION_PG_BIN: `${prefix}/opt/postgresql@${version}/bin` },
    };
  }
  const apt = ['sudo', 'apt-get', 'install', '--yes', '--no-install-recommends'];
  return {
    commands: [
      [...apt, 'postgresql-common'],
      ['sudo', '/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh', '-y'],
      [...apt, `postgresql-${version}`],
    ],
    variables: { HYPERION_PG_BIN: `/usr/lib/postgresql/${version}/bin` },
  };
}

if (require.main === module) {
  const { commands, variables } = plan(process.argv[2] ?? '', process.platform, process.env);
  for (const [command, ...args] of commands) execFileSync(command, args, { stdio: ['ignore', 2, 2] });
  for (const [name, value] of Object.entries(variables)) {
    if (process.env.GITHUB_ENV) fs.appendFileSync(process.env.GITHUB_ENV, `${name}=${value}\n`);
    console.log(`${name}=${name === 'HYPERION_PASSWORD' ? '...' : value}`);
  }
}

module.exports = { plan };
