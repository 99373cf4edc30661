'use strict';

// examples/lambda in a process that is frozen between its invocations (SIGSTOP) and thawed for the next one, as Lambda does it: every
// invocation answers, and each has inserted its row exactly once.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { UnsupportedError } = require('../support/cluster');
const { run, reaching } = require('../support/command.js');
const { HANG_MS, range, test, until, useCluster } = require('../support/helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */

const ROOT = path.join(__dirname, '..', '..');
const SECRET = 'the coordination secret of a test';
const LEASE_TTL_MS = 600;
/** How often each environment is frozen: `HYPERION_FREEZES=200 node --test test/serverless/lambda.test.js`. */
const FREEZES = Number(process.env.HYPERION_FREEZES ?? 4);
/** A cycle takes somewhat longer than a lease lasts. */
const timeout = HANG_MS + FREEZES * 5_000;

const db = useCluster({ nodes: 1 });

/** A copy of the example where the package is installed. @param {TestContext} t */
function installedExample(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-lambda-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.cpSync(path.join(ROOT, 'examples', 'lambda'), folder, { recursive: true });
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'hyperiondb-client'), 'junction');
  return path.join(folder, 'handler.mjs');
}

/** A process that Lambda would start for a function. */
class Environment {
  /** @type {Map<string, (answer: any) => void>} */
  #waiting = new Map();
  #child;
  #name;
  #count = 0;
  /** @type {string[]} */
  ids = [];

  /** @param {TestContext} t @param {string} handler @param {string} name */
  constructor(t, handler, name) {
    const { hosts, user, password, database } = db.cluster;
    const child = spawn(process.execPath, [path.join(__dirname, 'lambda-runtime.mjs'), handler], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        DATABASE_URL: `postgres://${user}:${encodeURIComponent(password)}@${hosts.join()}/${database}`,
        COORDINATION_SECRET: SECRET,
        AWS_LAMBDA_FUNCTION_NAME: name,
        LEASE_TTL_MS: String(LEASE_TTL_MS),
      },
    });
    t.after(() => child.kill('SIGKILL'));
    child.on('exit', (code, signal) => this.#answerAll({ error: `the process has ended: ${code ?? signal}` }));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { answerTo, ...answer } = JSON.parse(line);
      this.#waiting.get(answerTo)?.(answer);
      this.#waiting.delete(answerTo);
    });
    this.#child = child;
    this.#name = name;
  }

  /** @param {object} answer */
  #answerAll(answer) {
    for (const resolve of this.#waiting.values()) resolve(answer);
  }

  /** Sends an event, also to a frozen process, which reads it when it is thawed. */
  send() {
    const id = `${this.#name}-${++this.#count}`;
    this.ids.push(id);
    const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ id, page: this.#name })}\n`);
    return answer;
  }

  async invoke() {
    assert.deepEqual(await this.send(), this.expected);
  }

  /** The answer to the last event: it knows the rows of all events. */
  get expected() {
    return { result: { statusCode: 200, body: JSON.stringify({ page: this.#name, visits: this.#count }) } };
  }

  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  /** The sessions of this function: their processes on the server, and whether their leases have expired. */
  async sessions() {
    const rows = await db.sql(
      `SELECT pid, (substring(application_name FROM ';e=([0-9]+)')::int8 < extract(epoch FROM clock_timestamp()) * 1000) AS expired
       FROM pg_stat_activity WHERE application_name LIKE $1 ORDER BY pid`,
      [`s=${this.#name};%`],
    );
    return /** @type {{ pid: number, expired: boolean }[]} */ (rows);
  }
}

/** @param {TestContext} t @param {string} name */
async function started(t, name) {
  if (process.platform === 'win32') throw new UnsupportedError('SIGSTOP', 'Windows has no signals');
  await db.sql('CREATE TABLE IF NOT EXISTS visits (id text, page text, at timestamptz DEFAULT clock_timestamp())');
  const environment = new Environment(t, installedExample(t), name);
  await environment.invoke();
  return environment;
}

/** Each row is there, and none twice: the table has no key that would hide it. @param {Environment} environment @param {string} name */
async function eachOnce(environment, name) {
  const rows = await db.sql('SELECT id FROM visits WHERE page = $1 ORDER BY at', [name]);
  assert.deepEqual(
    rows.map((/** @type {{ id: string }} */ { id }) => id),
    environment.ids,
  );
}

test('lambda: an environment that is frozen for less than its lease lasts keeps its session', {
  timeout,
}, async (t) => {
  const environment = await started(t, 'short-freezes');
  for (const cycle of range(FREEZES)) {
    environment.freeze();
    const answer = cycle % 2 === 0 ? environment.send() : null;
    environment.thaw();
    if (answer === null) await environment.invoke();
    else assert.deepEqual(await answer, environment.expected);
  }
  assert.equal((await environment.sessions()).length, 1);
  await eachOnce(environment, 'short-freezes');
});

test('lambda: an environment that is frozen for longer than its lease lasts renews it, and keeps its session', {
  timeout,
}, async (t) => {
  const environment = await started(t, 'long-freezes');
  const [{ pid }] = await environment.sessions();
  for (const _ of range(FREEZES)) {
    environment.freeze();
    await until('the lease has expired', async () => (await environment.sessions())[0].expired);
    environment.thaw();
    await environment.invoke();
    const [session] = await until('the lease is valid', async () => {
      const sessions = await environment.sessions();
      return sessions.every(({ expired }) => !expired) && sessions;
    });
    assert.equal(session.pid, pid);
  }
  await eachOnce(environment, 'long-freezes');
});

test('lambda: an environment whose session was reaped while it was frozen answers over a new one', {
  timeout,
}, async (t) => {
  const environment = await started(t, 'reaped');
  for (const cycle of range(FREEZES)) {
    const [{ pid }] = await environment.sessions();
    environment.freeze();
    await until('the lease has expired', async () => (await environment.sessions())[0].expired);
    const { code, out, err } = await run(
      ['leases', '--hosts', db.cluster.hosts.join(), '--service', 'reaped', '--reap', '--min-idle', '0', '--json'],
      { ...reaching(db), HYPERION_COORDINATION_SECRET: SECRET },
    );
    assert.deepEqual({ code, err }, { code: 0, err: '' }, out);
    assert.deepEqual(
      JSON.parse(out).nodes[0].ended.map((/** @type {any} */ session) => session.pid),
      [pid],
    );
    await until('the session has ended', async () => (await environment.sessions()).length === 0);
    const answer = cycle % 2 === 0 ? environment.send() : null;
    environment.thaw();
    if (answer === null) await environment.invoke();
    else assert.deepEqual(await answer, environment.expected);
    const [{ pid: next }] = await environment.sessions();
    assert.notEqual(next, pid);
  }
  await eachOnce(environment, 'reaped');
});
