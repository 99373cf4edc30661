'use strict';

// Servers that lie, fall silent, break off and talk nonsense. Whatever they do, each promise is settled in bounded time, with a
// value or with an error of the package whose outcome is true; nothing is sent twice; the next statement, or the next host, works
// as if nothing had happened.
//
// The cases are tables in hostile/cases/. One process runs several of them at a time (hostile/table.js), so that a crash is
// noticed, and so is what the add-on prints when it catches a panic. To run one case alone:
//
//   node test/security/hostile/table.js 'startup: length 3'

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');
const { after, before } = require('node:test');
const { test, useCluster } = require('../support/helpers');
const { CASES } = require('./hostile/cases');
const { FakeServer } = require('./hostile/server');
const { message, int32 } = require('./hostile/wire');

/** Time for the whole table, on a machine that is busy. */
const ALL_MS = 900_000;

/** The output of the process that runs the table. */
class Table {
  /** @type {Map<string, (wrong: string[]) => void>} */
  #waiting = new Map();
  /** @type {Map<string, string[]>} */
  #found = new Map();
  /** @type {Promise<{ code: number | null, signal: string | null }> | undefined} */
  #ended;
  stderr = '';

  start() {
    const table = path.join(__dirname, 'hostile', 'table.js');
    const child = spawn(process.execPath, [table], {
      env: { ...process.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      this.stderr += chunk;
    });
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      const { name, wrong } = JSON.parse(line);
      this.#found.set(name, wrong);
      this.#waiting.get(name)?.(wrong);
    });
    this.#ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        resolve({ code, signal });
        for (const [name, tell] of this.#waiting) {
          if (!this.#found.has(name)) tell([`the process has ended: ${signal ?? code}`]);
        }
      });
    });
    this.stop = () => child.kill('SIGKILL');
  }

  stop() {}

  /** Waits for the result of a case: what is wrong with it. @param {string} name @returns {Promise<string[]>} */
  async of(name) {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const told = new Promise((resolve) => this.#waiting.set(name, resolve));
    const ended = this.ended.then((how) => this.#found.get(name) ?? [`the process has ended: ${JSON.stringify(how)}`]);
    return Promise.race([told, ended]);
  }

  get ended() {
    return /** @type {Promise<{ code: number | null, signal: string | null }>} */ (this.#ended);
  }
}

const table = new Table();
before(() => table.start());
after(() => table.stop());

for (const { name } of CASES) {
  test(`hostile server: ${name}`, { timeout: ALL_MS }, async () => assert.deepEqual(await table.of(name), []));
}

test('hostile server: no case printed a panic, a warning or an unhandled rejection', {
  timeout: ALL_MS,
}, async () => {
  assert.deepEqual({ ...(await table.ended), stderr: table.stderr }, { code: 0, signal: null, stderr: '' });
});

// A hostile server beside real nodes.
const db = useCluster({ nodes: 1 });

for (const [name, script] of /** @type {[string, import('./hostile/server').Script][]} */ ([
  ['is silent', { connect: [{ hush: true }] }],
  ['speaks HTTP', { startup: [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), { hush: true }] }],
  ['asks for an unknown authentication', { startup: [message('R', int32(99))] }],
  ['logs in and closes', { probe: [{ end: true }] }],
  ['says of itself nothing', { probe: ['default'], control: [{ hush: true }] }],
])) {
  test(`hostile server: a real cluster is found behind a host that ${name}`, async (t) => {
    const fake = await FakeServer.open(script);
    t.after(() => fake.close());
    const { hosts } = db.options();
    const pool = db.pool(t, {
      hosts: [fake.address, ...hosts],
      connectTimeoutMs: 500,
      monitor: { nodeTimeoutMs: 300 },
    });
    assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
    assert.equal(fake.times('execute'), 0);
  });
}

test('hostile server: a node that begins to talk nonsense is left for the one that is promoted', async (t) => {
  const bad = await FakeServer.open({ statements: { 'SELECT hostile': { execute: [message('?')] } } });
  const good = await FakeServer.open({}, { role: 'standby' });
  t.after(() => [bad, good].map((server) => server.close()));
  const pool = db.pool(t, {
    hosts: [bad.address, good.address],
    ssl: 'disable',
    monitor: { intervalMs: 50, nodeTimeoutMs: 300 },
  });
  assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  await assert.rejects(pool.query('SELECT hostile'), { outcome: 'unknown' });
  bad.close();
  Object.assign(good, { role: 'primary', timeline: 2 });
  assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  assert.equal(good.times('execute SELECT 1 AS one'), 1);
  assert.equal(bad.times('execute SELECT hostile') + good.times('execute SELECT hostile'), 1);
});

test('hostile server: a node that falls silent under a statement is given up by the monitor, without any other limit', async (t) => {
  let frozen = false;
  /** @type {import('./hostile/server').Step} */
  const unlessFrozen = () => (frozen ? [{ hush: true }] : ['default']);
  /** @type {import('./hostile/server').Step} */
  const freeze = () => {
    frozen = true;
    return [{ hush: true }];
  };
  const bad = await FakeServer.open({
    connect: [unlessFrozen],
    probe: [unlessFrozen],
    statements: { 'SELECT hostile': { execute: [freeze] } },
  });
  const good = await FakeServer.open({}, { role: 'standby' });
  t.after(() => [bad, good].map((server) => server.close()));
  const pool = db.pool(t, {
    hosts: [bad.address, good.address],
    ssl: 'disable',
    connectTimeoutMs: 500,
    acquireTimeoutMs: 30_000,
    monitor: { intervalMs: 50, nodeTimeoutMs: 300 },
  });
  assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  await assert.rejects(pool.query('SELECT hostile'), { code: 'ERR_OUTCOME_UNKNOWN', outcome: 'unknown' });
  Object.assign(good, { role: 'primary', timeline: 2 });
  assert.deepEqual(await pool.query('SELECT 1 AS one'), [{ one: 1 }]);
  assert.equal(bad.times('execute SELECT hostile') + good.times('execute SELECT hostile'), 1);
});
