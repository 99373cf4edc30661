'use strict';

// What the tests of options have in common: the options that the core receives, refusals, and files that end with the test file.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const util = require('node:util');
const { after } = require('node:test');
const { OptionError } = require('../../lib/errors.js');
const { forCore, parseOptions } = require('../../lib/options/options.js');

const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-options-'));
after(() => fs.rmSync(FOLDER, { recursive: true }));

/** An empty home directory. */
const HOME = path.join(FOLDER, 'empty');

/** @param {string} name @param {string} text @param {number} [mode] */
function file(name, text, mode = 0o600) {
  const full = path.join(FOLDER, name);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, text);
  fs.chmodSync(full, mode);
  return full;
}

/** The options that the core receives. @param {unknown} given @param {NodeJS.ProcessEnv} [env] */
function core(given, env = {}) {
  const surroundings = { HOME, ...env };
  return JSON.parse(forCore(parseOptions(given, surroundings), surroundings));
}

/** @param {unknown} given @param {NodeJS.ProcessEnv} env @param {RegExp} message */
function refused(given, env, message) {
  assert.throws(
    () => parseOptions(given, { HOME, ...env }),
    (/** @type {any} */ error) => {
      assert.ok(error instanceof OptionError, String(error));
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    },
  );
}

/** @param {unknown} given */
const shown = (given) =>
  // Text that looks like a key would fail the run (scripts/leaks.js), even in the title of a test.
  util.inspect(given, { breakLength: Infinity, depth: 4 }).replaceAll(FOLDER, '').replaceAll('-----BEGIN', '(BEGIN)');

module.exports = { FOLDER, HOME, core, file, refused, shown };
