// Type tests: this file is compiled, never run. A line under @ts-expect-error must not compile.

import { Readable } from 'node:stream';
import {
  ConnectionLostError,
  createPool,
  DatabaseError,
  HyperionError,
  type NodeStatus,
  NoPrimaryError,
  NoRowsError,
  type Pool,
  type PoolOptions,
  type Rows,
  type Sql,
  sql,
  type SslOptions,
  TlsError,
  TooManyRowsError,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

const options: PoolOptions = {
  hosts: ['a', 'b:5433', { host: 'c' }],
  password: async () => 'secret',
  mode: 'prefer-standby',
  types: { int8: 'number' },
  logger: ({ sql, durationMs, node }) => console.log(sql, durationMs, node),
};
// @ts-expect-error unknown option
createPool({ host: 'a' });
// @ts-expect-error unknown mode
createPool({ mode: 'readwrite' });
// @ts-expect-error unknown choice
createPool({ types: { int8: 'float' } });

const ssl: SslOptions = {
  mode: 'verify-ca',
  ca: Buffer.from(''),
  cert: 'client.crt',
  key: new Uint8Array(),
  crl: 'root.crl',
  servername: 'db',
  negotiation: 'direct',
  sni: false,
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
};
createPool('postgres://u@h/d');
createPool({
  connectionString: 'host=h',
  service: 's',
  passfile: '/run/secrets/pgpass',
  hosts: { host: 'a', address: '10.0.0.1' },
  ssl,
  channelBinding: 'require',
  requireAuth: ['scram-sha-256', 'none'],
  loadBalanceHosts: 'random',
  keepAlive: { idleMs: 10_000, intervalMs: 5_000, count: 3 },
  tcpUserTimeoutMs: 0,
});
for (const encryption of [true, false, 'verify-full', { rejectUnauthorized: false }] as const) {
  createPool({ ssl: encryption, keepAlive: false, requireAuth: '!password,!md5' });
}
// @ts-expect-error unknown mode
createPool({ ssl: 'verify' });
// @ts-expect-error unknown property
createPool({ ssl: { passphrase: 'x' } });
// @ts-expect-error unknown method
createPool({ requireAuth: ['scram'] });
// @ts-expect-error there is nothing to switch on
createPool({ keepAlive: true });

export async function use(pool: Pool = createPool(options)) {
  const rows = await pool.query<{ id: number }>('select 1 as id', [1, null, 'x', 5n, new Date()], {
    timeoutMs: 100,
    signal: AbortSignal.timeout(1),
    readOnly: true,
  });
  same<Equal<typeof rows, Rows<{ id: number }>>>();
  same<Equal<(typeof rows)[number]['id'], number>>();
  same<Equal<typeof rows.rowCount, number>>();
  same<Equal<(typeof rows.fields)[number]['typeName'], string>>();
  // @ts-expect-error parameters are an array
  await pool.query('select $1', 1);
  // @ts-expect-error unknown call option
  await pool.query('select 1', [], { timeout: 1 });

  const untyped = await pool.query('select 1 as id');
  same<Equal<(typeof untyped)[number], Record<string, unknown>>>();

  const [values] = await pool.query('select 1', [], { rowMode: 'array' });
  same<Equal<typeof values, unknown[]>>();
  for await (const row of pool.stream<{ id: bigint }>('select 1 as id', [], { batchSize: 10, readOnly: true })) {
    same<Equal<typeof row, { id: bigint }>>();
  }

  const [settled] = await pool.batch<{ n: number }>([['select $1 as n', [1]], 'select 2 as n'], { timeoutMs: 10 });
  if (settled.status === 'fulfilled') same<Equal<typeof settled.value, Rows<{ n: number }>>>();
  const [done] = await pool.batch([['select 1']], { transaction: { isolation: 'serializable' } });
  same<Equal<typeof done, Rows<Record<string, unknown>>>>();
  // @ts-expect-error in a transaction readOnly is one of its options
  await pool.batch(['select 1'], { transaction: true, readOnly: true });

  const loaded = await pool.copyFrom('items (id, name)', [[1, 'x'] as const, { id: 2, name: null }], {
    onProgress: ({ rows, bytes }) => console.log(rows + bytes),
  });
  same<Equal<typeof loaded.rowCount, number>>();
  async function* made() {
    yield [1n, new Date()];
  }
  await pool.copyFrom('items', made(), { signal: AbortSignal.timeout(1) });
  await pool.copyFrom('COPY items FROM STDIN (FORMAT csv)', Readable.from(['1,2']), { timeoutMs: 5 });
  await pool.copyFrom('COPY items FROM STDIN', Buffer.from('1'));
  // @ts-expect-error a number is no row
  await pool.copyFrom('items', [1]);
  // @ts-expect-error unknown option
  await pool.copyFrom('items', [], { progress: () => {} });
  const out: Readable = pool.copyTo('items', { highWaterMark: 1024 });
  await pool.transaction(async (tx) => {
    await tx.copyFrom('items', made());
    tx.copyTo('COPY items TO STDOUT').pipe(process.stdout);
    out.destroy();
  });

  const answer = await pool.transaction(async (tx) => (await tx.query<{ n: bigint }>('select 1'))[0].n, { retries: 3 });
  same<Equal<typeof answer, bigint>>();
  // @ts-expect-error unknown isolation
  await pool.begin({ isolation: 'snapshot' });
  // @ts-expect-error begin() has no retries: it has nothing to run again
  await pool.begin({ retries: 1 });
  {
    await using tx = await pool.begin({ isolation: 'serializable', readOnly: true, deferrable: true });
    await tx.query('select 1');
  }

  pool.on('primary', ({ from, to, downMs }) => {
    same<Equal<typeof from, string | null>>();
    same<Equal<typeof to, string>>();
    same<Equal<typeof downMs, number>>();
  });
  // @ts-expect-error unknown event
  pool.on('promary', () => {});
  const states: NodeStatus['state'][] = pool.nodes().map((node) => node.state);
  const { waiting } = pool.status();
  same<Equal<typeof waiting, number>>();
  await pool.end({ timeoutMs: 1000 });
  return states;
}

export function tell(error: unknown) {
  if (error instanceof NoPrimaryError) return error.nodes.map((node) => node.reason).join();
  if (error instanceof ConnectionLostError) {
    same<Equal<typeof error.code, 'ERR_CONNECTION_LOST' | 'ERR_OUTCOME_UNKNOWN'>>();
    return error.code;
  }
  if (error instanceof TlsError) {
    same<Equal<typeof error.code, 'ERR_TLS'>>();
    return [error.host, error.port.toFixed(), error.subject ?? 'no certificate', error.reason].join();
  }
  if (error instanceof DatabaseError) return error.constraint ?? error.severity;
  if (error instanceof HyperionError) return error.outcome ?? error.code;
  return undefined;
}

export async function listens(pool: Pool): Promise<void> {
  const subscription = await pool.listen('jobs', (payload, { channel, processId, node }) => {
    const texts: string[] = [payload, channel, node];
    const id: number = processId;
    return [texts, id];
  });
  pool.on('gap', ({ since, until, channels }) => [since.getTime(), until.getTime(), channels.length]);
  await pool.notify(subscription.channel, 'x');
  await pool.unlisten('jobs');
  await subscription.unlisten();
  // @ts-expect-error a payload is text
  await pool.notify('jobs', { id: 1 });
  createPool({ monitor: { intervalMs: 500, nodeTimeoutMs: 2000 }, transactionRetries: 3 });
  createPool({ monitor: false });
  const lag: (number | null)[] = pool.nodes().map(({ lagMs }) => lagMs);
  const lsn: string | null = pool.nodes()[0].lsn;
  void [lag, lsn];
}

export async function templates(pool: Pool): Promise<void> {
  interface Person {
    id: number;
    name: string;
  }
  const fragment: Sql = sql`id = ${1} and ${sql.id('a')} in (${sql.join([1, 2])})`;
  const people: Rows<Person> = await pool.sql<Person>`select * from people where ${fragment}`;
  const one: Person = await pool.one<Person>(sql`select * from people where ${fragment}`);
  const maybe: Person | null = await pool.maybeOne<Person>('select * from people where id = $1', [1]);
  const many: Rows<Person> = await pool.many<Person>('select * from people');
  const count: number = await pool.value<number>('select 1');
  await pool.sql`insert into people ${pool.sql.values([{ id: 1 }])} on conflict do update set ${sql.set({ name: 'x' })}`;
  await pool.batch([fragment, ['select 1'], [fragment]]);
  const results: Rows[] = await pool.exec('select 1; select 2', { timeoutMs: 5, types: { int8: 'number' } });
  await pool.transaction(async (tx) => [await tx.sql`select 1`, await tx.exec('select 1'), await tx.one('select 1')]);
  pool.on('notice', ({ severity, code, line, node }) => [severity.length, code, line?.toFixed(), node]);
  await pool.query('select 1', [], {
    types: {
      json: 'string',
      parsers: { int8: Number, date: null },
      serializers: { point: ({ x, y }) => `(${x},${y})` },
    },
  });
  // @ts-expect-error a parser is a function
  createPool({ types: { parsers: { int8: 'number' } } });
  // @ts-expect-error a separator is a fragment
  sql.join([1], ', ');
  try {
    await pool.one('select');
  } catch (error) {
    if (error instanceof NoRowsError) same<Equal<typeof error.code, 'ERR_NO_ROWS'>>();
    if (error instanceof TooManyRowsError) same<Equal<typeof error.outcome, 'applied'>>();
  }
  void [people, one, maybe, many, count, results];
}

export async function scripts(pool: Pool): Promise<void> {
  const results = await pool.exec('select 1; select 2', { timeoutMs: 10, signal: AbortSignal.timeout(1) });
  same<Equal<typeof results, Rows<Record<string, unknown>>[]>>();
  const [[{ n }]] = await pool.transaction((tx) => tx.exec<{ n: number }>('select 1 as n', { rowMode: 'object' }));
  same<Equal<typeof n, number>>();
  const column: number | null = results[0].fields[0].columnNumber;
  // @ts-expect-error a script has no parameters
  await pool.exec('select $1', [1]);
  // @ts-expect-error a script is no declared read
  await pool.exec('select 1', { readOnly: true });
  pool.on('notice', ({ severity, code, message, line, node }) => {
    same<Equal<typeof line, number | undefined>>();
    return [severity, code, message, node, column];
  });
}
