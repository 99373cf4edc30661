// Type tests of reads: pool.read and its methods, tokens, sessions, what is told of nodes. Compiled, never run.

import type {
  NodeStatus,
  Pool,
  QueryOptions,
  Read,
  ReadOptions,
  ReadStreamOptions,
  Rows,
  RowStream,
  Runner,
  TokenRows,
  Transaction,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

interface Person {
  id: number;
  name: string | null;
}
type Pair = [id: number, name: string | null];
type Unknown = Record<string, unknown>;

// Every option is named here, so that removing one, or changing its type, is noticed.
const options: Required<Omit<ReadOptions, 'rowMode'>> = {
  maxLagMs: 0,
  maxLagBytes: 0,
  after: '6f3a-1-3000148',
  waitMs: 0,
  hedgeMs: 1,
  fallback: 'none',
  timeoutMs: 1,
  signal: AbortSignal.timeout(1),
  types: { int8: 'number' },
};
const { hedgeMs, ...others } = options;
const ofStreams: Required<Omit<ReadStreamOptions, 'rowMode'>> = { ...others, batchSize: hedgeMs };

export async function reads(pool: Pool, read: Read, unknown: ReadOptions): Promise<void> {
  same<Equal<Pool['read'], Read>>();
  const objects = await pool.read('select');
  same<Equal<typeof objects, Rows<Unknown>>>();
  const people = await pool.read<Person>('select', null, options);
  same<Equal<typeof people, Rows<Person>>>();
  const arrays = await read('select', [], { rowMode: 'array' });
  same<Equal<typeof arrays, Rows<unknown[]>>>();
  const pairs = await read<Pair>('select', [], { ...options, rowMode: 'array' });
  same<Equal<(typeof pairs)[0], Pair>>();
  const any = await read('select', [], unknown);
  same<Equal<typeof any, Rows<Unknown | unknown[]>>>();
  same<Equal<typeof objects.node, string | null>>();

  const one = await read.one<Person>('select', [1]);
  same<Equal<typeof one, Person>>();
  const maybe = await read.maybeOne<Pair>('select', [], { rowMode: 'array' });
  same<Equal<typeof maybe, Pair | null>>();
  const many = await read.many<Person>('select', [], { after: objects.node ?? '' });
  same<Equal<typeof many, Rows<Person>>>();
  const value = await read.value<bigint>('select', [], { waitMs: 1 });
  same<Equal<typeof value, bigint>>();
  const template = await read.sql<Person>`select ${read.sql.id('a')}, ${1}`;
  same<Equal<typeof template, Rows<Person>>>();
  for await (const person of read.stream<Person>('select', [], ofStreams)) same<Equal<typeof person, Person>>();
  const stream = read.stream('select', [], { rowMode: 'array', batchSize: 10 });
  same<Equal<typeof stream, RowStream<unknown[]>>>();

  // @ts-expect-error a stream is not sent to two nodes
  read.stream('select', [], { hedgeMs: 5 });
  // @ts-expect-error a read is one by its method
  await read('select', [], { readOnly: true });
  // @ts-expect-error it is a token that it reads after
  await read('select', [], { after: { token: '' } });
  // @ts-expect-error to the primary or nowhere
  await read('select', [], { fallback: 'standby' });
  // @ts-expect-error a read brings no token
  await read('select', [], { token: true });
  // @ts-expect-error a read is no place for writes
  await read.exec('select');
  // @ts-expect-error a read cannot be replaced
  pool.read = read;
}

export async function tokens(pool: Pool, tx: Transaction): Promise<void> {
  const asked: string = await pool.token();
  const rows = await pool.query<Person>('insert', [], { token: true, timeoutMs: 5 });
  same<Equal<typeof rows, TokenRows<Person>>>();
  same<Equal<typeof rows.token, string>>();
  same<Equal<(typeof rows)[0], Person>>();
  const pairs = await pool.many<Pair>('insert', [], { token: true, rowMode: 'array' });
  same<Equal<typeof pairs, TokenRows<Pair>>>();
  await pool.read('select', [], { after: rows.token || asked });

  const without = await pool.query<Person>('insert');
  // @ts-expect-error nobody has asked for it
  void without.token;
  // @ts-expect-error a row has no token
  await pool.one('insert', [], { token: true });
  // @ts-expect-error neither has a value
  await pool.value('insert', [], { token: true });
  // @ts-expect-error nor a stream
  pool.stream('insert', [], { token: true });
  // @ts-expect-error the position of a transaction is known only after COMMIT
  await tx.token();
  // @ts-expect-error what is told cannot be changed
  rows.token = '';
  // @ts-expect-error what is told cannot be changed
  rows.node = null;
}

export async function sessions(pool: Pool): Promise<void> {
  const later = await pool.session(async () => {
    await pool.query('insert');
    return pool.read.one<Person>('select');
  });
  same<Equal<typeof later, Person>>();
  const now = await pool.session(() => 5);
  same<Equal<typeof now, number>>();
  // @ts-expect-error it needs a function
  await pool.session(5);
}

/** A pool and a transaction still have the same methods for statements. */
export async function either(runner: Pool | Transaction, options: QueryOptions): Promise<Runner> {
  const rows = await runner.query('select', [], options);
  same<Equal<typeof rows.node, string | null>>();
  return runner;
}

export function nodes(pool: Pool): string[] {
  const [{ weight, inFlight, fit, reason }]: NodeStatus[] = pool.nodes();
  same<Equal<typeof weight, number>>();
  same<Equal<typeof inFlight, number>>();
  same<Equal<typeof fit, boolean>>();
  same<Equal<typeof reason, string | null>>();
  return [reason ?? 'fit'];
}
