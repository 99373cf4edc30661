'use strict';

// The limit: a program in Rust on tokio-postgres directly (bench/limit/), built on first use.

const { execFile, execFileSync } = require('node:child_process');
const path = require('node:path');
const { beginServerCpu } = require('../server-cpu.js');

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
exports.run = async (load, { primary, user, password, database }, { seconds, warmupSeconds, dataDir }) => {
  if (load.rust === undefined) throw new Error(`${load.id} is not among its loads`);
  const args = [
    `host=${primary.host} port=${primary.port} user=${user} dbname=${database} sslmode=disable`,
    load.rust.task,
    load.rust.size,
    load.connections,
    load.way.kind === 'steady' ? load.way.inFlight : 1,
    warmupSeconds,
    seconds,
    ...load.statements,
  ].map(String);
  const { stdout, serverUs } = await output(args, { ...process.env, PGPASSWORD: password }, dataDir);
  const measured = JSON.parse(stdout);
  return { ...measured, serverUsPerOp: serverUs && serverUs / measured.operations };
};

/**
 * What the program prints, and the server's CPU time while it measured, as it says on stderr.
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @param {string | undefined} dataDir
 * @returns {Promise<{ stdout: string, serverUs: number | undefined }>}
 */
function output(args, env, dataDir) {
  return new Promise((resolve, reject) => {
    /** @type {ReturnType<typeof beginServerCpu> | undefined} */
    let end;
    /** @type {number | undefined} */
    let serverUs;
    const child = execFile(PROGRAM, args, { env }, (error, stdout) =>
      error ? reject(error) : resolve({ stdout, serverUs }),
    );
    child.stderr?.on('data', (said) => {
      // Both at once: this process slept through the measurement.
      if (/measuring\n/.test(said)) end = /measured\n/.test(said) ? undefined : beginServerCpu(dataDir);
      else if (/measured\n/.test(said)) serverUs = end?.();
    });
  });
}
