'use strict';

// The option `lease` of createPool: its defaults, what is refused, what the core is told, and that no secret is shown. No server.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const util = require('node:util');
const { forCore, parseOptions } = require('../../lib/options/options.js');
const { core, file, refused } = require('../support/configured.js');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const SECRET = 'the hunter2 of coordination';
const OLD = Buffer.from('the former hunter2 of coordination');

/** @param {object} [lease] @param {NodeJS.ProcessEnv} [env] @param {object} [others] */
const parsed = (lease, env = {}, others) =>
  parseOptions({ hosts: 'h', user: 'u', ...others, lease: { coordinationSecret: SECRET, ...lease } }, env).lease;

test('lease: the defaults are those of the contract', () => {
  const { coordinationSecret, instance, ...others } = parsed();
  assert.deepEqual(others, {
    leaseMode: 'required',
    serviceName: 'sls_pg',
    service: 'sls_pg',
    leaseTtlMs: 90_000,
    heartbeatSoftRemainingMs: 30_000,
    heartbeatHardWaitRemainingMs: 5_000,
    heartbeatTimeoutMs: 2_000,
    heartbeatErrorMode: 'reconnect',
    reaper: true,
    reaperRunProbability: 0.1,
    reaperCooldownMs: 30_000,
    minConnectionIdleTimeSec: 180,
    maxIdleConnectionsToKill: 10,
    reaperErrorMode: 'swallow',
  });
  assert.match(instance, /^[A-Za-z0-9_-]{8}$/);
  assert.deepEqual(coordinationSecret.all(), [Buffer.from(SECRET)]);
  assert.ok(Object.isFrozen(parsed()));
});

test('lease: a short time to live brings its own times of renewal', () => {
  const {
    leaseTtlMs,
    heartbeatSoftRemainingMs: soft,
    heartbeatHardWaitRemainingMs: hard,
  } = parsed({ leaseTtlMs: 300 });
  assert.ok(0 < hard && hard <= soft && soft < leaseTtlMs, `${hard} ${soft} ${leaseTtlMs}`);
});

test('lease: without the option there is none', () => {
  for (const given of [{}, { lease: undefined }, { lease: null }]) {
    assert.equal(parseOptions({ hosts: 'h', user: 'u', ...given }, {}).lease, null);
    assert.equal(core({ hosts: 'h', ...given }).lease, undefined);
  }
});

test('lease.serviceName: the option, else the name of the Lambda function, else sls_pg', () => {
  const env = { AWS_LAMBDA_FUNCTION_NAME: 'orders of the whole shop' };
  assert.equal(parsed({ serviceName: 'a b' }, env).service, 'a_b');
  assert.match(parsed({}, env).service, /^orders_of_t-[0-9a-f]{8}$/);
  assert.equal(parsed({}, { AWS_LAMBDA_FUNCTION_NAME: '' }).service, 'sls_pg');
});

test('lease: each pool is an instance of its own', () => {
  assert.notEqual(parsed().instance, parsed().instance);
});

test('lease: the core is told what it signs and renews with, and only the first secret', () => {
  const { lease } = core({
    hosts: 'h',
    lease: {
      coordinationSecret: [SECRET, OLD],
      serviceName: 'a b',
      leaseMode: 'optional',
      leaseTtlMs: 4_000,
      heartbeatSoftRemainingMs: 3_000,
      heartbeatHardWaitRemainingMs: 2_000,
      heartbeatTimeoutMs: 1_000,
      heartbeatErrorMode: 'throw',
    },
  });
  const { instance, ...others } = lease;
  assert.match(instance, /^[A-Za-z0-9_-]{8}$/);
  assert.deepEqual(others, {
    service: 'a_b',
    secret: Buffer.from(SECRET).toString('base64'),
    ttlMs: 4_000,
    softMs: 3_000,
    hardMs: 2_000,
    timeoutMs: 1_000,
    onFailure: 'throw',
    required: false,
  });
});

// What is wrong, `lease`, the message.
const REFUSED = /** @type {[string, unknown, RegExp][]} */ ([
  ['a string', SECRET, /^lease must be an object, not string$/],
  ['true', true, /^lease must be an object, not boolean$/],
  ['an unknown member', { leaseTTL: 1 }, /^unknown option 'lease\.leaseTTL': did you mean 'lease\.leaseTtlMs'\?$/],
  ['no secret', { coordinationSecret: undefined }, /^lease\.coordinationSecret is missing$/],
  ['null as the secret', { coordinationSecret: null }, /^lease\.coordinationSecret is missing$/],
  ['an empty secret', { coordinationSecret: '' }, /^lease\.coordinationSecret must have at least 16 bytes$/],
  ['a short secret', { coordinationSecret: 'hunter2' }, /^lease\.coordinationSecret must have at least 16 bytes$/],
  ['no secret in an array', { coordinationSecret: [] }, /^lease\.coordinationSecret must not be an empty array$/],
  [
    'a short secret in an array',
    { coordinationSecret: [SECRET, 'hunter2'] },
    /^lease\.coordinationSecret\[1\] must have at least 16 bytes$/,
  ],
  ['a number as the secret', { coordinationSecret: 5 }, /^lease\.coordinationSecret must be a string or a Buffer, or/],
  ['an unknown mode', { leaseMode: 'maybe' }, /^lease\.leaseMode must be one of 'required', 'optional', not 'maybe'$/],
  ['an empty service', { serviceName: '' }, /^lease\.serviceName must not be empty$/],
  ['a time to live of 0', { leaseTtlMs: 0 }, /^lease\.leaseTtlMs must be from 100/],
  ['a fraction', { leaseTtlMs: 100.5 }, /^lease\.leaseTtlMs must be an integer/],
  [
    'a renewal as early as the lease begins',
    { leaseTtlMs: 30_000, heartbeatSoftRemainingMs: 30_000 },
    /^lease\.heartbeatSoftRemainingMs \(30000\) must be less than lease\.leaseTtlMs \(30000\)$/,
  ],
  [
    'a wait that begins before the renewal',
    { heartbeatHardWaitRemainingMs: 30_001 },
    /^lease\.heartbeatHardWaitRemainingMs \(30001\) must not be more than lease\.heartbeatSoftRemainingMs \(30000\)$/,
  ],
  ['a timeout of 0', { heartbeatTimeoutMs: 0 }, /^lease\.heartbeatTimeoutMs must be from 1/],
  ['an unknown error mode', { heartbeatErrorMode: 'x' }, /^lease\.heartbeatErrorMode must be one of/],
  ['a reaper that is no boolean', { reaper: 'yes' }, /^lease\.reaper must be a boolean, not string$/],
  ['a probability above 1', { reaperRunProbability: 1.1 }, /^lease\.reaperRunProbability must be a number from 0 to 1/],
  [
    'a probability below 0',
    { reaperRunProbability: -0.1 },
    /^lease\.reaperRunProbability must be a number from 0 to 1/,
  ],
  ['a probability that is no number', { reaperRunProbability: NaN }, /^lease\.reaperRunProbability must be a number/],
  ['a negative cooldown', { reaperCooldownMs: -1 }, /^lease\.reaperCooldownMs must be from 0/],
  ['a negative idle time', { minConnectionIdleTimeSec: -1 }, /^lease\.minConnectionIdleTimeSec must be from 0/],
  ['a limit of 0', { maxIdleConnectionsToKill: 0 }, /^lease\.maxIdleConnectionsToKill must be from 1/],
  ["an unknown mode of the reaper's errors", { reaperErrorMode: 'x' }, /^lease\.reaperErrorMode must be one of/],
]);
for (const [what, lease, message] of REFUSED) {
  test(`lease: ${what} is refused by name`, () => {
    const given = typeof lease === 'object' ? { coordinationSecret: SECRET, ...lease } : lease;
    refused({ hosts: 'h', lease: given }, {}, message);
  });
}

test('lease.coordinationSecret: the password is refused, wherever it comes from', () => {
  const message = /^lease\.coordinationSecret must not be the password$/;
  const lease = { coordinationSecret: [OLD, SECRET] };
  refused({ hosts: 'h', lease, password: SECRET }, {}, message);
  refused({ hosts: 'h', lease }, { PGPASSWORD: SECRET }, message);
  refused({ connectionString: `postgres://u:${encodeURIComponent(SECRET)}@h`, lease }, {}, message);
  const passfile = file('pgpass', `*:*:*:*:${SECRET}\n`);
  const options = parseOptions({ hosts: 'h', lease, passfile }, {});
  assert.throws(() => forCore(options, {}), { code: 'ERR_INVALID_OPTION', message });
});

test("leaseMode 'optional': without a secret there is no lease, and a warning says so once in a process", async () => {
  const program = `
    const { parseOptions } = require('./lib/options/options.js');
    const lease = { leaseMode: 'optional' };
    const found = [1, 2].map(() => parseOptions({ hosts: 'h', lease }).lease);
    console.log(JSON.stringify(found));
  `;
  const { stdout, stderr } = await util.promisify(execFile)(process.execPath, ['-e', program], { cwd: ROOT });
  assert.equal(stdout.trim(), '[null,null]');
  assert.equal(stderr.match(/HYPERION_NO_LEASE/g)?.length, 1, stderr);
  assert.match(stderr, /lease\.coordinationSecret is missing/);
});

test('no secret is shown by util.inspect, JSON or a copy of the options', () => {
  const options = parseOptions({ hosts: 'h', user: 'u', lease: { coordinationSecret: [SECRET, OLD] } }, {});
  const deep = { depth: Infinity, showHidden: true, getters: true, maxArrayLength: null };
  const shown = [options, { ...options.lease }, [options.lease.coordinationSecret]].flatMap((one) => [
    util.inspect(one, deep),
    util.format('%o %O %j', one, one, one),
    String(JSON.stringify(one)),
  ]);
  const hidden = [SECRET, OLD.toString()].flatMap((secret) => [
    'hunter2',
    Buffer.from(secret).toString('base64').slice(0, 12),
    Buffer.from(secret).toString('hex').slice(0, 12),
    util.inspect(Buffer.from(secret)).slice(8, 30),
    [...Buffer.from(secret).subarray(0, 6)].join(),
  ]);
  for (const text of shown) for (const secret of hidden) assert.ok(!text.includes(secret), `${secret} in ${text}`);
});
