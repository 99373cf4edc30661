'use strict';

// The native add-on: its classes, and what a user is told when it is not there (lib/core/binding.js).

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { describe } = require('node:test');
const { promisify } = require('node:util');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { Environment, Pool, Transaction } = require('../../index.js');
const { explain, refusedByDeno, suffixOf, thisMachine } = require('../../lib/core/binding.js');
const { CoreLink } = require('../../lib/core/core-link.js');
const { OP } = require('../../lib/core/numbers.js');
const { forCore, parseOptions } = require('../../lib/options/options.js');
const { sleep, test, until } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const manifest = require('../../package.json');

/** The error of index.js: each place where it looked is the cause of the next. @param {string[]} messages */
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

  test("a missing permission of Deno is told in Deno's words, with all flags that are needed", () => {
    const words = 'Requires ffi access to "/app/x.node", run again with the --allow-ffi flag';
    const text = refusedByDeno(looked("Cannot find module './x.node'", words, 'Cannot find native binding.')) ?? '';
    assert.ok(text.endsWith(`--allow-env, --allow-ffi and --allow-read: ${words}`), text);
    assert.equal(refusedByDeno(nowhere), undefined);
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
 * A process that loads the package without its add-on; returns the error.
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

/**
 * A pool whose only host accepts connections and never answers: its statements wait.
 * @param {import('node:test').TestContext} t
 */
async function waitingPool(t) {
  /** @type {net.Socket[]} */
  const sockets = [];
  const server = net.createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const link = new CoreLink();
  const options = forCore(parseOptions({ hosts: [{ host: '127.0.0.1', port }], user: 'u', password: 'p', ssl: false }));
  const listener = { onEvent: () => {}, onPassword: () => {} };
  const pool = link.openPool(options, listener);
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await link.closePool(pool, 1).catch(() => {});
  });
  return { link, pool, options, listener };
}

/** A handle of a transaction whose BEGIN waits for a connection. @param {CoreLink} link @param {Pool} pool */
function begun(link, pool, handle = pool.transaction()) {
  const id = handle.begin();
  link.ask(OP.BEGIN, pool.id, { transaction: id, text: 'BEGIN' }).catch(() => {});
  return { handle, id };
}

/**
 * How the core refuses a piece of work; undefined when it has accepted the work, which then waits.
 * @param {Promise<unknown>} asked
 * @returns {Promise<string | undefined>} the error's code
 */
const refusalOf = (asked) =>
  Promise.race([
    asked.then(
      () => 'none',
      (error) => error.code,
    ),
    sleep(50),
  ]);

function collectGarbage() {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

describe('the classes of the add-on', () => {
  test('Pool and Transaction: only the core makes them', () => {
    for (const Class of [Pool, Transaction]) assert.throws(() => Reflect.construct(Class, []), /constructor/);
    assert.throws(() => Pool.open(/** @type {any} */ ({}), '{}'));
    assert.throws(() => Pool.open(new Environment(() => {}), '{}'), /options: line 1/);
  });

  test('Pool: each pool and each transaction of an environment has a number of its own', async (t) => {
    const { link, pool, options, listener } = await waitingPool(t);
    const other = link.openPool(options, listener);
    assert.deepEqual([pool.id, other.id], [1, 2]);
    assert.deepEqual(
      [pool, other, pool].map((one) => one.transaction().begin()),
      [1, 2, 3],
    );
  });

  test('Pool: status() and nodes() tell of an open pool, and of nothing once it has closed', async (t) => {
    const { link, pool } = await waitingPool(t);
    assert.deepEqual(pool.status(), [0, 0, 0, 0]);
    assert.equal(JSON.parse(pool.nodes()).length, 1);
    begun(link, pool);
    await until('BEGIN waits', () => pool.status()[2] === 1);
    await link.closePool(pool, 1);
    assert.deepEqual([pool.status(), pool.nodes()], [[0, 0, 0, 0], '[]']);
  });

  test('a frame for an unknown pool or a closed pool is refused with ERR_POOL_CLOSED', async (t) => {
    const { link, pool } = await waitingPool(t);
    const refused = { code: 'ERR_POOL_CLOSED' };
    await assert.rejects(link.ask(OP.BEGIN, 99, { transaction: 1, text: 'BEGIN' }), refused);
    await link.closePool(pool, 1);
    await assert.rejects(link.ask(OP.BEGIN, pool.id, { transaction: 1, text: 'BEGIN' }), refused);
    await assert.rejects(link.closePool(pool, 1), refused);
  });

  test('Pool: close() waits for work that was written before it', async (t) => {
    const { link, pool } = await waitingPool(t);
    const asked = link.ask(OP.BEGIN, pool.id, { transaction: pool.transaction().begin(), text: 'BEGIN' });
    const closed = link.closePool(pool, 0);
    assert.deepEqual(await Promise.all([asked, closed].map(refusalOf)), [undefined, undefined]);
  });

  test('Transaction: a handle that is collected abandons its transaction, unless it was finished', async (t) => {
    const { link, pool } = await waitingPool(t);
    // Refused when the core does not have the transaction any more.
    const use = (/** @type {number} */ transaction) =>
      refusalOf(link.ask(OP.SCRIPT, pool.id, { transaction, text: 'SELECT 1' }));
    const held = begun(link, pool);
    const [dropped, finished] = (() => {
      const both = [begun(link, pool), begun(link, pool)];
      both[1].handle.finish();
      // A second call changes nothing.
      both[1].handle.finish();
      return both.map(({ id }) => id);
    })();
    await until('the transaction is abandoned', async () => {
      collectGarbage();
      return (await use(dropped)) === 'ERR_TRANSACTION_ENDED';
    });
    assert.deepEqual(await Promise.all([finished, held.id].map(use)), [undefined, undefined]);
  });

  test('Transaction: a handle that begins again abandons what has not finished, and nothing else', async (t) => {
    const { link, pool } = await waitingPool(t);
    const use = (/** @type {number} */ transaction) =>
      refusalOf(link.ask(OP.SCRIPT, pool.id, { transaction, text: 'SELECT 1' }));
    const first = begun(link, pool);
    // Its frame goes one microtask later.
    await sleep(1);
    const second = begun(link, pool, first.handle);
    second.handle.finish();
    const third = begun(link, pool, first.handle);
    assert.equal(new Set([first.id, second.id, third.id]).size, 3);
    assert.deepEqual(await Promise.all([first.id, second.id, third.id].map(use)), [
      'ERR_TRANSACTION_ENDED',
      undefined,
      undefined,
    ]);
  });

  test('Pool: a pool that is collected is closed', async (t) => {
    const { link, options, listener } = await waitingPool(t);
    const id = (() => link.openPool(options, listener).id)();
    await until('the pool is closed', async () => {
      collectGarbage();
      return (await refusalOf(link.ask(OP.LISTEN, id, { text: 'channel' }))) === 'ERR_POOL_CLOSED';
    });
  });
});
