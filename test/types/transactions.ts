// Type tests of transactions: savepoints, nested and ambient ones. Compiled, never run.

import type {
  CommitOptions,
  JoinedBatchOptions,
  Pool,
  Rows,
  RowStream,
  Runner,
  SavepointOptions,
  Transaction,
  TransactionOptions,
} from '../../client.js';
import { createPool } from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

// Every option is named here, so that removing one, or changing its type, is noticed.
const ofSavepoints: Required<SavepointOptions> = { timeoutMs: 1, signal: AbortSignal.timeout(1) };
const ofBatches: Required<Omit<JoinedBatchOptions, 'rowMode'>> = { ...ofSavepoints, types: { int8: 'number' } };
const nested: Required<Pick<TransactionOptions, 'nested'>> = { nested: 'savepoint' };

export async function savepoints(tx: Transaction): Promise<void> {
  const value = await tx.transaction(async (part) => {
    same<Equal<typeof part, Transaction>>();
    await part.transaction(() => 1);
    return (await part.query<{ n: number }>('select 1 as n'))[0].n;
  }, ofSavepoints);
  same<Equal<typeof value, number>>();
  // @ts-expect-error it belongs to the transaction as a whole
  await tx.transaction(() => 1, { isolation: 'serializable' });
  // @ts-expect-error it belongs to the transaction as a whole
  await tx.transaction(() => 1, { retries: 1 });
}

export async function results(tx: Transaction): Promise<void> {
  const rows = await tx.batch<{ n: number }>(['select 1 as n', ['select $1::int', [1]]], ofBatches);
  same<Equal<typeof rows, Rows<{ n: number }>[]>>();
  const arrays = await tx.batch<[number]>(['select 1'], { rowMode: 'array' });
  same<Equal<typeof arrays, Rows<[number]>[]>>();
  // @ts-expect-error the batch is a part of the transaction
  await tx.batch(['select 1'], { transaction: true });
  const stream = tx.stream<{ n: number }>('select 1 as n', [], { batchSize: 10 });
  same<Equal<typeof stream, RowStream<{ n: number }>>>();
}

export async function ambient(pool: Pool): Promise<void> {
  createPool({ ambient: true });
  createPool({ ambient: 'strict' });
  // @ts-expect-error true, false or 'strict'
  createPool({ ambient: 'loose' });
  const value = await pool.transaction(() => 'x', nested);
  same<Equal<typeof value, string>>();
  // @ts-expect-error 'join', 'savepoint' or 'error'
  await pool.transaction(() => 1, { nested: 'other' });
  const now = pool.outside(() => 1);
  same<Equal<typeof now, number>>();
  const later = pool.outside(async () => 1);
  same<Equal<typeof later, Promise<number>>>();
  const joins: boolean = pool.inTransaction;
  // @ts-expect-error it is only read
  pool.inTransaction = joins;
  const runner: Runner = await pool.begin();
  await runner.query('select 1');
}

const last: Required<CommitOptions> = { commit: true };

export async function commits(tx: Transaction, pool: Pool): Promise<void> {
  const rows = await tx.query<{ n: number }>('select 1 as n', [], last);
  same<Equal<typeof rows, Rows<{ n: number }>>>();
  const arrays = await tx.query<[number]>('select 1', undefined, { commit: true, rowMode: 'array', timeoutMs: 1 });
  same<Equal<typeof arrays, Rows<[number]>>>();
  // As without it.
  const plain = await tx.query<{ n: number }>('select 1 as n');
  same<Equal<typeof plain, Rows<{ n: number }>>>();
  // @ts-expect-error a boolean
  await tx.query('select 1', [], { commit: 1 });
  // @ts-expect-error a statement of the pool commits by itself
  await pool.query('select 1', [], { commit: true });
  // @ts-expect-error its rows are looked at when COMMIT is done
  await tx.one('select 1', [], { commit: true });
  // @ts-expect-error only query() has it
  tx.stream('select 1', [], { commit: true });
}
