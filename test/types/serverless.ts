// Type tests of hyperiondb-client/serverless. Compiled, never run.

import type {
  Field,
  Lease,
  LeaseOptions,
  PoolOptions,
  ReapResult,
  Rows,
  SlowEvent,
  TokenRows,
  Transaction,
} from '../../client.js';
import { sql } from '../../client.js';
import {
  ServerlessClient,
  createLease,
  verifyLease,
  type ServerlessHooks,
  type ServerlessOptions,
  type ServerlessResult,
} from '../../exports/serverless/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

// Every hook is named here, so that removing one, or changing what it is told, is noticed.
const hooks: Required<ServerlessHooks> = {
  onConnect: ({ node, ...rest }) => same<Equal<[typeof node, keyof typeof rest], [string, never]>>(),
  onReconnect: ({ retries, delay, err, ...rest }) =>
    same<Equal<[typeof retries, typeof delay, typeof err, keyof typeof rest], [number, number, Error, never]>>(),
  onQueryStart: ({ startedAt, ...rest }) => same<Equal<[typeof startedAt, keyof typeof rest], [number, never]>>(),
  onQueryEnd: ({ duration, ...rest }) => same<Equal<[typeof duration, keyof typeof rest], [number, never]>>(),
  onQueryError: ({ err, duration, ...rest }) =>
    same<Equal<[typeof err, typeof duration, keyof typeof rest], [Error, number, never]>>(),
  onQueryRetry: async ({ retries, delay, err, ...rest }) =>
    same<Equal<[typeof retries, typeof delay, typeof err, keyof typeof rest], [number, number, Error, never]>>(),
  onHeartbeat: ({ node, ...rest }) => same<Equal<[typeof node, keyof typeof rest], [string, never]>>(),
  onHeartbeatFail: ({ err, ...rest }) => same<Equal<[typeof err, keyof typeof rest], [Error, never]>>(),
  onReap: ({ locked, killed, durationMs, err, ...rest }) =>
    same<
      Equal<
        [typeof locked, typeof killed, typeof durationMs, typeof err, keyof typeof rest],
        [boolean, number, number, Error | undefined, never]
      >
    >(),
  onSlowQuery: (event) => same<Equal<typeof event, SlowEvent>>(),
  onClientDead: ({ source, err, meta, ...rest }) =>
    same<
      Equal<
        [typeof source, typeof err, typeof meta.sqlstate, keyof typeof rest],
        ['error' | 'end', Error | undefined, string | null, never]
      >
    >(),
};

// All options of a pool and of its leases, but `lease` itself, and those of its own.
type Own = 'retries' | 'minBackoff' | 'maxBackoff' | 'maxConnectRetryTimeMs' | 'maxQueryRetryTimeMs' | 'hooks';
same<Equal<keyof ServerlessOptions, Exclude<keyof PoolOptions, 'lease'> | keyof LeaseOptions | Own>>();
const options: ServerlessOptions = {
  hosts: ['db1', 'db2'],
  ssl: 'verify-full',
  poolSize: 2,
  monitor: { intervalMs: 500 },
  coordinationSecret: ['the new secret of 2026', Buffer.from('the old secret of 2025')],
  serviceName: 'orders',
  leaseTtlMs: 60_000,
  retries: 5,
  minBackoff: 50,
  maxBackoff: 500,
  maxConnectRetryTimeMs: 5_000,
  maxQueryRetryTimeMs: 5_000,
  hooks,
};
new ServerlessClient({ leaseMode: 'optional', monitor: false });
// @ts-expect-error its members are options of their own
new ServerlessClient({ lease: { coordinationSecret: 'the new secret of 2026' } });
// @ts-expect-error there is no such option
new ServerlessClient({ leaseTtl: 5 });
// @ts-expect-error there is no such hook
new ServerlessClient({ hooks: { onConect() {} } });
// @ts-expect-error a connection string is an option
new ServerlessClient('postgres://db1/shop');

async function calls(client: ServerlessClient) {
  same<Equal<Awaited<ReturnType<typeof client.connect>>, void>>();
  const result = await client.query('SELECT 1 AS one', [], { readOnly: true, timeoutMs: 1_000 });
  same<Equal<typeof result, ServerlessResult<Record<string, unknown>>>>();
  const { rows, rowCount, command, fields } = await client.query<{ id: number }>(sql`SELECT ${1}::int AS id`);
  same<Equal<[typeof rowCount, typeof command, typeof fields], [number, string, ReadonlyArray<Field>]>>();
  same<Equal<typeof rows, Rows<{ id: number }>>>();
  const arrays = await client.query<[number]>('SELECT 1', null, { rowMode: 'array' });
  same<Equal<(typeof arrays)['rows'], Rows<[number]>>>();
  const marked = await client.query('SELECT 1', [], { token: true });
  same<Equal<(typeof marked)['rows'], TokenRows>>();
  // @ts-expect-error there is no such option
  await client.query('SELECT 1', [], { readonly: true });
  const seven = await client.transaction(
    async (tx) => {
      same<Equal<typeof tx, Transaction>>();
      return 7;
    },
    { isolation: 'serializable', retries: 5 },
  );
  same<Equal<typeof seven, number>>();
  same<Equal<Awaited<ReturnType<typeof client.reap>>, ReapResult>>();
  await client.clean();
  await client.end({ timeoutMs: 500 });
}

async function disposed() {
  await using client = new ServerlessClient(options);
  await calls(client);
}

const lease = createLease({ secret: 'the new secret of 2026', serviceName: 'orders', expiresAt: new Date() });
same<Equal<typeof lease, string>>();
const verified = verifyLease(lease, ['the new secret of 2026']);
same<Equal<typeof verified, Lease | null>>();

export { disposed };
