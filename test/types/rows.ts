// Type tests of rows: the type that each call makes of `rowMode` and of the row type that its caller names. Compiled, never run.

import {
  createPool,
  type Field,
  type Pool,
  type QueryOptions,
  type RowStream,
  type Rows,
  type Runner,
  type Transaction,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

interface Person {
  id: number;
  name: string | null;
}
type Pair = [id: number, name: string | null];
type Unknown = Record<string, unknown>;

/** A pool and a transaction have all of these methods. */
export async function both(pool: Pool, tx: Transaction): Promise<void> {
  for (const runner of [pool, tx] satisfies Runner[]) {
    const objects = await runner.query('select');
    same<Equal<typeof objects, Rows<Unknown>>>();
    const people = await runner.query<Person>('select', null, { rowMode: 'object' });
    same<Equal<typeof people, Rows<Person>>>();
    const arrays = await runner.query('select', [], { rowMode: 'array' });
    same<Equal<typeof arrays, Rows<unknown[]>>>();
    const pairs = await runner.query<Pair>('select', [], { rowMode: 'array', timeoutMs: 5 });
    same<Equal<(typeof pairs)[0], Pair>>();
    const fields: ReadonlyArray<Field> = pairs.fields;
    // @ts-expect-error rows of this kind are arrays
    await runner.query<Person>('select', [], { rowMode: 'array' });
    // @ts-expect-error there is no third kind
    await runner.query('select', [], { rowMode: 'tuple' });

    const one = await runner.one<Person>('select');
    same<Equal<typeof one, Person>>();
    const oneArray = await runner.one('select', [], { rowMode: 'array' });
    same<Equal<typeof oneArray, unknown[]>>();
    const maybe = await runner.maybeOne<Pair>('select', [], { rowMode: 'array' });
    same<Equal<typeof maybe, Pair | null>>();
    // @ts-expect-error there may be none
    void maybe.length;
    const many = await runner.many<Pair>('select', [], { rowMode: 'array' });
    same<Equal<typeof many, Rows<Pair>>>();
    const value = await runner.value<bigint>('select', [], { rowMode: 'array' });
    same<Equal<typeof value, bigint>>();
    const unknownValue = await runner.value('select');
    same<Equal<typeof unknownValue, unknown>>();

    const scripts = await runner.exec<Pair>('select; select', { rowMode: 'array' });
    same<Equal<typeof scripts, Rows<Pair>[]>>();
    const templates = await runner.sql<Person>`select ${1}`;
    same<Equal<typeof templates, Rows<Person>>>();
    void fields;
  }
}

/** Where rowMode is not known at compile time, the type of the rows is not known either. */
export async function whatever(runner: Runner, options: QueryOptions): Promise<void> {
  const rows = await runner.query('select', [], options);
  same<Equal<typeof rows, Rows<Unknown | unknown[]>>>();
  // @ts-expect-error it may be an array
  void rows[0].id;
}

/** Types against which a program of its own may be written. */
export async function rename(runner: Runner, id: number, name: string): Promise<void> {
  await runner.query('update people set name = $2 where id = $1', [id, name]);
}

export async function more(pool: Pool): Promise<void> {
  await rename(pool, 1, 'x');
  await pool.transaction((tx) => rename(tx, 1, 'x'));

  const stream = pool.stream('select', [], { rowMode: 'array', batchSize: 10 });
  same<Equal<typeof stream, RowStream<unknown[]>>>();
  for await (const pair of pool.stream<Pair>('select', [], { rowMode: 'array' })) same<Equal<typeof pair, Pair>>();
  for await (const person of pool.stream<Person>('select')) same<Equal<typeof person, Person>>();

  const settled = await pool.batch<Pair>(['select'], { rowMode: 'array', types: { int8: 'number' } });
  same<Equal<typeof settled, PromiseSettledResult<Rows<Pair>>[]>>();
  const all = await pool.batch<Pair>(['select'], { transaction: true, rowMode: 'array' });
  same<Equal<typeof all, Rows<Pair>[]>>();
  const objects = await pool.batch(['select']);
  same<Equal<typeof objects, PromiseSettledResult<Rows<Unknown>>[]>>();

  // @ts-expect-error the rows' own properties cannot be written
  objects[0].rowCount = 1;
  // @ts-expect-error a row is an object or an array
  await pool.query<number>('select 1');
  // @ts-expect-error transactions are begun by their pool
  new Transaction();
  // @ts-expect-error a stream has no rows of its own
  void stream.length;
  // @ts-expect-error a statement is text or what `sql` made
  await pool.query(['select 1']);
}

export class Shop extends (createPool().constructor as typeof Pool) {
  /** A pool may be extended. */
  override async notify(channel: string, payload = ''): Promise<void> {
    await super.notify(`shop_${channel}`, payload);
  }
}
