'use strict';

// The steps of a release between the builds and `npm publish`, on a copy of what they touch: bump, artefacts, pre-publish, pack.
// Where only one platform's addon is at hand, the six others are stand-ins: pre-publish wants to see all seven, none is packed.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { bump } = require('./bump.js');
const { NAME } = require('./quickstart.js');

const ROOT = path.join(__dirname, '..', '..');
const NAPI = path.join(ROOT, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
const OTHERS = ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock', 'README.md', 'LICENSE', 'npm'];

/**
 * @typedef {{ name: string, filename: string, size: number, unpackedSize: number, files: { path: string }[] }} Packed
 * what `npm pack --json` says of a tarball
 */

/** @param {string} folder */
const platformsOf = (folder) => fs.readdirSync(path.join(folder, 'npm')).sort();

/** npm's own program, run by this Node: its wrapper is a shell's. */
function npmProgram() {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const candidates = [
    process.env.npm_execpath ?? '',
    ...folders
      .map((folder) => path.join(folder, 'npm'))
      .filter(fs.existsSync)
      .map((file) => fs.realpathSync(file)),
    path.join(path.dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ];
  const found = candidates.find((file) => /npm-cli\.js$/.test(file) && fs.existsSync(file));
  if (found === undefined) throw new Error('npm was not found: no npm-cli.js behind the npm of PATH');
  return found;
}

/** @param {string} cwd @param {string} folder where the tarball goes @returns {Packed} */
function pack(cwd, folder) {
  const args = [npmProgram(), 'pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const output = JSON.parse(
    execFileSync(process.execPath, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  const [packed] = Array.isArray(output) ? output : Object.values(output);
  return packed;
}

/**
 * @param {string} addon
 * @param {string} platform e.g. linux-x64-gnu
 * @param {string} folder an empty one
 * @returns {{ version: string, main: Packed, binary: Packed, standIns: string[], tarballs: string[] }}
 */
function stage(addon, platform, folder) {
  const root = path.join(folder, 'stage');
  const published = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')).files;
  for (const name of [...OTHERS, ...published]) {
    fs.cpSync(path.join(ROOT, name), path.join(root, name), {
      recursive: true,
      filter: (file) => !file.endsWith('.node'),
    });
  }
  const version = bump(root);
  const standIns = platformsOf(root).filter((other) => other !== platform);
  for (const name of platformsOf(root)) {
    // As they come from the builds: one artefact a folder, all in one.
    const file = path.join(root, 'artifacts', name, `${NAME}.${name}.node`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    if (name === platform) fs.copyFileSync(addon, file);
    else fs.writeFileSync(file, 'stand-in\n');
  }
  const napi = (/** @type {string[]} */ ...args) =>
    execFileSync(process.execPath, [NAPI, ...args], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  napi('artifacts', '--output-dir', 'artifacts');
  napi('pre-publish', '--tag-style', 'npm', '--skip-optional-publish', '--no-gh-release');
  const main = pack(root, folder);
  const binary = pack(path.join(root, 'npm', platform), folder);
  const tarballs = [main, binary].map(({ filename }) => path.join(folder, path.basename(filename)));
  return { version, main, binary, standIns, tarballs };
}

module.exports = { npmProgram, platformsOf, ROOT, stage };
