// Type tests of createPool's options: all options, and what must not compile. Compiled, never run.

import {
  type Balance,
  createPool,
  type LeaseOptions,
  type Mode,
  type NodeStatus,
  type PoolOptions,
  type ReadsOptions,
  type TypeChoices,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

// Every option is named here, so that removing one, or changing its type, is noticed.
const all: Required<PoolOptions> = {
  connectionString: 'postgres://h',
  service: 'shop',
  hosts: ['a', { host: 'b', port: 1, address: '10.0.0.1' }],
  port: 5432,
  user: 'u',
  password: () => 'p',
  passfile: '/f',
  database: 'd',
  mode: 'any',
  loadBalanceHosts: 'random',
  ssl: { mode: 'verify-full', rejectUnauthorized: true },
  channelBinding: 'require',
  requireAuth: ['!md5'],
  keepAlive: false,
  tcpUserTimeoutMs: 0,
  poolSize: 1,
  minPoolSize: 1,
  connectTimeoutMs: 1,
  acquireTimeoutMs: 1,
  statementTimeoutMs: 1,
  idleTimeoutMs: 1,
  maxLifetimeMs: 1,
  statementCacheSize: 1,
  maxResultBytes: 1,
  prepare: false,
  reset: { sql: 'DISCARD ALL' },
  pipeline: { depth: 1 },
  monitor: { intervalMs: 1, nodeTimeoutMs: 1 },
  transactionRetries: 1,
  exactlyOnceTable: 'app.outcome',
  exactlyOnceKeepMs: 0,
  ambient: 'strict',
  reads: {
    poolSize: 1,
    balance: 'response-time',
    weights: { 'db2:5432': 3 },
    maxLagMs: 0,
    maxLagBytes: 1,
    fallback: 'none',
    waitMs: 0,
    hedgeMs: 1,
    hedgeShare: 0.1,
    slowStartMs: 1,
    healthThreshold: 0.5,
  } satisfies Required<ReadsOptions>,
  lease: {
    coordinationSecret: ['s', Buffer.from('s')],
    leaseMode: 'optional',
    serviceName: 's',
    leaseTtlMs: 3,
    heartbeatSoftRemainingMs: 2,
    heartbeatHardWaitRemainingMs: 1,
    heartbeatTimeoutMs: 1,
    heartbeatErrorMode: 'swallow',
    reaper: false,
    reaperRunProbability: 0.5,
    reaperCooldownMs: 1,
    minConnectionIdleTimeSec: 1,
    maxIdleConnectionsToKill: 1,
    reaperErrorMode: 'throw',
  } satisfies Required<LeaseOptions>,
  name: 'orders',
  applicationName: 'a',
  options: { work_mem: '64MB', geqo: false, statement_timeout: 5 },
  types: { int8: 'string', parsers: { 20: Number, date: null } },
  logger: ({ error, parameters }) => void [error, parameters],
  logParameters: true,
  slowQueryMs: 200,
};
createPool(all);
createPool();
createPool({});
same<Equal<PoolOptions['mode'], Mode | undefined>>();
same<Equal<PoolOptions['prepare'], boolean | undefined>>();
same<Equal<PoolOptions['maxResultBytes'], number | undefined>>();
same<Equal<TypeChoices['int8'], 'bigint' | 'number' | 'string' | undefined>>();

createPool({ reads: { balance: (nodes) => nodes.sort((a, b) => a.inFlight - b.inFlight)[0] } });
createPool({ reads: { balance: ([first]: NodeStatus[]) => `${first.host}:${first.port}` } });
same<Equal<Balance, 'round-robin' | 'random' | 'weighted' | 'least-connections' | 'response-time' | 'health-aware'>>();

// @ts-expect-error there is no such strategy
createPool({ reads: { balance: 'fastest' } });
// @ts-expect-error a choice is made at once
createPool({ reads: { balance: async ([first]) => first } });
// @ts-expect-error a function must choose
createPool({ reads: { balance: () => undefined } });
// @ts-expect-error a weight is a number
createPool({ reads: { weights: { db1: '3' } } });
// @ts-expect-error to the primary or nowhere
createPool({ reads: { fallback: 'standby' } });
// @ts-expect-error it is maxLagMs
createPool({ reads: { maxLag: 5 } });
createPool({ lease: null });
// @ts-expect-error a number is no secret
createPool({ lease: { coordinationSecret: 5 } });
// @ts-expect-error there is no such way to undo
createPool({ reset: 'all' });
// @ts-expect-error it is the SQL that is missing
createPool({ reset: {} });
// @ts-expect-error a pool prepares or it does not
createPool({ prepare: 'auto' });
// @ts-expect-error a number of bytes
createPool({ maxResultBytes: '1MB' });
// @ts-expect-error times are numbers
createPool({ acquireTimeoutMs: '5s' });
// @ts-expect-error a depth or a boolean
createPool({ pipeline: 8 });
// @ts-expect-error on, off, or its options
createPool({ monitor: { interval: 5 } });
// @ts-expect-error no server has a setting that is an object
createPool({ options: { work_mem: {} } });
// @ts-expect-error a password that is late is a promise of one
createPool({ password: async () => 1 });
// @ts-expect-error no place for two
createPool({ hosts: [['a', 5432]] });
// @ts-expect-error a pool is made of options or a string
createPool(5432);
