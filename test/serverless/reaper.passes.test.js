'use strict';

// When passes run: chance, cooldown, one at a time, and what an error comes to. The server is a fake; time is as the test says.

const assert = require('node:assert/strict');
const { DatabaseError, PoolClosedError } = require('../../lib/errors.js');
const { parseOptions } = require('../../lib/options/options.js');
const { Reaper } = require('../../lib/api/reaper.js');
const { failureOf, test } = require('../support/helpers.js');
const { leaseOf, leaseOption } = require('./sessions.js');

let services = 0;

/**
 * A reaper whose server answers as `answers` says, and which notes its passes. Each has a service of its own unless it is given one.
 * @param {object} [lease] its option
 * @param {{ locked?: boolean, killed?: number, fail?: unknown }} [answers] which a test may change
 * @param {{ options?: object, states?: string[], opened?: unknown[] }} [others] more options of the pool; the states of its nodes; what was opened
 */
function fake(lease = {}, answers = {}, others = {}) {
  services += 1;
  const options = parseOptions(
    {
      hosts: 'h',
      user: 'u',
      ...others.options,
      lease: leaseOption({ serviceName: `s${services}`, reaper: true, ...lease }),
    },
    {},
  );
  /** How often the process was held. */
  const link = { held: 0, hold: () => void link.held++, unhold: () => void link.held-- };
  const state = {
    begun: 0,
    isClosed: false,
    told: /** @type {any[]} */ ([]),
    link,
    /** @type {number[]} */ heldIn: [],
  };
  /** @param {string} sql */
  const query = async (sql) => {
    if (!sql.includes('pg_terminate_backend')) state.begun += 1;
    if (answers.fail !== undefined) throw answers.fail;
    state.heldIn.push(link.held);
    const { locked = true, killed = 0 } = answers;
    const name = leaseOf({ serviceName: options.lease.serviceName });
    const pids = Array.from({ length: locked ? killed : 0 }, (_, index) => index + 1);
    const sessions = pids.length > 0 ? pids.map((pid) => ({ pid, name, started: '', idleMs: 0 })) : null;
    const said = sql.includes('pg_terminate_backend')
      ? { locked, pids }
      : { locked, now: Date.now(), sees: true, user: 'u', sessions };
    return Object.assign([{ said: JSON.stringify(said) }], { node: 'h:5432' });
  };
  const reaper = new Reaper({
    options,
    link: /** @type {any} */ (link),
    query,
    nodes: () => (others.states ?? ['up']).map((state) => ({ host: 'h', port: 5432, state })),
    open: (/** @type {any} */ { host }) => {
      others.opened?.push(host);
      return { query, end: async () => {} };
    },
    isClosed: () => state.isClosed,
    tell: (detail) => state.told.push(detail),
  });
  return { reaper, state, answers };
}

/** Resolves when no pass runs. */
const idle = () => new Promise((resolve) => setImmediate(resolve));

/** Time as the test says: returns what lets it pass. @param {import('node:test').TestContext} t */
function clock(t) {
  let now = Date.now();
  t.mock.method(Date, 'now', () => now);
  return (/** @type {number} */ ms) => {
    now += ms;
  };
}

const DENIED = () =>
  Object.assign(new DatabaseError('permission denied for function pg_terminate_backend', '42501'), {
    routine: 'aclcheck_error',
  });

for (const probability of [0.1, 0.5]) {
  test(`reaperRunProbability ${probability}: of 10,000 connects that share of passes runs`, async (t) => {
    const { reaper, state } = fake({ reaperRunProbability: probability, reaperCooldownMs: 0 });
    const random = t.mock.method(Math, 'random');
    for (let i = 0; i < 10_000; i++) {
      reaper.onEvent({ type: 'connect' });
      if (state.link.held < 0) await idle();
    }
    await idle();
    const deviation = Math.sqrt(10_000 * probability * (1 - probability));
    assert.ok(Math.abs(state.begun - 10_000 * probability) < 6 * deviation, `${state.begun} passes`);
    assert.equal(random.mock.callCount(), 10_000 + state.begun, 'one draw a connect, one jitter a pass');
  });
}

test('reaperRunProbability decides by the draw: below it a pass runs, at it none', async (t) => {
  let draw = 0;
  t.mock.method(Math, 'random', () => draw);
  const { reaper, state } = fake({ reaperRunProbability: 0.25, reaperCooldownMs: 0 });
  for (draw of [0.25, 0.999, 0.2499, 0.3, 0]) {
    reaper.onEvent({ type: 'connect' });
    await idle();
  }
  assert.equal(state.begun, 2);
});

for (const pressed of [{ refused: true }, { crowded: true }]) {
  const [[what]] = Object.entries(pressed);
  test(`a connect that is told as ${what} runs a pass whatever the draw, but not with probability 0 or reaper: false`, async (t) => {
    t.mock.method(Math, 'random', () => 0.999);
    const never = { reaperRunProbability: 0.001, reaperCooldownMs: 0 };
    const cases = /** @type {const} */ ([
      [never, 1],
      [{ ...never, reaperRunProbability: 0 }, 0],
      [{ ...never, reaper: false }, 0],
    ]);
    for (const [lease, expected] of cases) {
      const { reaper, state } = fake(lease);
      for (const pressure of [pressed, {}]) {
        reaper.onEvent({ type: 'connect', refused: false, crowded: false, ...pressure });
        await idle();
      }
      assert.equal(state.begun, expected, JSON.stringify(lease));
    }
  });
}

test('a thaw is as a connect; other events run no pass', async () => {
  const { reaper, state } = fake({ reaperRunProbability: 1, reaperCooldownMs: 0 });
  for (const type of ['heartbeat', 'heartbeat-failed', 'dead', 'thaw']) {
    reaper.onEvent({ type });
    await idle();
  }
  assert.equal(state.begun, 1);
});

test('between two passes by themselves lies the cooldown, ±10 %, for all pools of the process with the service', async (t) => {
  const pass = clock(t);
  const lease = { serviceName: 'common', reaperRunProbability: 1, reaperCooldownMs: 100_000 };
  const [one, two] = [fake(lease), fake(lease)];
  const begun = () => one.state.begun + two.state.begun;
  const connect = async () => {
    for (const { reaper } of [one, two]) {
      reaper.onEvent({ type: 'connect' });
      await idle();
    }
  };
  await connect();
  assert.equal(begun(), 1);
  pass(89_000);
  await connect();
  assert.equal(begun(), 1);
  pass(21_100);
  await connect();
  assert.equal(begun(), 2);
  const other = fake({ ...lease, serviceName: 'another' });
  other.reaper.onEvent({ type: 'connect' });
  await idle();
  assert.equal(other.state.begun, 1, 'the cooldown of a service is not that of another');
});

test('the cooldown grows by half while another process has the lock, to 10 minutes, and is as before when it was got', async (t) => {
  const pass = clock(t);
  t.mock.method(Math, 'random', () => 0.5); // no jitter
  const { reaper, state, answers } = fake({ reaperRunProbability: 1, reaperCooldownMs: 100_000 }, { locked: false });
  let begun = 0;
  /** Whether a pass runs after this time and not before. @param {number} ms */
  const next = async (ms) => {
    pass(ms - 5_000);
    reaper.onEvent({ type: 'connect' });
    await idle();
    assert.equal(state.begun, begun, `no pass before ${ms}`);
    pass(5_000);
    reaper.onEvent({ type: 'connect' });
    await idle();
    begun += 1;
    assert.equal(state.begun, begun, `a pass after ${ms}`);
  };
  reaper.onEvent({ type: 'connect' });
  await idle();
  begun += 1;
  for (const ms of [150_000, 225_000, 337_500, 506_250, 600_000]) await next(ms);
  answers.locked = true;
  await next(600_000);
  await next(100_000);
  answers.locked = false;
  await next(100_000);
  await next(150_000);
});

test('reap() asks for no draw and no cooldown', async (t) => {
  t.mock.method(Math, 'random', () => 0.999);
  const { reaper, state } = fake({ reaperRunProbability: 0, reaper: false, reaperCooldownMs: 100_000 }, { killed: 3 });
  assert.deepEqual(await reaper.reap(), { locked: true, killed: 3 });
  assert.deepEqual(await reaper.reap(), { locked: true, killed: 3 });
  assert.equal(state.begun, 2);
  assert.deepEqual(
    state.told.map(({ durationMs, ...rest }) => [typeof durationMs, rest]),
    Array(2).fill(['number', { type: 'reap', locked: true, killed: 3 }]),
  );
});

test('two passes at a time are one, also those of two pools', async () => {
  const lease = { serviceName: 'at once', reaperRunProbability: 1, reaperCooldownMs: 0 };
  const [one, two] = [fake(lease, { killed: 5 }), fake(lease, { killed: 7 })];
  one.reaper.onEvent({ type: 'connect' });
  two.reaper.onEvent({ type: 'connect' });
  const found = await Promise.all([two.reaper.reap(), one.reaper.reap()]);
  assert.deepEqual(found, Array(2).fill({ locked: true, killed: 5 }));
  assert.deepEqual([one.state.begun, two.state.begun], [1, 0]);
});

test('a call that waits for the pass of another pool runs its own when that pool has ended', async () => {
  const lease = { serviceName: 'ended' };
  const [one, two] = [fake(lease, { fail: new PoolClosedError() }), fake(lease, { killed: 7 })];
  const first = one.reaper.reap();
  one.state.isClosed = true;
  assert.deepEqual(await two.reaper.reap(), { locked: true, killed: 7 });
  assert.deepEqual(await first, { locked: false, killed: 0 });
});

test('other nodes are reaped that are up, and without a monitor all: nobody looks whether one has come back', async () => {
  const cases = /** @type {const} */ ([
    [true, ['b', 'd']],
    [false, ['b', 'c', 'd']],
  ]);
  for (const [monitor, expected] of cases) {
    /** @type {unknown[]} */
    const opened = [];
    const others = { options: { hosts: 'h,b,c,d', monitor }, states: ['up', 'up', 'down', 'up'], opened };
    const { reaper } = fake({}, { killed: 2 }, others);
    assert.deepEqual(await reaper.reap(), { locked: true, killed: 2 * (1 + expected.length) });
    assert.deepEqual(opened, expected);
  }
});

test('while another process has the lock of one node the other nodes are left to it', async () => {
  /** @type {unknown[]} */
  const opened = [];
  const { reaper } = fake({}, { locked: false }, { options: { hosts: 'h,b' }, states: ['up', 'up'], opened });
  assert.deepEqual(await reaper.reap(), { locked: false, killed: 0 });
  assert.deepEqual(opened, []);
});

test('behind a pooler there is no reaper', async () => {
  const { reaper, state } = fake({ leaseMode: 'optional', reaperRunProbability: 1 }, { killed: 2 });
  reaper.onEvent({ type: 'off' });
  assert.deepEqual(await reaper.reap(), { locked: false, killed: 0 });
  assert.equal(state.begun, 0);
});

test('a pass by itself keeps no process alive, and one that is asked for does', async () => {
  const { reaper, state } = fake({ reaperRunProbability: 1, reaperCooldownMs: 0 }, { killed: 1 });
  reaper.onEvent({ type: 'connect' });
  await idle();
  // Each call of the core holds the process by itself: -1 makes up for it.
  assert.deepEqual(state.heldIn, [-1, -1]);
  assert.equal(state.link.held, 0);
  await reaper.reap();
  assert.deepEqual(state.heldIn.slice(2), [1, 1]);
  assert.equal(state.link.held, 0);
});

test("reaperErrorMode: 'throw' rejects, 'swallow' does not, and both tell the event; a pass by itself never rejects", async () => {
  const fail = new DatabaseError('no', '57014');
  const quiet = fake({}, { fail });
  assert.deepEqual(await quiet.reaper.reap(), { locked: false, killed: 0 });
  const loud = fake({ reaperErrorMode: 'throw', reaperRunProbability: 1, reaperCooldownMs: 0 }, { fail });
  assert.equal(await failureOf(loud.reaper.reap()), fail);
  loud.reaper.onEvent({ type: 'connect' });
  await idle();
  for (const { told } of [quiet.state, loud.state]) assert.equal(told[0].error, fail);
  assert.equal(loud.state.told.length, 2);
});

test('the end of the pool ends a pass without an event', async () => {
  const { reaper, state } = fake({ reaperRunProbability: 1 }, { fail: new PoolClosedError() });
  reaper.onEvent({ type: 'connect' });
  await idle();
  assert.deepEqual([state.begun, state.told], [1, []]);
  state.isClosed = true;
  reaper.onEvent({ type: 'connect' });
  assert.equal(state.begun, 1);
});

test('a missing right is told once in a process, with what helps', async (t) => {
  const warned = t.mock.method(process, 'emitWarning', () => {});
  for (let i = 0; i < 3; i++) await fake({}, { fail: DENIED() }).reaper.reap();
  assert.deepEqual(
    warned.mock.calls.map(({ arguments: given }) => given),
    [
      [
        'hyperiondb-client: expired sessions are not ended: permission denied for function pg_terminate_backend: ' +
          'GRANT EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend TO "u"',
        { code: 'HYPERION_REAPER_RIGHTS' },
      ],
    ],
  );
});
