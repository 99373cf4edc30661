// Type tests of hyperiondb-client/pg. Compiled, never run.

import type * as Stock from 'pg';
import type * as pg from '../../exports/pg/index.js';
import {
  Client,
  Cursor,
  DatabaseError,
  Pool,
  Query,
  QueryStream,
  TypeOverrides,
  copyStreams,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  types,
  type ClientConfig,
  type PoolClient,
  type PoolConfig,
  type QueryArrayResult,
  type QueryResult,
} from '../../exports/pg/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

// Libraries that are typed against `pg` take ours.
const pool: Stock.Pool = new Pool();
const client: Stock.Client = new Client();
const base = (given: pg.ClientBase): Stock.ClientBase => given;
const lend = (lent: PoolClient): Stock.PoolClient => lent;
const result = (given: QueryResult<{ a: number }>): Stock.QueryResult<{ a: number }> => given;
const arrays = (given: QueryArrayResult<[number]>): Stock.QueryArrayResult<[number]> => given;
const failure = (given: DatabaseError): Stock.DatabaseError => given;
const parsers: Stock.CustomTypesConfig = new TypeOverrides(types);
const query: Stock.Query = new Query('SELECT 1');

// Options that were written for `pg` are ours.
const options = (given: Stock.PoolConfig): PoolConfig => given;
const config = (given: Stock.ClientConfig): ClientConfig => given;
const text = (given: Stock.QueryConfig): pg.QueryConfig => given;
const shaped = (given: Stock.QueryResult<{ a: number }>): QueryResult<{ a: number }> => given;
const described = (given: Stock.FieldDef): pg.FieldDef => given;

// Every name that `pg` has is here. `Events` is a type of @types/pg alone; ClientBase is no value in pg either, and a type here.
type Missing = Exclude<keyof typeof Stock, keyof typeof pg | 'ClientBase' | 'Events'>;
same<Equal<Missing, never>>();

const all: Required<PoolConfig> = {
  user: 'u',
  database: 'd',
  password: async ({ host, hosts }) => `${host}${hosts.length}`,
  port: '5432,5433',
  host: 'a,b',
  hosts: ['a', { host: 'b', port: 1 }],
  connectionString: 'postgres://a,b/d',
  mode: 'read-write',
  target_session_attrs: 'primary',
  ssl: { rejectUnauthorized: false, ca: ['pem'] },
  sslnegotiation: 'direct',
  connectionTimeoutMillis: 1,
  statement_timeout: 1,
  lock_timeout: false,
  idle_in_transaction_session_timeout: 1,
  query_timeout: 1,
  application_name: 'a',
  fallback_application_name: 'f',
  options: { work_mem: '1MB' },
  keepAlive: { idleMs: 1_000 },
  keepAliveInitialDelayMillis: 1,
  types: { getTypeParser: (oid, format) => types.getTypeParser(oid, format) },
  binary: true,
  pipeline: false,
  Promise,
  client_encoding: 'utf8',
  enableChannelBinding: true,
  max: 1,
  min: 0,
  idleTimeoutMillis: null,
  maxUses: 1,
  maxLifetimeSeconds: 1,
  allowExitOnIdle: true,
  onConnect: (lent) => lent.query('SELECT 1'),
  verify: (lent, done) => lent.query('SELECT 1', (error) => done(error)),
  log: () => {},
  Client,
  service: 's',
  passfile: '/f',
  loadBalanceHosts: 'random',
  channelBinding: 'require',
  requireAuth: 'scram-sha-256',
  tcpUserTimeoutMs: 1,
  connectTimeoutMs: 1,
  acquireTimeoutMs: 1,
  statementTimeoutMs: 1,
  statementCacheSize: 1,
  maxResultBytes: 1,
  prepare: false,
  monitor: false,
  name: 'orders',
  slowQueryMs: 1,
  logger: console,
  logParameters: true,
};

async function calls(ours: Pool) {
  const { rows, rowCount } = await ours.query<{ a: number }>('SELECT 1 AS a', [1]);
  same<Equal<typeof rows, { a: number }[]>>();
  same<Equal<typeof rowCount, number | null>>();
  const inArrays = await ours.query<[number]>({ text: 'SELECT 1', rowMode: 'array' });
  same<Equal<typeof inArrays.rows, [number][]>>();
  ours.query('SELECT 1', (error, { rows: [row] }) => console.log(error.message, row));
  const lent = await ours.connect();
  same<Equal<ReturnType<typeof lent.getTransactionStatus>, 'I' | 'T' | 'E' | null>>();
  lent.on('notification', ({ channel, payload }) => console.log(channel, payload));
  lent.on('notice', ({ severity }) => severity?.length);
  const cursor = lent.query(new Cursor<{ a: number }>('SELECT 1', [], { rowMode: 'array' }));
  const part = await cursor.read(5);
  same<Equal<typeof part, { a: number }[]>>();
  await cursor.close();
  for await (const row of lent.query(new QueryStream('SELECT 1', [], { batchSize: 5 }))) console.log(row);
  lent.query(copyStreams.from('COPY t FROM STDIN')).end('1\n');
  lent.query(copyStreams.to('COPY t TO STDOUT')).on('end', function (this: { rowCount: number }) {
    console.log(this.rowCount);
  });
  lent.release(true);
  // @ts-expect-error a client of a Client is not lent
  new Client().release();
  // @ts-expect-error a text is needed
  await ours.query({});
}

function errors(error: unknown) {
  if (!(error instanceof DatabaseError)) return;
  same<Equal<typeof error.code, string | undefined>>();
  same<Equal<typeof error.outcome, pg.DatabaseError['outcome']>>();
}

defaults.parseInt8 = true;
types.setTypeParser(types.builtins.INT8, BigInt);
types.setTypeParser(20, 'text', Number);
const elements: unknown[] = types.arrayParser.create('{1}', Number).parse();
same<Equal<typeof pg.native, null>>();
const literal: string = escapeIdentifier('a') + escapeLiteral('b');

export {
  all,
  arrays,
  calls,
  client,
  config,
  described,
  elements,
  errors,
  failure,
  lend,
  base,
  literal,
  options,
  parsers,
  pool,
  query,
  result,
  shaped,
  text,
};
