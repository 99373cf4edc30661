'use strict';

// Makes a fresh clone ready to run: dependencies (when the lock file changed) and the native addon (when its sources
// changed). Does nothing, quickly, when all is there. `--no-addon`: dependencies only. `--sqlite`: better-sqlite3, too, which tests
// and a benchmark run beside node:sqlite. `--rust-tests`: compiles the Rust tests beside the add-on, whose last step uses one core
// for a minute.

const { execFileSync, spawn } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');

/** @param {string} command @param {string[]} args */
function run(command, args) {
  console.error(`> ${command} ${args.join(' ')}`);
  execFileSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
}

/** @param {string} file @returns {string[]} */
function filesUnder(file) {
  const full = path.join(ROOT, file);
  if (!fs.statSync(full).isDirectory()) return [file];
  return fs
    .readdirSync(full)
    .sort()
    .flatMap((name) => filesUnder(path.join(file, name)));
}

/** @param {string[]} sources */
function fingerprint(sources) {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const file of sources.flatMap(filesUnder)) {
    hash.update(`${file}\n`).update(fs.readFileSync(path.join(ROOT, file)));
  }
  return hash.digest('hex');
}

/**
 * Runs `make` unless its result is there and was made from the same sources.
 * @param {string} stamp file that remembers the sources
 * @param {string[]} sources
 * @param {() => boolean} isThere
 * @param {() => void} make
 */
function once(stamp, sources, isThere, make) {
  const now = fingerprint(sources);
  const file = path.join(ROOT, stamp);
  const before = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  if (before === now && isThere()) return;
  make();
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, now);
}

const hasAddon = () => fs.readdirSync(ROOT).some((name) => /^hyperiondb-client\..*\.node$/.test(name));

function buildAddon() {
  try {
    execFileSync('cargo', ['--version'], { stdio: 'ignore' });
  } catch {
    console.error(
      'The native addon is built with Rust, and `cargo` was not found: install Rust 1.88 or later (rustup.rs).',
    );
    process.exit(1);
  }
  if (process.argv.includes('--rust-tests')) {
    // Whether it succeeds is seen when the tests are run.
    spawn('cargo', ['test', '--quiet', '--lib', '--no-run'], { cwd: ROOT, stdio: 'ignore' });
  }
  run('npm', ['run', '--silent', 'build']);
}

/** Whether better-sqlite3 can be used by this version of Node. */
function hasBetterSqlite3() {
  try {
    const load = "new (require('better-sqlite3'))(':memory:')";
    execFileSync(process.execPath, ['--eval', load], { cwd: ROOT, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Its binary is downloaded, or built where that fails, beside the add-on. Who can do neither passes over the tests that need it. */
function startBetterSqlite3() {
  console.error('> npm rebuild better-sqlite3');
  const child = spawn('npm', ['rebuild', 'better-sqlite3'], {
    cwd: ROOT,
    stdio: 'ignore',
    shell: process.platform === 'win32',
  });
  const failed = () =>
    console.error('better-sqlite3 could not be downloaded or built: tests that need it are skipped.');
  child.on('error', failed);
  child.on('exit', (code) => code !== 0 && failed());
}

// Not `npm ci`: it refuses a lock file that does not list every platform's optional packages, and a registry mirror that
// carries only some platforms makes such lock files. `--no-save` installs what is locked and leaves the file alone.
once(
  'node_modules/.setup-stamp',
  ['package.json', 'package-lock.json'],
  () => true,
  () => run('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']),
);
if (process.argv.includes('--sqlite') && !hasBetterSqlite3()) startBetterSqlite3();
if (!process.argv.includes('--no-addon')) {
  once('target/.addon-stamp', ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src'], hasAddon, buildAddon);
}
