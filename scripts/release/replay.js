'use strict';

// A release on one machine, up to the point where it would publish: build, artefacts, pre-publish, pack, attw and publint. And what a
// user does then: install of the tarballs into an empty folder, offline, with no compiler in PATH, and the README's quick start in
// each module style against a cluster. `npm run test:package`, or
//
//   node scripts/release/replay.js [--addon FILE] [--node 22]... [--keep]
//
// --addon: not built but taken from there. --node: the quick start with these versions of Node, too (those of
// test/external/runtimes/package.json); skipped, with the reason, where they cannot be had. --keep: leaves the folder. What cannot
// run on one machine is told in docs/internals/release.md.

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { suffixOf, thisMachine } = require('../../lib/core/binding.js');
const { NotAvailableError } = require('../../test/external/packages.js');
const { programOf } = require('../../test/external/runtimes/install.js');
const { startCluster } = require('../../test/support/cluster');
const { inspect } = require('./artefact.js');
const { EmptyHouse } = require('./empty-house.js');
const { EVERY_WAY, everyName, NAME, programs } = require('./quickstart.js');
const { ROOT, stage } = require('./stage.js');

const ROWS = [{ id: 42, name: 'Ada' }];

/**
 * @typedef {object} Asked
 * @property {string} [addon] a file; built where it is not given
 * @property {string[]} [nodes] major versions of Node beside this one
 * @property {boolean} [keep]
 * @property {(line: string) => void} [log]
 *
 * @typedef {object} Figures
 * @property {number} addonBytes
 * @property {{ name: string, bytes: number, unpackedBytes: number }[]} packages
 * @property {number} installSeconds
 * @property {number} firstRowSeconds from the start of npm install to the first row
 * @property {string[]} ran
 * @property {string[]} skipped
 */

/** @param {string} platform */
function build(platform) {
  execFileSync(process.execPath, [path.join(ROOT, 'node_modules/@napi-rs/cli/dist/cli.js'), ...BUILD], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
  });
  return path.join(ROOT, `${NAME}.${platform}.node`);
}

const BUILD = ['build', '--platform', '--release', '--no-dts-cache'];

/** Checks of the tarballs that others wrote. @param {string[]} tarballs @param {(line: string) => void} log */
function lintPackages([main, binary], log) {
  /** @type {[string, string[]][]} */
  const checks = [
    ['@arethetypeswrong/cli/dist/index.js', [main, '--no-color', '--no-emoji']],
    ['publint/src/cli.js', ['run', '--strict', main]],
    ['publint/src/cli.js', ['run', '--strict', binary]],
  ];
  for (const [program, args] of checks) {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [path.join(ROOT, 'node_modules', program), ...args],
      {
        cwd: ROOT,
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      },
    );
    if (status !== 0) throw new Error(`${program} found:\n${stdout}${stderr}`);
    log(stdout.replace(/^\s*\n/gm, '').trimEnd());
  }
}

/**
 * TypeScript made into JavaScript by our compiler and the installed package's types.
 * @param {EmptyHouse} house
 * @param {string} folder
 * @param {string} module
 * @param {string} moduleResolution
 * @param {string[]} files
 */
async function compile(house, folder, module, moduleResolution, files) {
  const compilerOptions = {
    ...{ target: 'es2022', module, moduleResolution, strict: true, skipLibCheck: false, outDir: 'out' },
    ...{ types: ['node'], typeRoots: [path.join(ROOT, 'node_modules', '@types')] },
  };
  house.write(`${folder}/tsconfig.json`, JSON.stringify({ compilerOptions, files }));
  const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  try {
    await house.run('node', [tsc, '--project', folder]);
  } catch (error) {
    throw new Error(`TypeScript, ${moduleResolution}:\n${/** @type {any} */ (error).stdout}`);
  }
}

/**
 * @param {Asked} asked
 * @returns {Promise<Figures>}
 */
async function replay({ keep = false, log = () => {}, ...asked }) {
  if (process.platform === 'win32') throw new Error('the replay is for Linux and macOS');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-release-'));
  try {
    return await replayIn(folder, { ...asked, log });
  } finally {
    if (keep) log(`kept: ${folder}`);
    else fs.rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} folder an empty one
 * @param {Asked} asked
 * @returns {Promise<Figures>}
 */
async function replayIn(folder, { addon: given, nodes = [], log = () => {} }) {
  const platform = suffixOf(thisMachine());
  const addon = given ?? build(platform);
  const { bytes, wrong } = inspect(addon);
  assert.deepEqual(wrong, [], addon);

  const { version, main, binary, standIns, tarballs } = stage(addon, platform, folder);
  log(`staged ${version}; stand-ins, which are not packed: ${standIns.join(', ')}`);
  const wired = JSON.parse(execFileSync('tar', ['xzOf', tarballs[0], 'package/package.json'], { encoding: 'utf8' }));
  const all = [...standIns, platform].map((name) => [`${NAME}-${name}`, version]);
  assert.deepEqual(wired.optionalDependencies, Object.fromEntries(all));
  assert.deepEqual(binary.files.map((file) => file.path).sort(), [
    'README.md',
    `${NAME}.${platform}.node`,
    'package.json',
  ]);
  lintPackages(tarballs, log);

  const cluster = await startCluster({ nodes: 1, synchronous: false });
  try {
    const sql = (/** @type {string} */ text) => cluster.primary().sql(text);
    await sql('DROP TABLE IF EXISTS customers');
    await sql("CREATE TABLE customers AS SELECT 42 AS id, 'Ada' AS name");
    const { hosts, user, password, database } = cluster;
    const login = { QUICKSTART_LOGIN: JSON.stringify({ hosts, user, password, database }) };

    const house = new EmptyHouse(folder);
    const ran = [`not in PATH: ${house.proveNoCompiler().join(', ')}`];
    const readme = programs(fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8'));
    house.write('package.json', '{ "private": true }\n');
    house.write('quick.cjs', readme.cjs);
    const answers = async (/** @type {string} */ title, /** @type {string} */ node, /** @type {string} */ file) => {
      assert.deepEqual(JSON.parse(await house.run(node, [file], login)), ROWS, title);
      ran.push(title);
    };

    const started = performance.now();
    await house.run('npm', ['install', ...tarballs]);
    const installed = performance.now();
    await answers('CommonJS', 'node', 'quick.cjs');
    const firstRow = performance.now();
    const modules = fs.readdirSync(path.join(house.app, 'node_modules')).filter((name) => !name.startsWith('.'));
    assert.deepEqual(modules.sort(), [NAME, `${NAME}-${platform}`]);

    house.write('quick.mjs', readme.esm);
    await answers('ES modules', 'node', 'quick.mjs');
    const names = JSON.parse(await house.run('node', ['--print', `JSON.stringify(Object.keys(require('${NAME}')))`]));
    house.write('names.mjs', everyName(names));
    assert.deepEqual(JSON.parse(await house.run('node', ['names.mjs'])), {
      wrong: [],
      missing: [],
      name: NAME,
      version,
    });
    ran.push(`${names.length} names imported by name`);

    house.write('node16/quick.cts', readme.cts);
    house.write('node16/quick.mts', readme.mts);
    house.write('bundler/package.json', '{ "type": "module" }\n');
    house.write('bundler/quick.ts', readme.mts);
    await Promise.all([
      compile(house, 'node16', 'node16', 'node16', ['quick.cts', 'quick.mts']),
      compile(house, 'bundler', 'esnext', 'bundler', ['quick.ts']),
    ]);
    await answers('TypeScript, node16, CommonJS', 'node', 'node16/out/quick.cjs');
    await answers('TypeScript, node16, ES modules', 'node', 'node16/out/quick.mjs');
    await answers('TypeScript, bundler', 'node', 'bundler/out/quick.js');

    // A copy of both packages, and one of the JavaScript alone, which finds the first one's addon.
    const modulesOf = path.join(house.app, 'node_modules');
    fs.cpSync(modulesOf, path.join(folder, 'again', 'node_modules'), { recursive: true });
    fs.cpSync(path.join(modulesOf, NAME), path.join(house.app, 'nested', 'node_modules', NAME), { recursive: true });
    const places = [
      modulesOf,
      path.join(folder, 'again', 'node_modules'),
      path.join(house.app, 'nested', 'node_modules'),
    ];
    const copies = JSON.stringify(places.map((place) => path.join(place, NAME)));
    house.write('every-way.cjs', EVERY_WAY);
    const everyWay = async (/** @type {string} */ title, /** @type {string} */ node) => {
      const output = await house.run(node, ['every-way.cjs'], { ...login, COPIES: copies });
      assert.deepEqual(JSON.parse(output), { names: 9, different: ['Ada'], classes: 3 }, title);
      ran.push(title);
    };
    await everyWay('worker threads, and three copies in one process', 'node');

    // npm says nothing of a package that it leaves out; loading does.
    const bare = path.join(folder, 'bare');
    await house.run('npm', ['install', '--omit=optional', '--prefix', bare, tarballs[0]]);
    const load = `try { require('${bare}/node_modules/${NAME}') } catch (error) { console.log(error.code, error.message) }`;
    assert.match(
      await house.run('node', ['--eval', load]),
      new RegExp(`^ERR_NO_BINDING .*${NAME}-${platform}@${version} is not installed`),
    );
    ran.push('--omit=optional: an error that names the package');

    /** @type {string[]} */
    const skipped = [];
    for (const major of nodes) {
      try {
        const node = await programOf(`node-${major}`);
        await answers(`Node ${major}: CommonJS`, node, 'quick.cjs');
        await answers(`Node ${major}: ES modules`, node, 'quick.mjs');
        await everyWay(`Node ${major}: worker threads, and three copies in one process`, node);
      } catch (error) {
        if (!(error instanceof NotAvailableError)) throw error;
        skipped.push(error.message);
      }
    }
    return {
      addonBytes: bytes,
      packages: [main, binary].map(({ name, size, unpackedSize }) => ({
        name,
        bytes: size,
        unpackedBytes: unpackedSize,
      })),
      installSeconds: (installed - started) / 1000,
      firstRowSeconds: (firstRow - started) / 1000,
      ran,
      skipped,
    };
  } finally {
    await cluster.stop();
  }
}

/** @param {Figures} figures */
function print({ addonBytes, packages, installSeconds, firstRowSeconds, ran, skipped }) {
  const kb = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(0)} kB`;
  for (const line of ran) console.log(`ok       ${line}`);
  for (const line of skipped) console.log(`skipped  ${line}`);
  console.log(`addon    ${(addonBytes / 1e6).toFixed(2)} MB`);
  for (const { name, bytes, unpackedBytes } of packages) {
    console.log(`package  ${name}: ${kb(bytes)} packed, ${kb(unpackedBytes)} unpacked`);
  }
  const seconds = (/** @type {number} */ value) => `${value.toFixed(1)} s`;
  console.log(
    `time     npm install of the tarballs ${seconds(installSeconds)}, to the first row ${seconds(firstRowSeconds)}`,
  );
}

if (require.main === module) {
  const { values } = parseArgs({
    options: { addon: { type: 'string' }, node: { type: 'string', multiple: true }, keep: { type: 'boolean' } },
  });
  replay({ addon: values.addon, nodes: values.node, keep: values.keep, log: console.log }).then(print, (error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

module.exports = { replay };
