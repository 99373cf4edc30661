// Type tests of openDatabase. Compiled, never run.

import {
  type Database,
  type DatabaseOptions,
  type DatabaseParameter,
  type DatabaseStatement,
  type DatabaseTransactionOptions,
  openDatabase,
  type Pool,
  type RunResult,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

interface Person {
  id: number;
  name: string;
}

// Every option is named here, so that removing one, or changing its type, is noticed.
const options: Required<DatabaseOptions> = { driver: 'node:sqlite', readOnly: true, busyTimeoutMs: 5 };
const ofTransactions: Required<DatabaseTransactionOptions> = { nested: 'savepoint' };

declare const pool: Pool;

export async function use(): Promise<void> {
  const db: Database = await openDatabase('sqlite::memory:', options);
  await openDatabase(pool);
  await openDatabase({ hosts: 'db1', poolSize: 3 });
  // @ts-expect-error: no target
  await openDatabase();
  // @ts-expect-error: no such option
  await openDatabase('sqlite:a.db', { readonly: true });
  // @ts-expect-error: no such driver
  await openDatabase('sqlite:a.db', { driver: 'sqlite3' });

  same<Equal<typeof db.engine, 'postgres' | 'sqlite'>>();
  // @ts-expect-error: it is read only
  db.engine = 'sqlite';

  const statement: DatabaseStatement<Person> = db.prepare<Person>('SELECT * FROM people WHERE id = ?');
  const person = await statement.get(1);
  same<Equal<typeof person, Person | undefined>>();
  const people = await statement.all(1n, 'a', null, true, new Date(), Buffer.alloc(1), { a: 1 }, [1]);
  same<Equal<typeof people, Person[]>>();
  const result = await statement.run();
  same<Equal<typeof result, RunResult>>();
  same<Equal<typeof result.changes, number>>();
  same<Equal<typeof result.lastInsertRowid, null>>();
  // @ts-expect-error: undefined is refused
  await statement.get(undefined);
  const parameter: DatabaseParameter = null;
  await statement.get(parameter);
  const unknown = await db.prepare('SELECT 1').get();
  same<Equal<typeof unknown, Record<string, unknown> | undefined>>();

  const value = await db.tx(async (inner) => {
    same<Equal<typeof inner, Database>>();
    return 5;
  }, ofTransactions);
  same<Equal<typeof value, number>>();
  const plain = await db.tx(() => 'x');
  same<Equal<typeof plain, string>>();
  // @ts-expect-error: no such way
  await db.tx(() => 1, { nested: 'error' });

  const nothing = await db.exec('SELECT 1');
  same<Equal<typeof nothing, void>>();
  await using closed = await openDatabase('postgres://db1/shop');
  await closed.close();
}
