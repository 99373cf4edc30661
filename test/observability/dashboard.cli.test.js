'use strict';

// `hyperiondb-client dashboard` without a cluster: where it listens, who may see the page, and how it ends.

const assert = require('node:assert/strict');
const net = require('node:net');
const os = require('node:os');
const { readArguments } = require('../../lib/cli/arguments.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { ask, viewer } = require('./dashboard.support.js');
const { run, start } = require('../support/command.js');
const { test, until } = require('../support/helpers.js');

const SECRET = 's3cret-of-the-cluster';

/** @param {import('node:test').TestContext} t @param {string[]} args */
async function started(t, args) {
  const hosts = `127.0.0.1:${await freePort()}`;
  const running = start(['dashboard', '--hosts', hosts, '--user', 'u', '--port', '0', ...args], { PGPASSWORD: SECRET });
  t.after(() => running.child.kill('SIGKILL'));
  await running.printed(/Ctrl-C ends it/);
  const [, url] = /** @type {RegExpExecArray} */ (/^dashboard: (\S+) {2}\(Ctrl-C/.exec(running.out));
  return { running, hosts, url: new URL(url) };
}

test('cli arguments: dashboard: --port and --host are those of the page', () => {
  const { page, pool } = readArguments(['dashboard', '--hosts', 'a,b:5433', '--user', 'u']);
  assert.deepEqual(
    [page, pool.port, pool.monitor],
    [{ host: '127.0.0.1', port: 8_432 }, undefined, { intervalMs: 1_000 }],
  );
  const other = readArguments(['dashboard', '--port', '9000', '--host', '::1', 'host=a']);
  assert.deepEqual([other.page, other.pool.port], [{ host: '::1', port: 9_000 }, undefined]);
  for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
    [['dashboard', '--port', '65536'], /--port must be an integer from 0 to 65535/],
    [['status', '--port', '0'], /--port must be an integer from 1 to 65535/],
    [['watch', '--host', 'a'], /unknown option --host: did you mean --hosts\?/],
    [['dashboard', '--json'], /--json is an option of/],
  ])) {
    assert.throws(() => readArguments(args), { message });
  }
});

test('cli dashboard: on loopback the page needs no token, tells no password, and Ctrl-C ends it', async (t) => {
  const { running, hosts, url } = await started(t, []);
  const port = Number(url.port);
  assert.equal(url.href, `http://127.0.0.1:${port}/`);
  assert.equal((await ask(port, '/')).status, 200);
  assert.equal((await ask(port, '/', { headers: { Host: 'evil.test' } })).status, 403);
  assert.equal((await ask(port, '/', { headers: { Host: `localhost:${port}` } })).status, 200);
  assert.equal((await ask(port, '/x/')).status, 404);
  const one = await viewer(port);
  await until('a sample has come', () => one.events.length > 1);
  const text = JSON.stringify(one.events);
  assert.ok(text.includes(hosts));
  for (const word of [SECRET, 'SELECT']) assert.ok(!text.includes(word), word);
  running.child.kill('SIGINT');
  const { code, err, out } = await running.ended;
  assert.deepEqual([code, err, out.includes(SECRET)], [0, '', false]);
  await until('the stream has ended', () => one.isEnded);
  assert.equal(one.events.at(-1)?.event, 'closed');
});

test('cli dashboard: elsewhere than on loopback the page needs the token that is printed once', async (t) => {
  const { running, url } = await started(t, ['--host', '0.0.0.0']);
  const port = Number(url.port);
  assert.equal(url.hostname, os.hostname().toLowerCase());
  const token = /** @type {string} */ (url.searchParams.get('token'));
  assert.match(token, /^[\w-]{32}$/);
  assert.equal(running.out.split(token).length, 2, 'it is printed once');
  // The warning is printed behind the address, so it may be read later.
  await running.printed(/not encrypted/);
  assert.equal((await ask(port, '/')).status, 401);
  assert.equal((await ask(port, '/events')).status, 401);
  assert.equal((await ask(port, `/?token=${token.slice(1)}`)).status, 401);
  assert.equal((await ask(port, `/?token=${token}`)).status, 303);
  assert.equal((await ask(port, '/page.css', { headers: { Authorization: `Bearer ${token}` } })).status, 200);
  running.child.kill('SIGTERM');
  assert.equal((await running.ended).code, 0);
  const other = await started(t, ['--host', '0.0.0.0']);
  assert.notEqual(other.url.searchParams.get('token'), token);
});

test('cli dashboard: a port in use, and an address of another machine, are named', async (t) => {
  const taken = net.createServer();
  const port = await freePort();
  await new Promise((resolve) => taken.listen(port, '127.0.0.1', () => resolve(undefined)));
  t.after(() => taken.close());
  const hosts = ['--hosts', `127.0.0.1:${await freePort()}`];
  const first = await run(['dashboard', ...hosts, '--port', String(port)]);
  assert.deepEqual(
    [first.code, first.err],
    [2, `hyperiondb-client: port ${port} of 127.0.0.1 is in use: choose another one with --port\n`],
  );
  const second = await run(['dashboard', ...hosts, '--port', '0', '--host', '203.0.113.7']);
  assert.deepEqual(
    [second.code, second.err],
    [2, 'hyperiondb-client: 203.0.113.7 is no address of this machine: choose one with --host\n'],
  );
});
