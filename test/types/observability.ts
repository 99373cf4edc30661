// Type tests of what watches a pool: loggers, slow statements, messages of the diagnostics channels. Compiled, never run.

import { subscribe, tracingChannel } from 'node:diagnostics_channel';
import pino from 'pino';
import winston from 'winston';
import {
  createPool,
  type FailoverMessage,
  type Pool,
  type QueryMessage,
  type TransactionMessage,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

// The loggers as their packages declare them; bunyan declares nothing.
createPool({ logger: pino() });
createPool({ logger: pino().child({ service: 'orders' }) });
createPool({ logger: winston.createLogger() });
createPool({ logger: winston });
createPool({ logger: console });
createPool({ logger: ({ sql, rowCount, error }) => void [sql.length, rowCount?.toFixed(), error] });
// @ts-expect-error a level is missing
createPool({ logger: { info() {}, warn() {}, error() {} } });
// @ts-expect-error no logger
createPool({ logger: 'console' });

export function watch(pool: Pool) {
  pool.on('slow', ({ sql, operation, durationMs, waitMs, node, rowCount, parameters, error, ...rest }) => {
    same<Equal<[typeof sql, typeof durationMs, typeof waitMs], [string, number, number]>>();
    same<Equal<typeof operation, 'query' | 'read' | 'stream' | 'batch' | 'exec' | 'copyFrom' | 'copyTo'>>();
    same<Equal<[typeof node, typeof rowCount], [string | undefined, number | undefined]>>();
    same<Equal<[typeof parameters, typeof error], [readonly unknown[] | undefined, unknown]>>();
    same<Equal<keyof typeof rest, never>>();
  });
  tracingChannel<unknown, QueryMessage>('hyperiondb:query').subscribe({
    start: (message) => {
      const traced = message as QueryMessage;
      traced.text = `${traced.sql} -- traced`;
      // @ts-expect-error it is told, not asked
      traced.rowCount = 5;
      same<Equal<typeof traced.transaction, TransactionMessage | undefined>>();
      same<Equal<typeof traced.pool, Pool>>();
    },
    end() {},
    asyncStart() {},
    asyncEnd() {},
    error() {},
  });
  subscribe('hyperiondb:failover', (message) => {
    const { pool: told, from, to } = message as FailoverMessage;
    return [told.status(), from, to];
  });
}

export function outcomeOf({ outcome, attempts, isolation }: TransactionMessage) {
  same<Equal<typeof outcome, 'committed' | 'rolled back' | 'prepared' | 'unknown' | undefined>>();
  return [outcome, attempts, isolation];
}
