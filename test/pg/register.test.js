'use strict';

// hyperiondb-client/register: what stands in test/pg/register/ runs as an application, with libraries in node_modules that load pg
// themselves. In the full run on every supported version of Node, beside tsx, and with published libraries.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before } = require('node:test');
const { NotAvailableError, Packages } = require('../external/packages.js');
const { programOf } = require('../external/runtimes/install.js');
const { HANG_MS, test, useCluster } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const SOURCES = path.join(__dirname, 'register');
const REGISTER = 'hyperiondb-client/register';
const IS_FULL = process.env.HYPERION_FULL === '1';
const INSTALL_MS = 600_000;

const db = useCluster({ nodes: 1, synchronous: false });
/** The folder of the application, where there is no pg. */
let app = '';
/** The same with a pg in node_modules and another one below a library, each of which throws when it is loaded. */
let appWithPg = '';

/** @param {string} file @param {string} text */
function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** @param {boolean} withPg */
function makeApp(withPg) {
  // The real path, as Node names it in errors.
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-register-')));
  const modules = path.join(folder, 'node_modules');
  for (const name of fs.readdirSync(SOURCES)) fs.copyFileSync(path.join(SOURCES, name), path.join(folder, name));
  fs.mkdirSync(modules);
  fs.symlinkSync(ROOT, path.join(modules, 'hyperiondb-client'), 'dir');
  for (const [name, file] of [
    ['library', 'library.cjs'],
    ['store', 'store.cjs'],
    ['queue', 'queue.mjs'],
  ]) {
    write(path.join(modules, name, 'package.json'), JSON.stringify({ name, version: '1.0.0', main: file }));
    fs.renameSync(path.join(folder, file), path.join(modules, name, file));
  }
  const nobody = withPg ? ['', 'library', 'store', 'queue'] : [];
  for (const name of nobody.flatMap((owner) =>
    ['pg', 'pg-pool', 'pg-cursor'].map((one) => path.join(owner && `${owner}/node_modules`, one)),
  )) {
    write(
      path.join(modules, name, 'package.json'),
      JSON.stringify({ name: path.basename(name), version: '0.0.1', main: 'lib/index.js' }),
    );
    write(path.join(modules, name, 'lib', 'index.js'), `throw new Error('${name} itself was loaded')`);
  }
  return folder;
}

before(() => {
  [app, appWithPg] = [makeApp(false), makeApp(true)];
});
after(() => {
  for (const folder of [app, appWithPg]) fs.rmSync(folder, { recursive: true, force: true });
});

/**
 * What a program has printed, which must end well.
 * @param {string} folder
 * @param {string[]} args
 * @param {{ node?: string, warnings?: RegExp }} [how]
 */
function printedBy(folder, args, { node = process.execPath, warnings = /^$/ } = {}) {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
  const { user, password, database } = db.cluster;
  const { host, port } = db.cluster.primary();
  const login = { PGUSER: user, PGPASSWORD: password, PGDATABASE: database, PGHOST: host, PGPORT: String(port) };
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, env: { ...env, ...login }, timeout: HANG_MS / 2 };
    execFile(node, args, options, (error, stdout, stderr) => {
      if (error) return reject(error);
      assert.match(stderr, warnings);
      resolve(JSON.parse(stdout));
    });
  });
}

/** @param {any} failures @param {string} code */
function assertAbsent(failures, code) {
  assert.deepEqual(new Set(failures.map((/** @type {any} */ failure) => failure?.code)), new Set([code]));
  const last = failures.at(-1).message;
  assert.match(last, /Cannot find module 'pg\/lib\/stream': hyperiondb-client\/register stands in for pg/);
  assert.match(last, /pg\/lib\/\{client,connection,/);
  assert.match(last, /Required by .*modules\.[cm]js/);
}

/** @param {Record<string, boolean>} same */
const assertSame = (same) =>
  assert.deepEqual(
    Object.entries(same).filter(([, is]) => !is),
    [],
  );

const OF_CJS = {
  isFace: true,
  prepared: '{"1","a"}',
  one: { two: 2, big: '9007199254740993' },
  tx: [{ none: true }],
  code: '42703',
  stored: { a: [1] },
};
const OF_ESM = { isFace: true, rows: [['x']], heard: ['one', 'zwei ☃'], failed: true, read: [3, 3, 1] };

/** @typedef {{ title: string, find: () => Promise<string> }} Version */

/** @type {Version[]} */
const VERSIONS = [
  { title: '', find: async () => process.execPath },
  ...(IS_FULL ? ['20', '22', '24'] : []).map((major) => ({
    title: `Node ${major}: `,
    find: () => programOf(`node-${major}`),
  })),
];

for (const { title, find } of VERSIONS) {
  let node = '';
  let missing = '';
  before(
    async () => {
      try {
        node = await find();
      } catch (error) {
        if (!(error instanceof NotAvailableError)) throw error;
        missing = error.message;
      }
    },
    { timeout: INSTALL_MS },
  );

  /** @param {string} name @param {() => Promise<void>} body */
  const testHere = (name, body) =>
    test(`register: ${title}${name}`, (t) => (missing === '' ? body() : t.skip(missing)));

  testHere('require() of pg, of its packages and of its files gives ours, where there is no pg', async () => {
    const seen = await printedBy(app, ['--import', REGISTER, 'modules.cjs'], { node });
    assertSame(seen.same);
    assert.deepEqual(seen.isDefined, []);
    assert.equal(seen.native, null);
    assert.deepEqual(seen.protocol, ['DatabaseError']);
    assert.equal(seen.version, require('pg/package.json').version);
    assertAbsent(seen.failures, 'MODULE_NOT_FOUND');
  });

  testHere(
    'import of pg, of its packages and of its files gives the same objects, by the names that pg has',
    async () => {
      const seen = await printedBy(app, ['--import', REGISTER, 'modules.mjs'], {
        node,
        warnings: /^$|ExperimentalWarning: Import(ing| a).*JSON/,
      });
      assertSame(seen.same);
      assert.deepEqual(seen.names, Object.keys(await import('pg')).sort());
      assert.deepEqual(seen.isUndefined, []);
      assert.equal(seen.version, require('pg/package.json').version);
      assertAbsent(seen.failures, 'ERR_MODULE_NOT_FOUND');
    },
  );

  testHere('a program and libraries of CommonJS that load pg work, with --import and without pg', async () => {
    assert.deepEqual(await printedBy(app, ['--import', REGISTER, 'app.cjs'], { node }), OF_CJS);
  });

  testHere('a program and libraries of ES modules that load pg work, with --import and without pg', async () => {
    assert.deepEqual(await printedBy(app, ['--import', REGISTER, 'app.mjs'], { node }), OF_ESM);
  });

  testHere('neither a pg in node_modules nor one below a library is loaded', async () => {
    assert.deepEqual(await printedBy(appWithPg, ['--import', REGISTER, 'app.cjs'], { node }), OF_CJS);
    assert.deepEqual(await printedBy(appWithPg, ['--import', REGISTER, 'app.mjs'], { node }), OF_ESM);
  });

  testHere('--require, and require() as the first line, do the same', async () => {
    assert.deepEqual(await printedBy(app, ['--require', REGISTER, 'app.cjs'], { node }), OF_CJS);
    assert.deepEqual(await printedBy(app, ['app.cjs', 'require'], { node }), OF_CJS);
    assert.deepEqual(await printedBy(appWithPg, ['app.mjs', 'require'], { node }), OF_ESM);
  });

  testHere('worker threads inherit it', async () => {
    assert.deepEqual(await printedBy(appWithPg, ['--import', REGISTER, 'worker.mjs'], { node }), { isFace: true });
  });

  testHere('a second time, and a second copy of the package, change nothing', async () => {
    const copy = path.join(appWithPg, 'copy');
    fs.cpSync(path.join(ROOT, 'exports', 'register'), copy, { recursive: true });
    const args = ['--import', REGISTER, '--require', REGISTER, '--require', path.join(copy, 'index.js'), 'app.mjs'];
    assert.deepEqual(await printedBy(appWithPg, args, { node }), OF_ESM);
  });
}

test('register: without it, the libraries load the pg that is installed', async () => {
  await assert.rejects(printedBy(appWithPg, ['app.cjs']), /library\/node_modules\/pg itself was loaded/);
  await assert.rejects(printedBy(app, ['app.mjs']), /Cannot find package 'pg'/);
});

test('register: it warns of a pg that was loaded before it', async () => {
  const folder = path.join(appWithPg, 'late');
  write(path.join(folder, 'node_modules', 'pg', 'lib', 'index.js'), '');
  const code = `require('./node_modules/pg/lib/index.js'); require('${REGISTER}'); console.log(1)`;
  const warnings =
    /HYPERION_REGISTERED_LATE.*hyperiondb-client\/register: .*node_modules.pg.lib.index\.js was loaded before/;
  assert.equal(await printedBy(folder, ['-e', code], { warnings }), 1);
});

test('register: what pg-protocol has besides is that of the one that is installed', async () => {
  const code = `require('${path.join(ROOT, 'exports/register')}');
    const protocol = require('pg-protocol');
    console.log(JSON.stringify([Object.keys(protocol).sort(), protocol.DatabaseError === require('pg').DatabaseError, protocol.serialize.sync().toString()]))`;
  const keys = ['DatabaseError', 'parse', 'serialize'];
  assert.deepEqual(await printedBy(ROOT, ['-e', code]), [keys, true, 'S\0\0\0\u0004']);
});

/**
 * A test of the full run, skipped where what it needs cannot be had.
 * @param {string} name
 * @param {() => Promise<void>} body
 */
function testFull(name, body) {
  test(`register: ${name}`, { timeout: INSTALL_MS }, async (t) => {
    try {
      await body();
    } catch (error) {
      if (!(error instanceof NotAvailableError)) throw error;
      t.skip(error.message);
    }
  });
}

if (IS_FULL) {
  const packages = new Packages(path.join(__dirname, '..', 'external', 'orms', 'packages'), 'orms');

  for (const major of ['20', '24']) {
    testFull(`Node ${major}: it works beside tsx, before and after it`, async () => {
      const node = await programOf(`node-${major}`);
      await packages.install();
      const tsx = path.join(packages.folder, 'node_modules', 'tsx', 'dist', 'loader.mjs');
      for (const flags of [
        [tsx, REGISTER],
        [REGISTER, tsx],
      ].map((list) => list.flatMap((one) => ['--import', one]))) {
        assert.deepEqual(await printedBy(appWithPg, [...flags, 'app.ts'], { node }), { isFace: true, client: null });
        assert.deepEqual(await printedBy(appWithPg, [...flags, 'app.mjs'], { node }), OF_ESM);
        assertSame((await printedBy(app, [...flags, 'modules.mjs'], { node })).same);
      }
    });
  }

  /** @type {[string, string, (file: string) => string[]][]} */
  const OTHERS = [
    ['Bun', 'bun', (file) => ['--preload', REGISTER, file]],
    ['Deno', 'deno', (file) => ['run', '--allow-all', '--import', `npm:${REGISTER}`, file]],
  ];
  for (const [title, name, argsOf] of OTHERS) {
    testFull(`${title}: programs and libraries of both kinds that load pg work`, async () => {
      const node = await programOf(name);
      // Deno takes a package for one only where it is a folder of node_modules.
      const installed = path.join(appWithPg, 'node_modules', 'hyperiondb-client');
      if (fs.lstatSync(installed).isSymbolicLink()) {
        fs.rmSync(installed);
        const { files } = require('../../package.json');
        const addons = fs.readdirSync(ROOT).filter((file) => file.endsWith('.node'));
        for (const file of ['package.json', ...files, ...addons]) {
          fs.cpSync(path.join(ROOT, file), path.join(installed, file), { recursive: true });
        }
        write(
          path.join(appWithPg, 'package.json'),
          JSON.stringify({ type: 'commonjs', dependencies: { 'hyperiondb-client': '*' } }),
        );
      }
      assert.deepEqual(await printedBy(appWithPg, argsOf('app.cjs'), { node }), OF_CJS);
      assert.deepEqual(await printedBy(appWithPg, argsOf('app.mjs'), { node }), OF_ESM);
    });
  }

  testFull('pg-promise, connect-pg-simple and pg-boss, as they are published, run on ours', async () => {
    await packages.install();
    const args = ['--import', REGISTER, 'real.mjs', packages.folder];
    const seen = { isFace: true, sum: { sum: 3 }, session: 'Ada', worked: { n: 1 } };
    assert.deepEqual(await printedBy(app, args, { node: await programOf('node-24') }), seen);
  });
}
