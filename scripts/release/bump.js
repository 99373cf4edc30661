'use strict';

// The next version, in every file that says it: `node scripts/release/bump.js` adds one to the patch number, `bump.js 0.2.0` sets
// it. Prints the version. `--root FOLDER`: not of this clone. On a runner of GitHub's it also writes which repository this is:
// npm takes a provenance statement only for a package that names the repository it was built in.
//
// All of them are edited as text or as JSON in place, so that a bump is a diff of version numbers and nothing else.

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

const VERSION = /^(\d+)\.(\d+)\.(\d+)$/;

/** @param {string} version */
function nextPatch(version) {
  const [, major, minor, patch] = VERSION.exec(version) ?? [];
  if (patch === undefined) throw new Error(`${version} is no version of three numbers`);
  return `${major}.${minor}.${Number(patch) + 1}`;
}

/**
 * @param {string} file
 * @param {(manifest: any) => void} edit
 */
function editJson(file, edit) {
  const manifest = JSON.parse(fs.readFileSync(file, 'utf8'));
  edit(manifest);
  fs.writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * @param {string} file
 * @param {RegExp} pattern global; its group is the version
 * @param {string} before
 * @param {string} after
 */
function editText(file, pattern, before, after) {
  const text = fs.readFileSync(file, 'utf8');
  let edits = 0;
  const edited = text.replace(pattern, (match, version) => {
    if (version !== before) throw new Error(`${file} says ${version}, package.json says ${before}`);
    edits++;
    return match.replace(before, after);
  });
  if (edits === 0) throw new Error(`${file} does not say its version where it is looked for`);
  fs.writeFileSync(file, edited);
}

/**
 * @param {string} root
 * @param {string} [asked]
 * @param {string} [repository] owner/name
 * @returns {string} the new version
 */
function bump(root, asked, repository) {
  const at = (/** @type {string[]} */ ...names) => path.join(root, ...names);
  const before = JSON.parse(fs.readFileSync(at('package.json'), 'utf8')).version;
  const after = asked ?? nextPatch(before);
  if (!VERSION.test(after)) throw new Error(`${after} is no version of three numbers`);

  const set = (/** @type {any} */ manifest) => {
    manifest.version = after;
    for (const name of Object.keys(manifest.optionalDependencies ?? {})) manifest.optionalDependencies[name] = after;
  };
  const published = [
    'package.json',
    ...fs.readdirSync(at('npm')).map((name) => path.join('npm', name, 'package.json')),
  ];
  for (const file of published) {
    editJson(at(file), (manifest) => {
      set(manifest);
      if (repository) manifest.repository = { type: 'git', url: `git+https://github.com/${repository}.git` };
    });
  }
  editJson(at('package-lock.json'), (lock) => {
    lock.version = after;
    set(lock.packages['']);
  });
  editText(at('Cargo.toml'), /^\[package\]\nname = "hyperiondb-client"\nversion = "([^"]+)"$/gm, before, after);
  editText(at('Cargo.lock'), /^name = "hyperiondb-client"\nversion = "([^"]+)"$/gm, before, after);
  // What `napi build` writes: the loader compares the version of the package it found. Each is there twice in a line.
  editText(at('index.js'), /(?<=bindingPackageVersion !== ')(\d+\.\d+\.\d+)(?=')/g, before, after);
  editText(at('index.js'), /(?<=version mismatch, expected )(\d+\.\d+\.\d+)(?= but got)/g, before, after);
  return after;
}

if (require.main === module) {
  try {
    const { values, positionals } = parseArgs({ options: { root: { type: 'string' } }, allowPositionals: true });
    const root = values.root ?? path.join(__dirname, '..', '..');
    console.log(bump(root, positionals[0], process.env.GITHUB_REPOSITORY));
  } catch (error) {
    console.error(/** @type {Error} */ (error).message);
    process.exitCode = 1;
  }
}

module.exports = { bump, nextPatch };
