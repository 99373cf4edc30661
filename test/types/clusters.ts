// Type tests of hyperiondb-client/clusters. Compiled, never run.

import type { Field, PoolOptions } from '../../client.js';
import { sql } from '../../client.js';
import {
  MultiClusterPostgres,
  slotExpression,
  slotOf,
  type ClusterConfiguration,
  type ClusterErrorCode,
  type ClusterOptions,
  type ClusterResult,
  type ClusterTransaction,
  type HealthReport,
  type InitializeError,
  type MigrateResult,
  type MigrationStatus,
  type MultiClusterEvents,
  type MultiClusterMetrics,
  type MultiClusterOptions,
  type Recovered,
  type TransactionEvent,
  type TransactionResult,
} from '../../exports/clusters/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

// All options of a pool but those that a cluster has itself or cannot have, and those of its own.
type Own =
  | 'schemas'
  | 'primary'
  | 'replicas'
  | 'hosts'
  | 'readPreference'
  | 'consistencyLevel'
  | 'loadBalancing'
  | 'connectionPool'
  | 'sharding';
same<Equal<keyof ClusterOptions, Exclude<keyof PoolOptions, 'mode' | 'ambient' | 'name'> | Own>>();

const configuration: ClusterConfiguration = {
  users: {
    schemas: ['users'],
    user: 'app',
    password: async () => 'secret',
    sharding: { strategy: 'hash', key: 'user_id', partitions: 2, shards: [{ primary: 'u1' }, { hosts: ['u2', 'u3'] }] },
  },
  catalogue: {
    schemas: ['catalogue', 'prices'],
    primary: { host: 'c1', port: 5433, user: 'app', password: 'secret', database: 'shop' },
    replicas: ['c2', 'c3:5433'],
    readPreference: 'nearest',
    consistencyLevel: 'session',
    loadBalancing: { strategy: 'health_aware', weights: { replica_1: 2, 'c3:5433': 1 }, healthThreshold: 0.8 },
    connectionPool: { min: 2, max: 20 },
    reads: { maxLagMs: 500 },
    statementTimeoutMs: 5_000,
  },
};
// @ts-expect-error a cluster names its schemas
const withoutSchemas: ClusterOptions = { primary: 'c1' };
// @ts-expect-error a cluster follows its primary
const withMode: ClusterOptions = { schemas: [], primary: 'c1', mode: 'standby' };
// @ts-expect-error there is no such strategy
const strange: ClusterOptions = { schemas: [], primary: 'c1', loadBalancing: { strategy: 'round-robin' } };
// @ts-expect-error a shard has hosts or a primary
const both: ClusterOptions['sharding'] = { strategy: 'hash', key: 'k', shards: [{ primary: 'a', hosts: ['b'] }] };

const options: Required<Pick<MultiClusterOptions, 'enableMetrics' | 'enableTransactions' | 'cluster' | 'decisions'>> = {
  enableMetrics: true,
  enableTransactions: true,
  cluster: { healthCheckIntervalMs: 1_000, healthTimeoutMs: 500, maxFailuresBeforeMarkDown: 2 },
  decisions: {
    cluster: 'users',
    table: 'app.decisions',
    graceMs: 5_000,
    finishTimeoutMs: 1_000,
    recoverIntervalMs: 500,
  },
};
new MultiClusterPostgres();
new MultiClusterPostgres({ enableCache: false });
// @ts-expect-error there is no such option
new MultiClusterPostgres({ enableMigrations: true });

async function calls(multi: MultiClusterPostgres) {
  same<Equal<Awaited<ReturnType<typeof multi.initialize>>, void>>();
  const result = await multi.query('SELECT 1 AS one', [], { schema: 'users' });
  same<Equal<typeof result, ClusterResult<Record<string, unknown>>>>();
  const { rows, rowCount, command, fields, clusterId, node, cached } = await multi.query<{ id: number }>(
    sql`SELECT id FROM users WHERE id = ${7}`,
    undefined,
    {
      schema: 'users',
      shardKey: 7n,
      operation: 'read',
      consistencyLevel: 'eventual',
      timeoutMs: 500,
      signal: AbortSignal.timeout(1_000),
      types: { int8: 'number' },
    },
  );
  same<Equal<typeof rows, { id: number }[]>>();
  same<Equal<[typeof rowCount, typeof command, typeof fields], [number, string, ReadonlyArray<Field>]>>();
  same<Equal<[typeof clusterId, typeof node, typeof cached], [string, string, boolean]>>();
  const arrays = await multi.query<[number]>('SELECT 1', null, { clusterId: 'users', rowMode: 'array' });
  same<Equal<(typeof arrays)['rows'], [number][]>>();
  await multi.query('SELECT 1', [], { cache: true, cacheTtl: 1_000, cacheKey: 'one', tags: ['numbers'] });
  await multi.query<{ id: number }>('SELECT id FROM users', [], {
    merge: 'concat',
    orderBy: (a, b) => a.id - b.id,
    limit: 10,
  });
  // @ts-expect-error there is no such option
  await multi.query('SELECT 1', [], { shard: 1 });
  // @ts-expect-error `operation` says it
  await multi.query('SELECT 1', [], { readOnly: true });

  const seven = await multi.withTransaction(
    ['users', 'orders'],
    async (tx) => {
      same<Equal<typeof tx, ClusterTransaction>>();
      const moved = await tx.query<{ balance: bigint }>('UPDATE users SET balance = 0 RETURNING balance', [], {
        schema: 'users',
        shardKey: 'a',
        timeoutMs: 100,
      });
      same<Equal<typeof moved, TransactionResult<{ balance: bigint }>>>();
      same<Equal<(typeof moved)['cached'], false>>();
      same<Equal<[typeof tx.id, typeof tx.pending], [string, string[]]>>();
      return 7;
    },
    { isolation: 'serializable', timeoutMs: 1_000 },
  );
  same<Equal<typeof seven, number>>();
  // @ts-expect-error several schemas are a list
  await multi.withTransaction('users', () => {});
  // @ts-expect-error a transaction over several clusters is not repeated
  await multi.withTransaction(['users'], () => {}, { retries: 3 });

  same<Equal<ReturnType<typeof multi.registerSchema>, void>>();
  multi.registerSchema('prices', 'catalogue', { readPreference: 'replica', consistencyLevel: 'eventual' });
  await multi.addCluster('orders', { schemas: ['orders'], hosts: 'o1,o2' });
  await multi.removeCluster('orders');
  await multi.reload(configuration);
  same<Equal<Awaited<ReturnType<typeof multi.healthCheck>>, HealthReport>>();
  same<Equal<ReturnType<typeof multi.getMetrics>, MultiClusterMetrics>>();
  same<Equal<ReturnType<typeof multi.prometheus>, string>>();
  same<Equal<Awaited<ReturnType<typeof multi.recover>>, Recovered>>();
  const migrated = await multi.migrate({ directory: 'migrations/users', clusters: ['users'], dryRun: true });
  same<Equal<typeof migrated, MigrateResult>>();
  await multi.migrate({ migrations: [{ name: '001_a', sql: 'SELECT 1' }], schemas: ['users'], onEvent: () => {} });
  const status = await multi.migrationStatus({ directory: 'migrations', timeoutMs: 1_000 });
  same<Equal<typeof status, MigrationStatus[]>>();
  // @ts-expect-error nothing is applied, so nothing is told
  await multi.migrationStatus({ directory: 'migrations', dryRun: true });
  const removed: number[] = [
    await multi.invalidateCache({ schema: 'catalogue' }),
    await multi.invalidateCache({ tags: ['product:1'] }),
    await multi.invalidateCache({ cluster: 'catalogue' }),
    await multi.invalidateCache({ pattern: 'product:*' }),
    await multi.invalidateCache({ key: 'one' }),
  ];
  // @ts-expect-error it must say what
  await multi.invalidateCache({});
  same<Equal<typeof multi.isClosed, boolean>>();
  same<Equal<ReturnType<typeof multi.toJSON>['clusters'][string], { schemas: string[]; hosts: string[] }>>();
  await multi.close({ timeoutMs: 500 });
  return removed;
}

// Every event is named here, so that removing one, or changing what it is told, is noticed.
function events(multi: MultiClusterPostgres) {
  same<
    Equal<
      keyof MultiClusterEvents,
      | 'clusterDown'
      | 'clusterRecovered'
      | 'failover'
      | 'slow'
      | 'queryExecuted'
      | 'queryError'
      | 'cacheHit'
      | 'cacheMiss'
      | 'cacheEviction'
      | 'schemaRegistered'
      | 'transactionStarted'
      | 'transactionCommitted'
      | 'transactionAborted'
      | 'inDoubt'
      | 'error'
    >
  >();
  multi.on('clusterDown', ({ clusterId, reason, ...rest }) =>
    same<Equal<[typeof clusterId, typeof reason, keyof typeof rest], [string, string, never]>>(),
  );
  multi.on('clusterRecovered', ({ downtime }) => same<Equal<typeof downtime, number>>());
  multi.on('failover', ({ from, to, shard }) =>
    same<Equal<[typeof from, typeof to, typeof shard], [string, string, number | undefined]>>(),
  );
  multi.on('queryExecuted', ({ clusterId, node, duration, rowCount, ...rest }) =>
    same<
      Equal<
        [typeof clusterId, typeof node, typeof duration, typeof rowCount, keyof typeof rest],
        [string, string, number, number, never]
      >
    >(),
  );
  multi.on('queryError', ({ clusterId, error, duration, ...rest }) =>
    same<
      Equal<[typeof clusterId, typeof error, typeof duration, keyof typeof rest], [string, unknown, number, never]>
    >(),
  );
  multi.on('cacheHit', ({ key, schema }) => same<Equal<[typeof key, typeof schema], [string, string]>>());
  multi.on('cacheMiss', ({ key, schema }) => same<Equal<[typeof key, typeof schema], [string, string]>>());
  multi.on('cacheEviction', ({ reason }) => same<Equal<typeof reason, 'size' | 'bytes' | 'expired'>>());
  multi.on('schemaRegistered', ({ schema }) => same<Equal<typeof schema, string>>());
  for (const name of ['transactionStarted', 'transactionCommitted', 'transactionAborted', 'inDoubt'] as const) {
    multi.on(name, (event) => same<Equal<typeof event, TransactionEvent>>());
  }
  // @ts-expect-error there is no such event
  multi.on('configReloaded', () => {});
}

async function disposed() {
  await using multi = new MultiClusterPostgres(options);
  events(multi);
  await multi.initialize(configuration);
  await calls(multi);
}

const code: ClusterErrorCode = 'ERR_INITIALIZE';
const failed = ({ failures }: InitializeError) => same<Equal<(typeof failures)[string], Error>>();

const slot: number = slotOf('0b8f8a4e-6a3f-4bb4-9d0f-1f2f3c4d5e6f') + slotOf(7) + slotOf(7n);
const expression: string = slotExpression('user_id');

export { both, code, disposed, expression, failed, slot, strange, withMode, withoutSchemas };
