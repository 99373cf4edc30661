'use strict';

// ServerlessClient: its options, their defaults, and what is refused. No server, and no pool but in the errors of pools.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { OptionError } = require('../../client.js');
const { ServerlessClient } = require('../../exports/serverless');
const { LEASE } = require('../../lib/options/lease-rows.js');
const { POOL } = require('../../lib/options/pool-rows.js');
const { test } = require('../support/helpers.js');
const { SECRET, notingHooks, overFakePool } = require('./clients.js');

const GIVEN = { coordinationSecret: SECRET };

describe('options of ServerlessClient', () => {
  test('serverless options: the pool has one connection, no monitor and as many retries of transactions', (t) => {
    const { given } = overFakePool(t);
    assert.deepEqual(given, { poolSize: 1, monitor: false, transactionRetries: 3, lease: GIVEN });
  });

  test('serverless options: what is given goes before these defaults, and undefined is not given', (t) => {
    const monitor = { intervalMs: 500 };
    const { given } = overFakePool(t, { poolSize: 4, monitor, retries: 5, hosts: undefined, leaseTtlMs: undefined });
    assert.deepEqual(given, { poolSize: 4, monitor, transactionRetries: 5, lease: GIVEN });
    assert.equal(overFakePool(t, { transactionRetries: 0 }).given.transactionRetries, 0);
    assert.equal(overFakePool(t, { poolSize: undefined }).given.poolSize, 1);
  });

  test('serverless options: each option of createPool is the pool’s, and each of leases is a member of `lease`', (t) => {
    const own = ['poolSize', 'monitor', 'lease', 'transactionRetries'];
    const ofPool = Object.fromEntries(
      Object.keys(POOL)
        .filter((name) => !own.includes(name))
        .map((name) => [name, name]),
    );
    const lease = { ...Object.fromEntries(Object.keys(LEASE).map((name) => [name, name])), ...GIVEN };
    const { given } = overFakePool(t, { ...ofPool, ...lease });
    assert.deepEqual(given, { poolSize: 1, monitor: false, transactionRetries: 3, ...ofPool, lease });
  });

  test('serverless options: the object of the caller is not changed', (t) => {
    const options = Object.freeze({ hooks: Object.freeze({ ...notingHooks().hooks }), leaseTtlMs: 5_000 });
    overFakePool(t, options);
  });
});

/** @type {[title: string, options: any, message: string | RegExp][]} */
const REFUSED = [
  ['no options', undefined, 'coordinationSecret is missing'],
  ['a string', 'postgres://db1/shop', 'options must be an object, not string'],
  ['null', null, 'options must be an object, not null'],
  ['no secret', {}, 'coordinationSecret is missing'],
  ['an empty list of secrets', { coordinationSecret: [] }, 'coordinationSecret must not be an empty array'],
  ['a short secret', { coordinationSecret: 'fifteen letters' }, 'coordinationSecret must have at least 16 bytes'],
  ['a short old secret', { coordinationSecret: [SECRET, 'x'] }, 'coordinationSecret[1] must have at least 16 bytes'],
  ['the password as the secret', { ...GIVEN, password: SECRET }, 'coordinationSecret must not be the password'],
  ['an unknown leaseMode', { ...GIVEN, leaseMode: 'no' }, "leaseMode must be one of 'required', 'optional', not 'no'"],
  ['a ttl that is no number', { ...GIVEN, leaseTtlMs: '9' }, 'leaseTtlMs must be an integer, not string'],
  [
    'a soft limit that is not less than the ttl',
    { ...GIVEN, leaseTtlMs: 30_000, heartbeatSoftRemainingMs: 30_000 },
    'heartbeatSoftRemainingMs (30000) must be less than leaseTtlMs (30000)',
  ],
  [
    'a hard limit over the soft one',
    { ...GIVEN, heartbeatSoftRemainingMs: 100, heartbeatHardWaitRemainingMs: 101 },
    'heartbeatHardWaitRemainingMs (101) must not be more than heartbeatSoftRemainingMs (100)',
  ],
  [
    'a probability over 1',
    { ...GIVEN, reaperRunProbability: 2 },
    'reaperRunProbability must be a number from 0 to 1, not 2',
  ],
  [
    'the option of the pool',
    { lease: GIVEN },
    /^lease: its members are options of ServerlessClient: coordinationSecret, /,
  ],
  ['retries: -1', { ...GIVEN, retries: -1 }, 'retries must be from 0 to 1000000, not -1'],
  ['retries: a string', { ...GIVEN, retries: '3' }, 'retries must be an integer, not string'],
  ['retries: null', { ...GIVEN, retries: null }, 'retries must be an integer, not null'],
  ['minBackoff: -1', { ...GIVEN, minBackoff: -1 }, 'minBackoff must be from 0 to 2147483647, not -1'],
  ['maxBackoff: a half', { ...GIVEN, maxBackoff: 0.5 }, 'maxBackoff must be an integer, not 0.5'],
  [
    'minBackoff over maxBackoff',
    { ...GIVEN, minBackoff: 2_001 },
    'minBackoff (2001) must not be larger than maxBackoff (2000)',
  ],
  ['a negative limit for connects', { ...GIVEN, maxConnectRetryTimeMs: -1 }, /^maxConnectRetryTimeMs must be from 0 /],
  [
    'a limit for queries that is infinite',
    { ...GIVEN, maxQueryRetryTimeMs: Infinity },
    /^maxQueryRetryTimeMs must be an integer/,
  ],
  ['hooks that are no object', { ...GIVEN, hooks: () => {} }, 'hooks must be an object, not function'],
  [
    'a hook that is no function',
    { ...GIVEN, hooks: { onConnect: true } },
    'hooks.onConnect must be a function, not boolean',
  ],
  [
    'an unknown hook',
    { ...GIVEN, hooks: { onConect() {} } },
    "unknown option 'hooks.onConect': did you mean 'hooks.onConnect'?",
  ],
  ['poolSize: 0', { ...GIVEN, poolSize: 0 }, /^poolSize must be from 1 to /],
  ['monitor: a number', { ...GIVEN, monitor: 5 }, 'monitor must be an object, not number'],
];

/** Names that are almost those of options: of the pool, of leases, of the client, of other clients. */
const NEAR = {
  poolSzie: 'poolSize',
  leaseTtl: 'leaseTtlMs',
  coordinationsecret: 'coordinationSecret',
  heartbeat_timeout_ms: 'heartbeatTimeoutMs',
  retrys: 'retries',
  maxConnectRetryTime: 'maxConnectRetryTimeMs',
  hook: 'hooks',
  max: 'poolSize',
  connection_string: 'connectionString',
  secret: 'coordinationSecret',
  connUtilization: 'reaperRunProbability',
  maxRetries: 'retries',
};

describe('what ServerlessClient refuses', () => {
  for (const [title, options, message] of REFUSED) {
    test(`serverless options: ${title} is refused`, () => {
      assert.throws(
        () => new ServerlessClient(options),
        (/** @type {any} */ error) => {
          assert.ok(error instanceof OptionError);
          assert.equal(error.code, 'ERR_INVALID_OPTION');
          if (typeof message === 'string') assert.equal(error.message, message);
          else assert.match(error.message, message);
          assert.match(/** @type {string} */ (error.stack), /client\.options\.test\.js/);
          return true;
        },
      );
    });
  }

  for (const [name, meant] of Object.entries(NEAR)) {
    test(`serverless options: '${name}' is refused, and '${meant}' is suggested`, () => {
      assert.throws(() => new ServerlessClient(/** @type {any} */ ({ ...GIVEN, [name]: undefined })), {
        name: 'OptionError',
        message: `unknown option '${name}': did you mean '${meant}'?`,
      });
    });
  }

  test('serverless options: a name that is near to none is refused without a suggestion', () => {
    assert.throws(() => new ServerlessClient(/** @type {any} */ ({ ...GIVEN, zzz: 1 })), {
      message: "unknown option 'zzz'",
    });
  });
});
