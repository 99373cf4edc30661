'use strict';

// The limit: a program in Rust on tokio-postgres directly (bench/limit/), built on first use.

const { execFile, execFileSync } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');

/** @typedef {import('../types').Limit} Limit */

const SOURCE = path.join(__dirname, '../limit');
const TARGET = path.join(__dirname, '../../target/bench-limit');
const PROGRAM = path.join(TARGET, 'release', `hyperiondb-bench-limit${process.platform === 'win32' ? '.exe' : ''}`);

exports.version = () => /name = "tokio-postgres"\nversion = "([^"]+)"/.exec(lockFile())?.[1] ?? '';

const lockFile = () => require('node:fs').readFileSync(path.join(SOURCE, 'Cargo.lock'), 'utf8');

/** @type {Limit['prepare']} */
exports.prepare = async () => {
  try {
    execFileSync('cargo', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'cargo was not found';
  }
  try {
    // Cargo itself knows when there is nothing to do. In the folder, so that the folder's lock file counts.
    execFileSync('cargo', ['build', '--quiet', '--release', '--locked', '--target-dir', TARGET], {
      cwd: SOURCE,
      stdio: ['ignore', 2, 2],
    });
  } catch {
    return 'bench/limit/ could not be built';
  }
  return undefined;
};

/** @type {Limit['run']} */
exports.run = async (load, { primary, user, password, database }, { seconds, warmupSeconds }) => {
  if (load.rust === undefined) throw new Error(`${load.id} is not among its loads`);
  const { stdout } = await promisify(execFile)(
    PROGRAM,
    [
      `host=${primary.host} port=${primary.port} user=${user} dbname=${database} sslmode=disable`,
      load.rust.task,
      load.rust.size,
      load.connections,
      load.way.kind === 'steady' ? load.way.inFlight : 1,
      warmupSeconds,
      seconds,
      ...load.statements,
    ].map(String),
    { env: { ...process.env, PGPASSWORD: password } },
  );
  return JSON.parse(stdout);
};
