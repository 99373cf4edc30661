// Type tests of hyperiondb-client/testing. Compiled, never run.

import type { Pool, Transaction } from '../../client.js';
import {
  startTestCluster,
  testPool,
  testTransaction,
  useTestTransaction,
  type TestCluster,
  type TestClusterOptions,
  type TestNode,
} from '../../exports/testing/index.js';
import { after, afterEach, beforeEach, test } from 'node:test';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

declare const pool: Pool;

// What the function returns, awaited, is returned.
const seven = testTransaction(pool, async (tx) => {
  same<Equal<typeof tx, Transaction>>();
  return 7;
});
same<Equal<typeof seven, Promise<number>>>();
testTransaction(pool, () => {});
// @ts-expect-error it needs a function
testTransaction(pool);

// The hooks of node:test, and those of jest, mocha and vitest as their types have them.
useTestTransaction(pool, { beforeEach, afterEach });
useTestTransaction(() => pool, { beforeEach, afterEach });
useTestTransaction(async () => pool, { beforeEach, afterEach });
declare const jest: (
  fn: (() => Promise<unknown>) | ((done: (error?: string) => void) => void),
  timeout?: number,
) => void;
declare const mocha: (fn: (this: object, done: (error?: unknown) => void) => void) => void;
declare const vitest: (fn: (context: object, suite: object) => unknown, timeout?: number) => void;
for (const hook of [jest, mocha, vitest]) useTestTransaction(pool, { beforeEach: hook, afterEach: hook });
// @ts-expect-error both hooks are needed
useTestTransaction(pool, { beforeEach });

// Without a test there is a pool; a test of node:test goes on without one; where skip() throws, there is one.
same<Equal<ReturnType<typeof testPool>, Promise<Pool | undefined>>>();
const alone: Promise<Pool> = testPool({ hosts: ['db1'] });
const named: Promise<Pool> = testPool('postgres://db1/shop');
test('types', async (t) => {
  const mine = await testPool({ hosts: ['db1'] }, t);
  same<Equal<typeof mine, Pool | undefined>>();
});
declare const context: { skip(note?: string): never; onTestFinished(fn: () => unknown): void };
const thrown = testPool({}, context);
same<Equal<typeof thrown, Promise<Pool>>>();
// @ts-expect-error options are checked
testPool({ poolSzie: 3 });

// Every option is named here, so that removing one, or changing its type, is noticed.
const options: Required<TestClusterOptions> = {
  nodes: 3,
  synchronous: true,
  settings: { work_mem: '7MB', jit: false, max_connections: 20 },
  pgBin: '/usr/lib/postgresql/17/bin',
};
const started = startTestCluster(options);
same<Equal<typeof started, Promise<TestCluster>>>();
startTestCluster();
// @ts-expect-error there is no such option
startTestCluster({ node: 3 });

async function faults(cluster: TestCluster) {
  after(() => cluster.stop());
  const node: TestNode = cluster.primary();
  same<Equal<typeof node.role, 'primary' | 'standby' | 'deposed'>>();
  for (const each of [...cluster.nodes, ...cluster.standbys()]) {
    await each.fence();
    await each.unfence();
    await each.stop();
    await each.start();
    await each.kill();
    await each.freeze();
    await each.thaw();
    await each.promote();
    await each.promote({ synchronous: false });
    await each.rejoin();
  }
  const { hosts, user, password, database } = cluster.options;
  const { createPool } = await import('../../client.js');
  return [createPool(cluster.options), hosts, user, password, database, node.host, node.port, node.address];
}

export { alone, faults, named };
