'use strict';

// What a user is told when the native addon is not there (lib/binding.js): the package to install, and the usual causes.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe } = require('node:test');
const { promisify } = require('node:util');
const { explain, suffixOf, thisMachine } = require('../../lib/core/binding.js');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const manifest = require('../../package.json');

/** The error of index.js: each place where it looked is the cause of the one after. @param {string[]} messages */
const looked = (...messages) =>
  messages.reduce(
    (error, message) => new Error(message, { cause: error }),
    /** @type {Error | undefined} */ (undefined),
  );
const nowhere = looked("Cannot find module './x.node'", "Cannot find module 'x'", 'Cannot find native binding.');

describe('an add-on that is missing', () => {
  test('a missing add-on is named by its package, for each platform', () => {
    /** @type {[import('../../lib/core/binding.js').Machine, string][]} */
    const TABLE = [
      [{ platform: 'linux', arch: 'x64', libc: 'glibc' }, 'linux-x64-gnu'],
      [{ platform: 'linux', arch: 'arm64', libc: 'glibc' }, 'linux-arm64-gnu'],
      [{ platform: 'linux', arch: 'x64', libc: 'musl' }, 'linux-x64-musl'],
      [{ platform: 'linux', arch: 'arm64', libc: 'musl' }, 'linux-arm64-musl'],
      [{ platform: 'darwin', arch: 'x64', libc: null }, 'darwin-x64'],
      [{ platform: 'darwin', arch: 'arm64', libc: null }, 'darwin-arm64'],
      [{ platform: 'win32', arch: 'x64', libc: null }, 'win32-x64-msvc'],
    ];
    assert.equal(TABLE.length, Object.keys(manifest.optionalDependencies).length);
    for (const [machine, suffix] of TABLE) {
      const text = explain(manifest, machine, nowhere, undefined);
      const name = `hyperiondb-client-${suffix}@${manifest.version}`;
      assert.ok(text.includes(`the package ${name} is not installed`), text);
      assert.ok(text.endsWith(`npm install ${name}`), text);
      for (const cause of ['--omit=optional', 'lock file', 'Alpine']) assert.ok(text.includes(cause), cause);
    }
  });

  test('an add-on is not looked for on a platform that has none', () => {
    for (const machine of [
      { platform: 'freebsd', arch: 'x64', libc: null },
      { platform: 'win32', arch: 'arm64', libc: null },
      { platform: 'linux', arch: 's390x', libc: /** @type {const} */ ('glibc') },
    ]) {
      const text = explain(manifest, machine, nowhere, undefined);
      assert.ok(text.startsWith(`there is no native addon of hyperiondb-client for ${suffixOf(machine)}: `), text);
      assert.ok(text.includes('linux-x64-musl'), text);
      assert.ok(!text.includes('npm install'), text);
    }
  });

  test('an add-on that was found and cannot be loaded is another error', () => {
    const machine = { platform: 'linux', arch: 'x64', libc: /** @type {const} */ ('glibc') };
    const reason = "/lib/libc.so.6: version `GLIBC_2.17' not found";
    const error = looked("Cannot find module './x.node'", reason, 'Cannot find native binding.');
    const text = explain(manifest, machine, error, undefined);
    assert.ok(text.includes(reason) && text.includes('glibc 2.17 or later'), text);
    assert.ok(!text.includes('not installed') && !text.includes('--omit=optional'), text);
  });

  test('an add-on whose file is named is that file', () => {
    const text = explain(manifest, thisMachine(), nowhere, '/opt/x.node');
    assert.match(text, /NAPI_RS_NATIVE_LIBRARY_PATH names \/opt\/x\.node/);
  });
});

/**
 * A process that loads the package without its addon; what it says of the error.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} [more] other files, e.g. an addon that is none
 */
async function withoutAddon(t, more = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  for (const name of ['package.json', ...manifest.files]) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  }
  for (const [name, text] of Object.entries(more)) fs.writeFileSync(path.join(folder, name), text);
  const script = `try { require(${JSON.stringify(folder)}); } catch (error) {
    const { HyperionError } = require(${JSON.stringify(path.join(folder, 'lib', 'errors.js'))});
    console.log(JSON.stringify([error instanceof HyperionError, error.code, error.message, error.cause.message]));
  }`;
  const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: '' };
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: folder, env });
  const cli = await run(process.execPath, [path.join(folder, 'lib', 'cli', 'index.js'), 'status'], { env }).catch(
    (error) => error,
  );
  return { error: JSON.parse(stdout), cli };
}

describe('the package without its add-on', () => {
  const name = `hyperiondb-client-${suffixOf(thisMachine())}`;

  test('the package without its add-on throws ERR_NO_BINDING when it is loaded, with the reason of the loader', async (t) => {
    const { error, cli } = await withoutAddon(t);
    const [isOurs, code, message, cause] = error;
    assert.deepEqual([isOurs, code], [true, 'ERR_NO_BINDING']);
    assert.match(message, new RegExp(`the package ${name}@${manifest.version} is not installed`));
    assert.match(cause, /Cannot find native binding/);
    assert.equal(cli.code, 2);
    assert.match(cli.stderr, new RegExp(`^hyperiondb-client: .*${name}`));
  });

  test('the package with a broken add-on says so', async (t) => {
    const file = `hyperiondb-client.${suffixOf(thisMachine())}.node`;
    const { error } = await withoutAddon(t, { [file]: 'not a library, but long enough to look at' });
    const [, code, message] = error;
    assert.equal(code, 'ERR_NO_BINDING');
    assert.match(message, /is there, but could not be loaded: /);
    assert.ok(message.includes(file), message);
  });
});
