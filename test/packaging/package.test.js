'use strict';

// What is published, and what it is made of: the files of the package, no script at install, no dependencies of others at run
// time, and crates whose licences deny.toml allows. (deny.toml also has rules that only cargo-deny itself can check.)

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { describe } = require('node:test');
const { FILES } = require('../../lib/api/dashboard/files.js');
const { code } = require('../../scripts/house/javascript.js');
const { UnsupportedError } = require('../support/cluster');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const manifest = require('../../package.json');
const lock = require('../../package-lock.json');

/** The file itself and all files that it requires, directly or indirectly. @param {string} file @param {Set<string>} [found] */
function required(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, name] of fs.readFileSync(path.join(ROOT, file), 'utf8').matchAll(/require\('(\.[^']+)'\)/g)) {
    if (name.endsWith('.js')) required(path.posix.join(path.posix.dirname(file), name), found);
  }
  return found;
}

/** What `hyperiondb-client/<name>` loads. @type {{ types: string, default: string }[]} */
const ENTRIES = Object.entries(manifest.exports)
  .filter(([name]) => !['.', './package.json'].includes(name))
  .map(([, entry]) => /** @type {any} */ (entry));

/** The files that the package must have: every published file is reachable from an entry point. */
const PUBLISHED = [
  ...['LICENSE', 'README.md', 'package.json', 'client.d.ts', 'index.d.ts', 'index.js'],
  ...required('client.js'),
  ...required('lib/cli/index.js'),
  ...ENTRIES.flatMap(({ types, default: file }) => [types, ...required(file)]).map((file) =>
    path.posix.normalize(file),
  ),
  // What the dashboard sends to browsers, and the licence of what is not ours in it.
  ...[...Object.values(FILES).map(([file]) => file), 'vendor/LICENSE'].map((file) => `lib/api/dashboard/page/${file}`),
  // Found by their names when a program loads what they stand in for.
  ...fs.readdirSync(path.join(ROOT, 'exports/register/modules')).flatMap((name) => {
    const file = `exports/register/modules/${name}`;
    return name.endsWith('.js') ? [...required(file)] : [file];
  }),
].filter((file, index, all) => all.indexOf(file) === index);

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  const shell = process.platform === 'win32';
  const { status, stdout } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', shell, maxBuffer: 64 << 20 });
  return { ok: status === 0, stdout: stdout ?? '' };
}

describe('the published package', () => {
  test('package has these files and no others', () => {
    const { ok, stdout } = run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']);
    if (!ok) throw new UnsupportedError('npm pack', 'npm is not there');
    const [{ files }] = JSON.parse(stdout);
    const packed = files.map((/** @type {{ path: string }} */ file) => file.path);
    const beside = (/** @type {string[]} */ some, /** @type {string[]} */ others) =>
      some.filter((name) => !others.includes(name));
    assert.deepEqual(
      { unexpected: beside(packed, PUBLISHED), missing: beside(PUBLISHED, packed) },
      { unexpected: [], missing: [] },
    );
  });

  test('package runs no script when it is installed or packed', () => {
    // npm docs, "scripts", Life Cycle Operation Order; install also runs a binding.gyp in the package.
    const RUN_BY_NPM = /^(pre|post)?(install|uninstall|prepare|prepublish|prepublishOnly|pack|publish|dependencies)$/;
    assert.deepEqual(
      Object.keys(manifest.scripts).filter((name) => RUN_BY_NPM.test(name)),
      [],
    );
    assert.ok(!fs.existsSync(path.join(ROOT, 'binding.gyp')));
  });

  test('package depends on nothing but its own platform packages, and peers are optional', () => {
    const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = /** @type {any} */ (manifest);
    const { peerDependenciesMeta } = /** @type {any} */ (manifest);
    assert.deepEqual([dependencies, Object.keys(peerDependencies)], [{}, Object.keys(peerDependenciesMeta)]);
    for (const [name, { optional }] of Object.entries(peerDependenciesMeta)) assert.equal(optional, true, name);
    for (const name of ['bundleDependencies', 'bundledDependencies']) assert.ok(!(name in manifest));
    for (const [name, version] of Object.entries(optionalDependencies)) {
      assert.match(name, /^hyperiondb-client-[a-z0-9-]+$/);
      assert.equal(version, manifest.version, name);
    }
  });

  test('package has a platform package for each platform that is built, at its own version', () => {
    const folders = fs.readdirSync(path.join(ROOT, 'npm')).sort();
    assert.equal(folders.length, manifest.napi.targets.length);
    assert.deepEqual(
      Object.keys(manifest.optionalDependencies).sort(),
      folders.map((folder) => `${manifest.name}-${folder}`),
    );
    assert.deepEqual(lock.packages[''].optionalDependencies, manifest.optionalDependencies);
    for (const folder of folders) {
      const platform = JSON.parse(fs.readFileSync(path.join(ROOT, 'npm', folder, 'package.json'), 'utf8'));
      const [os, cpu, abi] = folder.split('-');
      const libc = { gnu: ['glibc'], musl: ['musl'] }[abi];
      assert.equal(platform.name, `${manifest.name}-${folder}`);
      assert.deepEqual([platform.os, platform.cpu, platform.libc], [[os], [cpu], libc], folder);
      const { version, license, engines } = manifest;
      assert.deepEqual([platform.version, platform.license, platform.engines], [version, license, engines], folder);
      assert.deepEqual(platform.files, [`${manifest.name}.${folder}.node`], folder);
      assert.equal(platform.main, platform.files[0]);
      for (const name of ['scripts', 'dependencies', 'optionalDependencies']) assert.ok(!(name in platform), name);
      assert.match(
        fs.readFileSync(path.join(ROOT, 'npm', folder, 'README.md'), 'utf8'),
        new RegExp(`^# ${platform.name}\n`),
      );
    }
  });

  test('package is loaded by its name, with its package.json, from CommonJS and ES modules', async () => {
    // A package may require itself by its name, through `exports`, as others do.
    const script = (/** @type {string[]} */ names) => `
      import { ${names.join(', ')} } from 'hyperiondb-client';
      import all from 'hyperiondb-client';
      import manifest from 'hyperiondb-client/package.json' with { type: 'json' };
      const mine = { ${names.join(', ')} };
      console.log(JSON.stringify([Object.keys(mine).filter((name) => mine[name] === all[name]), manifest.version]));`;
    const names = Object.keys(require('hyperiondb-client'));
    assert.equal(require('hyperiondb-client'), require('../../client.js'));
    assert.equal(require('hyperiondb-client/package.json'), manifest);
    assert.throws(() => require('hyperiondb-client/lib/pool.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--no-warnings', '--input-type=module', '--eval', script(names)],
      { cwd: ROOT, encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), [names, manifest.version]);
  });

  test('package: each entry of exports/ is loaded by its name, from CommonJS and ES modules, and has types', async () => {
    const names = fs.readdirSync(path.join(ROOT, 'exports'));
    assert.deepEqual(
      ENTRIES,
      names.map((name) => ({ types: `./exports/${name}/index.d.ts`, default: `./exports/${name}/index.js` })),
    );
    // TypeScript's moduleResolution node10 knows no `exports`.
    const typesVersions = Object.fromEntries(names.map((name) => [name, [`./exports/${name}/index.d.ts`]]));
    assert.deepEqual(manifest.typesVersions, { '*': typesVersions });
    for (const name of names) {
      const required = require(`hyperiondb-client/${name}`);
      assert.equal(required, require(`../../exports/${name}/index.js`));
      const { default: all, 'module.exports': _, ...imported } = await import(`hyperiondb-client/${name}`);
      assert.equal(all, required);
      // pg.native is not enumerable, and a name of the module all the same.
      const own = Object.getOwnPropertyNames(required);
      assert.deepEqual({ ...imported }, Object.fromEntries(own.map((one) => [one, required[one]])));
      // As in pg, _pools is not for users.
      const types = fs.readFileSync(path.join(ROOT, 'exports', name, 'index.d.ts'), 'utf8');
      const declared = [...types.matchAll(/^export (?:declare )?(?:function|class|const) (\w+)/gm)].map(
        ([, what]) => what,
      );
      const made = own.filter((one) => one !== '_pools');
      assert.deepEqual(new Set(declared), new Set(made));
    }
  });

  test('package.json engines: every Node that is supported has the Node-API that the add-on needs', () => {
    const [, version] = /^napi = .*"napi(\d+)"/m.exec(fs.readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8')) ?? [];
    const [, said] = /Node-API (\d+)/.exec(fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8')) ?? [];
    assert.equal(said, version);
    assert.equal(manifest.engines.node, '>=20');
    assert.ok(Number(process.versions.napi) >= Number(version));
  });

  test('package: its JavaScript requires nothing but itself, Node and its optional peers', () => {
    const peers = Object.keys(manifest.peerDependencies).map((name) => `'${name}'`);
    const foreign = PUBLISHED.filter((name) => name.endsWith('.js') && name !== 'index.js').flatMap((name) => {
      const text = code(fs.readFileSync(path.join(ROOT, name), 'utf8'));
      return [...text.matchAll(/\brequire\(([^)]*)\)/g)]
        .map(([, what]) => what)
        .filter((what) => !/^'(node:|\.{1,2}\/)/.test(what) && !peers.includes(what))
        .map((what) => `${name}: ${what}`);
    });
    assert.deepEqual(foreign, []);
  });
});

/** The folder of the runtimes that are installed beside the other development dependencies. */
const RUNTIMES = 'test/external/runtimes';
/** And that of the test runners. */
const RUNNERS = 'test/external/test-runners/packages';

describe('lock files', () => {
  test('lock files are committed', () => {
    const files = [
      'package-lock.json',
      'Cargo.lock',
      'fuzz/Cargo.lock',
      `${RUNTIMES}/package-lock.json`,
      `${RUNNERS}/package-lock.json`,
    ];
    for (const file of files) assert.ok(fs.existsSync(path.join(ROOT, file)), file);
    if (!run('git', ['rev-parse', '--git-dir']).ok) throw new UnsupportedError('git', 'this is no clone');
    assert.deepEqual(
      run('git', ['ls-files', ...files])
        .stdout.trim()
        .split('\n')
        .sort(),
      [...files].sort(),
    );
  });

  test('lock files: npm installs the versions that package.json names, with checksums', () => {
    const runtimes = require(path.join(ROOT, RUNTIMES, 'package.json'));
    const runtimesLock = require(path.join(ROOT, RUNTIMES, 'package-lock.json'));
    const runners = require(path.join(ROOT, RUNNERS, 'package.json'));
    const runnersLock = require(path.join(ROOT, RUNNERS, 'package-lock.json'));
    /** @type {[Record<string, string>, Record<string, string>, Record<string, object>][]} */
    const SETS = [
      [manifest.devDependencies, lock.packages[''].devDependencies, lock.packages],
      [runtimes.optionalDependencies, runtimesLock.packages[''].optionalDependencies, runtimesLock.packages],
      [runners.devDependencies, runnersLock.packages[''].devDependencies, runnersLock.packages],
    ];
    for (const [wanted, locked, packages] of SETS) {
      assert.deepEqual(locked, wanted);
      for (const [name, version] of Object.entries(wanted)) {
        assert.match(version, /^(npm:[\w-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/, `${name} is not pinned`);
        assert.ok(`node_modules/${name}` in packages, `${name} is not locked`);
      }
      const unchecked = Object.entries(packages).filter(([name, entry]) => name !== '' && !('integrity' in entry));
      assert.deepEqual(unchecked, []);
    }
  });
});

/**
 * Whether `allowed` licences alone can satisfy an SPDX expression. `/` is the old way to write OR; an exception (WITH) only adds
 * to what its licence permits.
 * @param {string} expression
 * @param {ReadonlySet<string>} allowed
 */
function isAllowed(expression, allowed) {
  const tokens = expression.replaceAll('/', ' OR ').match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  /** @type {() => boolean} */
  const any = () => {
    let met = all();
    while (tokens[at] === 'OR') {
      at++;
      met = all() || met;
    }
    return met;
  };
  const all = () => {
    let met = one();
    while (tokens[at] === 'AND') {
      at++;
      met = one() && met;
    }
    return met;
  };
  const one = () => {
    const token = tokens[at++];
    if (token === '(') {
      const met = any();
      at++;
      return met;
    }
    if (tokens[at] === 'WITH') at += 2;
    return allowed.has(token);
  };
  return any() && at === tokens.length;
}

describe('crates', () => {
  const deny = fs.readFileSync(path.join(ROOT, 'deny.toml'), 'utf8');
  /** The strings of an array of deny.toml. @param {string} name */
  const listed = (name) =>
    [...(new RegExp(`^${name} = \\[(.*?)\\]`, 'ms').exec(deny)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(
      ([, text]) => text,
    );

  /** All packages of Cargo.lock; only those of this platform where the others were never downloaded. */
  function packages() {
    const all = ['metadata', '--locked', '--offline', '--format-version', '1'];
    const host = /host: (.*)/.exec(run('rustc', ['-vV']).stdout)?.[1] ?? '';
    for (const args of [all, [...all, '--filter-platform', host]]) {
      const { ok, stdout } = run('cargo', args);
      if (ok) return JSON.parse(stdout).packages;
    }
    throw new UnsupportedError('cargo metadata', 'cargo, or its download of the crates, is not there');
  }

  test('crates: all licences are allowed by deny.toml', () => {
    const allowed = new Set(listed('allow'));
    assert.ok(allowed.has('MIT'), 'deny.toml was read');
    const wrong = packages()
      .filter((/** @type {any} */ { license }) => license === null || !isAllowed(license, allowed))
      .map((/** @type {any} */ { name, version, license }) => `${name} ${version}: ${license}`);
    assert.deepEqual(wrong, []);
  });

  test('crates come from crates.io and this repository alone', () => {
    const sources = new Set(packages().map((/** @type {any} */ { source }) => source));
    sources.delete(null);
    assert.deepEqual(
      [...sources],
      listed('allow-registry').map((url) => `registry+${url}`),
    );
    const locked = fs.readFileSync(path.join(ROOT, 'Cargo.lock'), 'utf8').split('[[package]]').slice(1);
    const unchecked = locked.filter((entry) => entry.includes('source = ') && !entry.includes('checksum = '));
    assert.deepEqual(unchecked, [], 'each has a checksum');
  });

  test('crates: deny.toml checks the platforms that are built', () => {
    assert.deepEqual(listed('targets'), manifest.napi.targets);
  });

  test('crates: how a licence expression is read', () => {
    const allowed = new Set(['MIT', 'ISC']);
    /** @type {[string, boolean][]} */
    const TABLE = [
      ['MIT', true],
      ['GPL-3.0', false],
      ['MIT OR GPL-3.0', true],
      ['GPL-3.0 OR MIT', true],
      ['GPL-3.0/MIT', true],
      ['MIT AND GPL-3.0', false],
      ['MIT AND ISC', true],
      ['(MIT OR GPL-3.0) AND Unicode-3.0', false],
      ['(MIT OR GPL-3.0) AND ISC', true],
      ['GPL-3.0 OR MIT AND ISC', true],
      ['GPL-3.0 WITH Classpath-exception-2.0 OR MIT', true],
      ['MIT WITH LLVM-exception', true],
      ['MIT MIT', false],
      ['', false],
    ];
    for (const [expression, expected] of TABLE) assert.equal(isAllowed(expression, allowed), expected, expression);
  });
});
