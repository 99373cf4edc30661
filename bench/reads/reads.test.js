'use strict';

// The benchmark of reads would see what it is made to see: the proxy holds back answers and nothing else, and counts what passes.
// `node --test bench/reads/`.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { after, before, test } = require('node:test');
const { alternate, quantile } = require('./alternation.js');
const { CANCEL_REQUEST, Messages } = require('./messages.js');
const { startSlowProxy } = require('./slow-proxy.js');

const HANG_MS = 20_000;

/** @param {string} type @param {string} [body] */
function message(type, body = '') {
  const header = Buffer.alloc(5);
  header.write(type);
  header.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([header, Buffer.from(body)]);
}

/** A client's first message. @param {number} code @param {string} [body] */
function first(code, body = '') {
  const header = Buffer.alloc(8);
  header.writeInt32BE(8 + body.length);
  header.writeInt32BE(code, 4);
  return Buffer.concat([header, Buffer.from(body)]);
}

const STARTUP = 196608;

test('messages: types are found, however the stream is cut', () => {
  const stream = Buffer.concat([first(STARTUP, 'user\0me\0'), message('P', 'SELECT'), message('B'), message('E', 'x')]);
  for (let size = 1; size <= stream.length; size++) {
    /** @type {(string | number)[]} */
    const found = [];
    const note = (/** @type {string | number} */ what) => found.push(what);
    const messages = new Messages({ onType: note, onFirst: note });
    for (let at = 0; at < stream.length; at += size) messages.read(stream.subarray(at, at + size));
    assert.deepEqual(found, [STARTUP, 'P', 'B', 'E'], `in pieces of ${size}`);
  }
});

test('messages: the stream of a server has no first message without a type', () => {
  /** @type {string[]} */
  const found = [];
  new Messages({ onType: (type) => found.push(type) }).read(Buffer.concat([message('R', 'ok'), message('Z', 'I')]));
  assert.deepEqual(found, ['R', 'Z']);
});

/** What the fake server answers: a login, a simple query, a statement. Each by a piece of its own. */
const LOGGED_IN = message('Z', 'login');
const SIMPLE = Buffer.concat([message('C', 'simple'), message('Z', 'I')]);
const ANSWER = Buffer.concat([message('D', 'row'), message('C', 'SELECT 1'), message('Z', 'I')]);

/** @param {net.Socket} socket */
function answer(socket) {
  const messages = new Messages({
    onFirst: (code) => (code === CANCEL_REQUEST ? socket.end() : socket.write(LOGGED_IN)),
    onType: (type) => {
      if (type === 'Q') socket.write(SIMPLE);
      if (type === 'S') socket.write(ANSWER);
    },
  });
  socket.on('data', (piece) => messages.read(piece));
  socket.on('error', () => {});
}

const server = net.createServer(answer);
/** @type {Awaited<ReturnType<typeof startSlowProxy>>} */
let proxy;

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  proxy = await startSlowProxy([
    { host: '127.0.0.1', port },
    { host: '127.0.0.1', port },
  ]);
});
after(() => {
  proxy.stop();
  server.close();
});

/** A client of one target. @param {number} target */
async function client(target) {
  const socket = net.connect(proxy.addresses[target]);
  await once(socket, 'connect');
  return {
    socket,
    /** Sends, and resolves to what comes back first. @param {...Buffer} messages */
    ask: async (...messages) => {
      socket.write(Buffer.concat(messages));
      const [piece] = await once(socket, 'data');
      return /** @type {Buffer} */ (piece);
    },
  };
}

const STATEMENT = [message('B'), message('E'), message('S')];

test('slow proxy: it holds back answers of the first target, and neither logins, nor simple queries, nor the second target', {
  timeout: HANG_MS,
}, async () => {
  await proxy.hold({ share: 1, seed: 1 });
  await proxy.counts();
  const [slow, quick] = [await client(0), await client(1)];
  assert.deepEqual(await slow.ask(first(STARTUP)), LOGGED_IN);
  assert.deepEqual(await quick.ask(first(STARTUP)), LOGGED_IN);
  assert.deepEqual(await slow.ask(message('Q')), SIMPLE);
  assert.deepEqual(await proxy.counts(), { statements: 0, held: 0, cancels: 0 });
  /** @type {string[]} */
  const order = [];
  const asked = slow.ask(...STATEMENT).then((piece) => {
    order.push('slow');
    return piece;
  });
  for (let n = 0; n < 3; n++) {
    assert.deepEqual(await quick.ask(...STATEMENT), ANSWER);
    order.push('quick');
  }
  assert.deepEqual(await asked, ANSWER);
  assert.deepEqual(order, ['quick', 'quick', 'quick', 'slow']);
  assert.deepEqual(await proxy.counts(), { statements: 4, held: 1, cancels: 0 });
  for (const { socket } of [slow, quick]) socket.destroy();
});

test('slow proxy: a request to cancel is counted', { timeout: HANG_MS }, async () => {
  await proxy.counts();
  const { socket } = await client(1);
  socket.write(first(CANCEL_REQUEST, '12345678'));
  socket.resume();
  await once(socket, 'close');
  assert.deepEqual(await proxy.counts(), { statements: 0, held: 0, cancels: 1 });
});

test('slow proxy: the same seed holds back the same answers, and about the share that was asked for', {
  timeout: HANG_MS,
}, async () => {
  const STATEMENTS = 60;
  const heldOf = async (/** @type {number} */ seed) => {
    await proxy.hold({ share: 0.2, seed });
    await proxy.counts();
    const { ask, socket } = await client(0);
    await ask(first(STARTUP));
    const held = [];
    for (let n = 0; n < STATEMENTS; n++) {
      await ask(...STATEMENT);
      held.push((await proxy.counts()).held);
    }
    socket.destroy();
    return held;
  };
  const draws = await heldOf(3);
  const count = draws.filter((held) => held === 1).length;
  assert.ok(count > 3 && count < 24, `${count} of ${STATEMENTS}`);
  assert.deepEqual(await heldOf(3), draws);
  assert.notDeepEqual(await heldOf(4), draws);
});

test('alternation: each way has each turn once, and each is the first and the last sometimes', async () => {
  /** @type {string[]} */
  const order = [];
  const ways = ['a', 'b', 'c'];
  const turns = await alternate(ways, 6, async (way, turn) => {
    order.push(way);
    return turn;
  });
  assert.deepEqual(
    turns,
    [0, 1, 2, 3, 4, 5].map((turn) => ({ a: turn, b: turn, c: turn })),
  );
  const placed = (/** @type {number} */ place) => new Set(order.filter((_, index) => index % 3 === place));
  assert.deepEqual([placed(0).size, placed(2).size], [3, 3]);
});

test('quantile: the value below which that share is, and the greatest at most', () => {
  const values = Array.from({ length: 1000 }, (_, index) => index);
  assert.deepEqual([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 0.999)], [500, 990, 999]);
  assert.equal(quantile([7], 0.999), 7);
});
