'use strict';

// Thousands of sessions with servers whose every byte may be wrong. The servers are in this process, the client is a process of
// its own (sessions.client.js), whose exit code and stderr are checked here.

const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');
const { until } = require('../../../exports/testing/cluster/until.js');
const { Mutations } = require('./mutations');
const { scram } = require('./scram');
const { FakeServer } = require('./server');
const { withTypes } = require('./types');
const wire = require('./wire');
const { OID, int16, int32 } = wire;

/** Several listeners, so that no queue of connections is so long that the kernel refuses more. */
const LISTENERS = 4;
const PARALLEL = 200;
/** Time for all sessions, on a machine that has other things to do as well. */
const KILL_MS = 600_000;
/** How many characters of the client's stderr are kept. */
const KEPT = 4_000;

/** @typedef {{ session: number, what: string }} Wrong */
/**
 * @typedef {object} Outcome
 * @property {Wrong[]} wrong
 * @property {string} stderr
 * @property {number | string | null} exit code or signal of the client
 * @property {number} open sockets that were left
 * @property {number} warmMb
 * @property {number} peakMb
 * @property {number} values promises that were fulfilled
 * @property {number} errors promises that were rejected
 * @property {Record<string, number>} codes
 * @property {number} connections
 * @property {number} ms
 * @property {string[]} slowest steps that took longest
 */

const ARRAY = Buffer.concat([1, 0, OID.int4, 2, 1, 4, 1, 4, 2].map(int32));
const NUMERIC = Buffer.concat([2, 0, 0, 2, 1, 5000].map(int16));
/** @type {import('./server').Statement} */
const TYPES = {
  params: [OID.int4],
  columns: [
    ['i', OID.int4],
    ['t', OID.text],
    ['a', OID.int4Array],
    ['n', OID.numeric],
    ['j', OID.jsonb],
    ['z', OID.timestamptz],
    ['u', OID.uuid],
  ],
  rows: [
    [int32(1), 'text', ARRAY, NUMERIC, '\x01{"a":[1,{"b":null}]}', Buffer.alloc(8), Buffer.alloc(16, 7)],
    [null, null, null, null, null, null, null],
    [int32(2), 'ü', ARRAY, NUMERIC, '\x01[]', Buffer.alloc(8), Buffer.alloc(16, 8)],
  ],
};
/** A type that the client must look up: an enum. */
const MOOD = 70_001;

/** The sessions log in by each method in turn. @type {import('./server').Step} */
const byNumber = (conversation) => {
  const number = Number(/\d+/.exec(conversation.parameters.database ?? '')?.[0] ?? 2);
  if (number % 8 === 0) return [...(scram().startup ?? [])];
  if (number % 8 === 1) return [wire.authentication(5, 'salt')];
  return ['login'];
};

/**
 * Few servers ignore a cancel request, because the client waits two seconds for it: most answer the cancelled statement, or end
 * its session.
 *
 * @type {import('./server').Step}
 */
const cancel = ({ server }, { body }) => {
  const cancelled = server.conversations.get(body.readUInt32BE(4));
  const number = Number(/\d+/.exec(cancelled?.parameters.database ?? '')?.[0] ?? 0);
  if (number % 8 < 3) cancelled?.send(Buffer.concat([wire.error('57014', 'canceling statement'), wire.ready()]));
  else if (number % 8 < 7) cancelled?.socket.end();
  return [{ end: true }];
};

/** @type {import('./server').Script} */
const SCRIPT = {
  ...scram(),
  cancel: [cancel],
  startup: [byNumber],
  statements: withTypes(
    {
      'SELECT types': TYPES,
      'SELECT mood': { columns: [['m', MOOD]], rows: [['happy']] },
      'SELECT wrong': { execute: [wire.error('22012', 'division by zero'), { skip: true }] },
      'LISTEN "c"': { query: ['default', { later: 5, send: wire.notification('c', 'x') }] },
    },
    () => ({ kind: 'e', labels: ['sad', 'happy'] }),
  ),
};

/**
 * @param {{ sessions: number, seed: number, only?: number, parallel?: number }} settings
 * @returns {Promise<Outcome>}
 */
async function runSessions({ sessions, seed, only, parallel = PARALLEL }) {
  const began = performance.now();
  const mutations = new Mutations(seed);
  const servers = await Promise.all(Array.from({ length: LISTENERS }, () => FakeServer.open(SCRIPT)));
  for (const server of servers) server.filter = mutations.filter;
  const task = { hosts: servers.map((server) => server.address), sessions, only, parallel };
  const child = spawn(process.execPath, [path.join(__dirname, 'sessions.client.js'), JSON.stringify(task)], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_MS);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    if (stderr.length < KEPT) stderr += chunk;
  });
  /** @type {Wrong[]} */
  const wrong = [];
  /** @type {Record<string, any>} */
  let told = {};
  let open = 0;
  const openNow = () => servers.reduce((sum, server) => sum + server.open, 0);
  readline.createInterface({ input: child.stdout }).on('line', async (line) => {
    const said = JSON.parse(line);
    if (said.wrong !== undefined)
      wrong.push({ session: said.session, what: `${said.wrong} [${mutations.describe(said.session)}]` });
    else told = { ...told, ...said };
    if (said.done) {
      await until('sockets are closed', () => openNow() === 0, { timeoutMs: 10_000 }).catch(() => {});
      open = openNow();
      child.stdin.end();
    }
  });
  const exit = await new Promise((resolve) => {
    child.on('error', (error) => resolve(String(error)));
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  clearTimeout(timer);
  const connections = servers.reduce((sum, server) => sum + server.times('startup'), 0);
  for (const server of servers) server.close();
  const slowest = (told.slowest ?? []).map(
    (/** @type {any} */ { session, step, ms }) =>
      `${ms} ms: session ${session}, ${step} [${mutations.describe(session)}]`,
  );
  const { warmMb = 0, peakMb = 0, values = 0, errors = 0, codes = {} } = told;
  return {
    wrong,
    stderr,
    exit,
    open,
    warmMb,
    peakMb,
    values,
    errors,
    codes,
    connections,
    slowest,
    ms: performance.now() - began,
  };
}

module.exports = { runSessions };
