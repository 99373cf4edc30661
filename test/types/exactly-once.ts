// The types of exactly-once transactions and of durability; nothing runs.

import { createPool, type ErrorCode, type ExactlyOnceOptions, type TransactionOptions } from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

export async function use() {
  const pool = createPool({ exactlyOnceTable: 'app.outcome', exactlyOnceKeepMs: 60_000 });
  const found = await pool.transaction(async () => 1, { exactlyOnce: true });
  same<Equal<typeof found, number>>();
  const keyed = await pool.transaction(async () => 1, { exactlyOnce: { key: 'order-42' }, retries: 3 });
  // Another call may have committed the key.
  same<Equal<typeof keyed, number | undefined>>();
  const remembered = await pool.transaction((tx) => tx.value<string>('select 1'), {
    exactlyOnce: { key: 'order-42', remember: true },
    durability: 'remote_apply',
  });
  same<Equal<typeof remembered, string | undefined>>();
  await pool.begin({ durability: 'off' });
  await pool.batch(['select 1'], { transaction: { durability: 'local' } });

  // @ts-expect-error a key is missing
  await pool.transaction(async () => 1, { exactlyOnce: { remember: true } });
  // @ts-expect-error begin() cannot run its caller again
  await pool.begin({ exactlyOnce: true });
  // @ts-expect-error there is no such level
  await pool.transaction(async () => 1, { durability: 'sometimes' });
}

same<Equal<ExactlyOnceOptions, { key: string; remember?: boolean }>>();
same<Equal<TransactionOptions['exactlyOnce'], boolean | ExactlyOnceOptions | undefined>>();
same<Equal<Extract<ErrorCode, 'ERR_EXACTLY_ONCE_TABLE'>, 'ERR_EXACTLY_ONCE_TABLE'>>();
