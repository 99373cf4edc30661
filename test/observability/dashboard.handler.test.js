'use strict';

// pool.dashboard() without a browser: what it answers to whom, and what many or slow viewers cost.

const assert = require('node:assert/strict');
const net = require('node:net');
const { DASHBOARD } = require('../../lib/options/dashboard-rows.js');
const { createPool } = require('../../client.js');
const { FakePool, Feed } = require('./dashboard.fake.js');
const { ask, handlerOf, serve, viewer } = require('./dashboard.support.js');
const { range, test, until } = require('../support/helpers.js');

const TOKEN = 'a-token-that-nobody-guesses';
const NEVER_MS = 0x7fff_ffff;

/** A feed that looks only when it is told to. @param {number} [nodes] */
function quiet(nodes = 3) {
  const pool = new FakePool(nodes);
  return { pool, feed: new Feed(pool.source('orders'), { intervalMs: NEVER_MS }) };
}

/** @param {import('node:test').TestContext} t @param {Record<string, unknown>} [options] */
async function served(t, options) {
  const { pool, feed } = quiet();
  return { pool, feed, ...(await serve(t, handlerOf(feed, options))) };
}

// --- requests

test('dashboard handler: the page, its files and their headers', async (t) => {
  const { port } = await served(t);
  const page = await ask(port, '/');
  assert.equal(page.status, 200);
  assert.match(page.body, /^<!doctype html>/);
  const names = [...page.body.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, name]) => name);
  assert.ok(names.length > 6, names.join());
  for (const name of names) assert.doesNotMatch(name, /^\/|:/, 'each address is relative');
  for (const name of ['', ...names, 'store.mjs']) {
    const { status, headers } = await ask(port, `/${name}`);
    assert.equal(status, 200, name);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['cache-control'], 'no-cache');
    assert.match(
      String(headers['content-security-policy']),
      /^default-src 'none'; script-src 'self'; style-src 'self';/,
    );
    assert.doesNotMatch(String(headers['content-security-policy']), /unsafe|\*|https?:/);
    const again = await ask(port, `/${name}`, { headers: { 'If-None-Match': String(headers.etag) } });
    assert.deepEqual([again.status, again.body], [304, ''], name);
  }
});

test('dashboard handler: HEAD has the headers alone, and other methods are refused', async (t) => {
  const { port } = await served(t);
  const head = await ask(port, '/', { method: 'HEAD' });
  assert.deepEqual([head.status, head.body, Number(head.headers['content-length']) > 1000], [200, '', true]);
  const events = await ask(port, '/events', { method: 'HEAD' });
  assert.deepEqual([events.status, events.headers['content-type']], [200, 'text/event-stream; charset=utf-8']);
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    const { status, headers } = await ask(port, '/', { method });
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], method);
  }
});

test('dashboard handler: hostile paths find nothing', async (t) => {
  const { port } = await served(t);
  for (const path of [
    '/../../../../package.json',
    '/..%2f..%2fpackage.json',
    '/%2e%2e/index.js',
    '/....//access.js',
    '/vendor/../../access.js',
    '/vendor/LICENSE',
    '/access.js',
    '/index.html',
    '/page.css/',
    '/page.css%00',
    '/PAGE.CSS',
    '/__proto__',
    '/constructor',
    '/toString',
    '/hasOwnProperty',
    '/..\\..\\package.json',
    '/C:\\windows\\win.ini',
    '//evil.test/',
    '*',
    'x',
    `/${'a'.repeat(8_000)}`,
    '/events/1',
  ]) {
    const { status, body } = await ask(port, path);
    // The page itself may be asked for under any folder; 400: Node refuses the path itself.
    const allowed = path.endsWith('/') ? [200, 404] : path === 'x' ? [400, 404] : [404];
    assert.ok(allowed.includes(status), `${path}: ${status}`);
    assert.doesNotMatch(body, /"name": "hyperiondb-client"|require\(|root:/, path);
  }
});

test('dashboard handler: with `path` it is there and nowhere else', async (t) => {
  const { port } = await served(t, { path: '/ops/db/' });
  for (const path of ['/ops/db/', '/ops/db/page.css', '/ops/db/?x=1'])
    assert.equal((await ask(port, path)).status, 200, path);
  for (const path of ['/', '/page.css', '/ops/db', '/ops/db/x/', '/ops/db/x/page.css', '/ops/dbx/page.css']) {
    assert.equal((await ask(port, path)).status, 404, path);
  }
});

test('dashboard handler: mounted by a framework, without the slash at the end, it leads to the folder', async (t) => {
  const { feed } = quiet();
  const handler = handlerOf(feed);
  // As express and connect do: the beginning is taken away from url.
  const { port } = await serve(t, (request, response) => {
    const { url } = request;
    if (!url.startsWith('/admin/db')) return response.writeHead(418).end();
    const rest = url.slice('/admin/db'.length);
    Object.assign(request, { originalUrl: url, baseUrl: '/admin/db', url: rest.startsWith('/') ? rest : `/${rest}` });
    handler(request, response);
  });
  const { status, headers } = await ask(port, '/admin/db');
  assert.deepEqual([status, headers.location], [303, './db/']);
  assert.equal((await ask(port, '/admin/db/')).status, 200);
  assert.equal((await ask(port, '/admin/db/page.css')).headers['content-type'], 'text/css; charset=utf-8');
  assert.equal((await ask(port, '/admin/db/nothing')).status, 404);
  const events = await viewer(port, '/admin/db/events');
  await until('the events come under a prefix', () => events.events[0]?.event === 'hello');
  events.close();
});

// --- who may see it

test('dashboard handler: without its token nothing is told; with it once, by a cookie from then on', async (t) => {
  const { port } = await served(t, { token: TOKEN });
  for (const path of [
    '/',
    '/page.css',
    '/events',
    '/nothing',
    '/?token=',
    '/?token=wrong',
    `/?token=${TOKEN}x`,
    `/?Token=${TOKEN}`,
  ]) {
    const { status, body, headers } = await ask(port, path);
    assert.equal(status, 401, path);
    assert.equal(headers['set-cookie'], undefined);
    assert.doesNotMatch(body, new RegExp(TOKEN));
  }
  const first = await ask(port, `/?token=${TOKEN}`);
  assert.deepEqual([first.status, first.headers.location], [303, './']);
  const [cookie] = /** @type {string[]} */ (first.headers['set-cookie']);
  assert.match(cookie, /^hyperiondb-[0-9a-f]{12}=[0-9a-f]{64}; HttpOnly; SameSite=Strict$/);
  assert.doesNotMatch(cookie, new RegExp(TOKEN), 'the cookie is not the token');
  const [pair] = cookie.split(';');
  const [name, value] = pair.split('=');
  for (const [header, expected] of [
    [pair, 200],
    [`a=b; ${pair}; c=d`, 200],
    [`${name}=${'0'.repeat(64)}`, 401],
    [`${name}=${TOKEN}`, 401],
    [`${name}=`, 401],
    [`x${pair}`, 401],
    [`${name}x=${value}`, 401],
  ]) {
    const { status } = await ask(port, '/', { headers: { Cookie: String(header) } });
    assert.equal(status, expected, String(header));
  }
  for (const [header, expected] of [
    [`Bearer ${TOKEN}`, 200],
    [`bearer ${TOKEN}`, 200],
    [`Bearer ${TOKEN} `, 200],
    ['Bearer wrong', 401],
    [`Basic ${TOKEN}`, 401],
    [TOKEN, 401],
  ]) {
    const { status } = await ask(port, '/', { headers: { Authorization: String(header) } });
    assert.equal(status, expected, String(header));
  }
});

test('dashboard handler: a wrong Authorization header is not saved by a right cookie', async (t) => {
  const { port } = await served(t, { token: TOKEN });
  const [cookie] = /** @type {string[]} */ ((await ask(port, `/?token=${TOKEN}`)).headers['set-cookie']);
  const headers = { Cookie: cookie.split(';')[0], Authorization: 'Bearer wrong' };
  assert.equal((await ask(port, '/', { headers })).status, 401);
});

test('dashboard handler: under another name it is refused, as after DNS rebinding', async (t) => {
  const { port } = await served(t, { allowedHosts: ['localhost', '127.0.0.1', '[::1]', 'db.test:99'] });
  for (const [host, expected] of /** @type {[string, number][]} */ ([
    ['localhost', 200],
    [`localhost:${port}`, 200],
    ['LOCALHOST:1', 200],
    ['[::1]:8432', 200],
    ['db.test:99', 200],
    ['db.test', 403],
    ['db.test:98', 403],
    ['evil.test', 403],
    ['localhost.evil.test', 403],
    ['127.0.0.1.evil.test:8432', 403],
    ['evil.test:127.0.0.1', 403],
  ])) {
    for (const path of ['/', '/events']) {
      const { status } = await ask(port, path, { method: 'HEAD', headers: { Host: host } });
      assert.equal(status, expected, `${host}${path}`);
    }
  }
});

test('dashboard handler: another site cannot open the events', async (t) => {
  const { port } = await served(t);
  for (const [site, expected] of [
    ['same-origin', 200],
    ['none', 200],
    ['cross-site', 403],
    ['same-site', 403],
  ]) {
    const { status } = await ask(port, '/events', { method: 'HEAD', headers: { 'Sec-Fetch-Site': String(site) } });
    assert.equal(status, expected, String(site));
  }
});

test('dashboard options: what is wrong is refused by its name', async (t) => {
  const pool = createPool({ hosts: '127.0.0.1', monitor: false });
  t.after(() => pool.end());
  for (const [options, message] of /** @type {[any, RegExp][]} */ ([
    [{ token: 'short' }, /^token must have 16 characters at least/],
    [{ token: 7 }, /^token must be a string, not number/],
    [{ path: '/ops' }, /^path must begin and end with a slash/],
    [{ path: 'https://x.test/' }, /^path must begin and end with a slash/],
    [{ allowedHosts: [] }, /^allowedHosts must be an array of host names, not \[\]/],
    [{ allowedHosts: 'localhost' }, /^allowedHosts must be an array of host names, not string/],
    [{ allowedHosts: ['http://x.test'] }, /^allowedHosts\[0\] must be a host as it stands in a URL/],
    [{ allowedHost: ['x'] }, /^unknown option 'allowedHost': did you mean 'allowedHosts'\?/],
    ['x', /^options must be an object, not string/],
  ])) {
    assert.throws(() => pool.dashboard(options), { code: 'ERR_INVALID_PARAM', message }, JSON.stringify(options));
  }
  assert.deepEqual(Object.keys(DASHBOARD), ['token', 'path', 'allowedHosts']);
});

// --- events

test('dashboard events: first the history, then each look; what has not changed is left out', async (t) => {
  const { port, pool, feed } = await served(t);
  pool.statements(0, 100, 500);
  pool.errors('23', 3);
  feed.look();
  const { events, response, close } = await viewer(port);
  await until('the first event has come', () => events.length === 1);
  assert.match(String(response.headers['cache-control']), /no-store.*no-transform/);
  assert.equal(response.headers['x-accel-buffering'], 'no');
  const [{ event, data }] = events;
  assert.deepEqual([event, data.name, data.closed, data.history.at.length], ['hello', 'orders', false, 2]);
  assert.deepEqual(Object.keys(data.history.nodes), ['db1:5432', 'db2:5432', 'db3:5432']);
  assert.equal(data.sample.errors[0].total, 3);
  feed.look();
  await until('a sample has come', () => events.length === 2);
  assert.deepEqual(['failovers' in events[1].data, 'errors' in events[1].data], [false, false]);
  pool.raw.failovers.push({
    from: 'db1:5432',
    to: null,
    noticed: 1,
    by: null,
    asked: [],
    found: null,
    firstWrite: null,
  });
  feed.look();
  await until('another sample has come', () => events.length === 3);
  assert.deepEqual(
    [events[2].event, events[2].data.failovers.length, 'errors' in events[2].data],
    ['sample', 1, false],
  );
  close();
});

test('dashboard events: two hundred viewers cost one look a second', async (t) => {
  const { port, pool, feed } = await served(t);
  const before = pool.looks;
  const viewers = await Promise.all(range(200).map(() => viewer(port)));
  assert.equal(pool.looks, before, 'a viewer that comes costs no look');
  for (let times = 0; times < 3; times++) feed.look();
  await until('all have got all', () => viewers.every(({ events }) => events.length === 4));
  assert.equal(pool.looks, before + 3);
  for (const one of viewers) one.close();
});

test('dashboard events: a viewer that does not read takes no memory, and gets what it has missed when it reads', async (t) => {
  const { pool, feed } = quiet();
  const handler = handlerOf(feed);
  /** @type {import('node:http').ServerResponse[]} */
  const responses = [];
  const { port } = await serve(t, (request, response) => {
    responses.push(response);
    handler(request, response);
  });
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', () => resolve(undefined)));
  socket.pause();
  socket.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the viewer that does not read is there', () => responses.length === 1);
  const other = await viewer(port);
  await until('another one is there', () => other.events.length === 1);
  const [stuck] = responses;
  // Large enough that the kernel's buffers are full soon.
  for (const node of pool.nodeList) /** @type {any} */ (node).lastError = 'x'.repeat(100_000);
  let most = 0;
  for (let times = 0; times < 80; times++) {
    feed.look();
    await until('the other one has got it', () => other.events.length === times + 2);
    most = Math.max(most, stuck.writableLength);
  }
  assert.ok(most > 0, 'the kernel has taken all: the test shows nothing');
  assert.ok(most < 2 * 300_000, `${most} bytes wait for one viewer`);
  for (const node of pool.nodeList) node.lastError = null;
  let text = '';
  socket.on('data', (data) => {
    text = (text + data.toString('latin1')).slice(-2_000_000);
  });
  socket.resume();
  await until('it has caught up', () => {
    feed.look();
    return text.includes('"lastError":null');
  });
  other.close();
});

test('dashboard events: the end of the pool is the last event, and afterwards the last figures are there', async (t) => {
  const { port, pool, feed } = await served(t);
  pool.statements(0, 10, 300);
  const one = await viewer(port);
  await until('it is there', () => one.events.length === 1);
  feed.close();
  await until('the stream has ended', () => one.isEnded);
  assert.deepEqual(
    one.events.map(({ event }) => event),
    ['hello', 'sample', 'closed'],
  );
  const looks = pool.looks;
  const late = await viewer(port);
  await until('its stream has ended', () => late.isEnded);
  assert.deepEqual(
    late.events.map(({ event, data }) => [event, data.closed, data.sample?.totals.queries]),
    [
      ['hello', true, 10],
      ['closed', undefined, undefined],
    ],
  );
  assert.equal(pool.looks, looks);
});

test('dashboard: a look that fails ends nothing', async (t) => {
  const pool = new FakePool(1);
  const source = pool.source();
  let fails = false;
  const feed = new Feed(
    {
      ...source,
      snapshot: () => {
        if (fails) throw new Error('no');
        return source.snapshot();
      },
    },
    { intervalMs: 5 },
  );
  const { port } = await serve(t, handlerOf(feed));
  const one = await viewer(port);
  await until('samples come', () => one.events.length > 2);
  fails = true;
  const looks = pool.looks;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(pool.looks, looks);
  fails = false;
  const count = one.events.length;
  await until('samples come again', () => one.events.length > count + 2);
  feed.close();
});
