// biome-ignore-all lint/suspicious/noExplicitAny: types that are to be those of @types/pg

// Types of hyperiondb-client/pg: those of `pg` 8 as @types/pg has them, with what is different here. Times are milliseconds unless a
// name says otherwise.

import { EventEmitter } from 'node:events';
import { Duplex, Readable, ReadableOptions, Writable, WritableOptions } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import type {
  Host,
  KeepAliveOptions,
  Mode,
  Outcome,
  PoolOptions as CoreOptions,
  SlowEvent,
  SslOptions,
} from '../../client.js';

/** Values of a statement, in the order of `$1`, `$2`. */
export type QueryConfigValues<T> = T extends Array<infer _U> ? T : never;

/** Options of {@link CoreOptions} (createPool) that a client and a pool take under their names. What pg calls otherwise is not among them. */
export type OptionsOfCore = Pick<
  CoreOptions,
  | 'service'
  | 'passfile'
  | 'loadBalanceHosts'
  | 'channelBinding'
  | 'requireAuth'
  | 'tcpUserTimeoutMs'
  | 'connectTimeoutMs'
  | 'acquireTimeoutMs'
  | 'statementTimeoutMs'
  | 'statementCacheSize'
  | 'maxResultBytes'
  | 'prepare'
  | 'monitor'
  | 'name'
  | 'slowQueryMs'
  | 'logger'
  | 'logParameters'
>;

/**
 * Options of {@link Client} and {@link Pool}. What is missing is taken from PG* variables, then from {@link defaults}. Options that pg
 * does not know are ignored, as pg does.
 */
export interface ClientConfig extends OptionsOfCore {
  /** Default: PGUSER, the user of the operating system. */
  user?: string | undefined;
  /** Default: PGDATABASE, the user's name. */
  database?: string | undefined;
  /**
   * A function is called for each new connection. Default: PGPASSWORD, the password file (PGPASSFILE, ~/.pgpass).
   */
  password?:
    | string
    | ((parameters: ConnectionParameters) => string | undefined | Promise<string | undefined>)
    | undefined;
  /** Of several hosts one port for all, or a list: `'5432,5433'`. Default: PGPORT, 5432. */
  port?: number | string | undefined;
  /**
   * A name, an address or the folder of a socket; or several, separated by commas, which pg does not know: the primary among them is
   * found and followed. Default: PGHOST, `'localhost'`.
   */
  host?: string | undefined;
  /** The hosts, as createPool takes them; instead of `host`. */
  hosts?: string | Host | ReadonlyArray<string | Host> | undefined;
  /**
   * `'postgres://user:password@h1:5432,h2/database?ssl=true'`. What it says goes before the other options. Several hosts are
   * separated by commas.
   */
  connectionString?: string | undefined;
  /**
   * Which nodes are used. Default: PGTARGETSESSIONATTRS; `'read-write'` for several hosts; `'any'` for one, as in pg.
   */
  mode?: Mode | undefined;
  /** libpq's name of `mode`, which goes before it. */
  target_session_attrs?: Mode | undefined;
  /**
   * TLS: `true` verifies the certificate with the roots that Node trusts, and the name of the host; `'no-verify'` or `{ rejectUnauthorized:
   * false }` verifies nothing. Of the options of tls.connect(): ca, cert, key, passphrase, crl, servername, minVersion,
   * maxVersion; and `checkServerIdentity: () => undefined` (any name). Others that would protect a connection are refused. Default: PGSSLMODE,
   * `false`.
   */
  ssl?: boolean | string | ConnectionOptions | SslOptions | undefined;
  /** `'direct'`: TLS from the first byte (PostgreSQL 17+). Default: PGSSLNEGOTIATION, `'postgres'`. */
  sslnegotiation?: 'postgres' | 'direct' | undefined;
  /**
   * The longest wait for a client of the pool or for a connection. Default: 0. That is no limit for a client of the pool; a new
   * connection then has 5000, the time in which a new primary is waited for (`acquireTimeoutMs`), where pg waits without end.
   */
  connectionTimeoutMillis?: number | undefined;
  /** The server cancels a statement after this time. Default: `false`, none. */
  statement_timeout?: false | number | undefined;
  /** The server cancels a statement that waits so long for a lock. Default: `false`, none. */
  lock_timeout?: false | number | undefined;
  /** The server ends a session that does nothing in a transaction for so long. Default: `false`, never. */
  idle_in_transaction_session_timeout?: false | number | undefined;
  /** After this time a query rejects with 'Query read timeout'; on the server it may still run. Default: none. */
  query_timeout?: number | undefined;
  /** Default: PGAPPNAME, `fallback_application_name`, ''. */
  application_name?: string | undefined;
  /** Default: none. */
  fallback_application_name?: string | undefined;
  /** Options for the server's command line: `'-c work_mem=64MB'`; or settings: `{ work_mem: '64MB' }`. Default: PGOPTIONS. */
  options?: string | Readonly<Record<string, string | number | boolean>> | undefined;
  /**
   * TCP keepalives: `true` or what createPool takes. Default: on, with its times, so that a peer that is gone is noticed; pg has
   * them off.
   */
  keepAlive?: boolean | KeepAliveOptions | undefined;
  /** With `keepAlive: true`: the silence before the first probe, in whole seconds from 1000. Default: 0, createPool's (10000). */
  keepAliveInitialDelayMillis?: number | undefined;
  /** Parsers for all queries of the client. Default: {@link types}. */
  types?: CustomTypesConfig | undefined;
  /** Whether results come in the binary format. Default: `false`. */
  binary?: boolean | undefined;
  /** Whether queries are sent before the answers of those before have come. Default: `false`. */
  pipeline?: boolean | undefined;
  /** Default: the global one. */
  Promise?: PromiseConstructorLike | undefined;
  /** Of no effect, as in pg: texts are UTF-8. */
  client_encoding?: string | undefined;
  /** Of no effect: SCRAM is bound to TLS wherever the server can. */
  enableChannelBinding?: boolean | undefined;
}

export type ConnectionConfig = ClientConfig;

/** {@link defaults}: what is taken where neither options nor variables say anything. */
export interface Defaults extends Omit<ClientConfig, 'password' | 'query_timeout'> {
  password?: string | null | undefined;
  query_timeout?: false | number | undefined;
  poolSize?: number | undefined;
  poolIdleTimeout?: number | undefined;
  reapIntervalMillis?: number | undefined;
  /** How many rows of a portal are read at once; 0: all. */
  rows?: number | undefined;
  binary?: boolean | undefined;
  /** To be set: `true` makes int8 and int8[] numbers, which lose digits above 2^53; `false` makes them text again. */
  parseInt8?: boolean | undefined;
  /** Whether a Date is sent as UTC instead of local time with its offset. Default: `false`. */
  parseInputDatesAsUTC?: boolean | undefined;
}

/** Options of {@link Pool}: also those of each of its clients. */
export interface PoolConfig extends ClientConfig {
  /** The most clients. Default: 10. */
  max?: number | undefined;
  /** So many idle clients are kept for longer than `idleTimeoutMillis`. Default: 0. */
  min?: number | undefined;
  /** An idle client is ended after this time; 0: never. Default: 10000. */
  idleTimeoutMillis?: number | undefined | null;
  /** A client is ended after so many uses. Default: Infinity. */
  maxUses?: number | undefined;
  /** A client is ended at this age, in seconds; 0: never. Default: 0. */
  maxLifetimeSeconds?: number | undefined;
  /** Whether the process may end while clients are idle. Default: `false`. */
  allowExitOnIdle?: boolean | undefined;
  /** Is called with each new client before it is lent, and waited for; what it throws is the error of connect(). Default: none. */
  onConnect?: ((client: ClientBase) => unknown) | undefined;
  /** Is called with each new client; an error that it gives to `done` drops the client. Default: none. */
  verify?: ((client: PoolClient, done: (error?: Error) => void) => void) | undefined;
  log?: ((...messages: any[]) => void) | undefined;
  Promise?: PromiseConstructorLike | undefined;
  /** The class of clients. Default: {@link Client}. */
  Client?: (new (config?: any) => EventEmitter) | undefined;
}

/** A statement with its values. */
export interface QueryConfig<I = any[]> {
  /** A named statement is parsed once by each session. One name stands for one text. Default: none. */
  name?: string | undefined;
  text: string;
  /** Default: none; then the text may have several statements, and the answer is an array of results. */
  values?: QueryConfigValues<I>;
  /** Parsers for this query. Default: the client's. */
  types?: CustomTypesConfig | undefined;
  /** `'extended'`: the extended protocol without values, too. Default: none. */
  queryMode?: string | undefined;
  /** After this time the query rejects with 'Query read timeout'. Default: the client's. */
  query_timeout?: number | undefined;
}

/** Rows come as arrays. */
export interface QueryArrayConfig<I = any[]> extends QueryConfig<I> {
  rowMode: 'array';
}

/** Any object that has parsers: {@link types}, a {@link TypeOverrides}, or one of a program. */
export interface CustomTypesConfig {
  getTypeParser: GetTypeParser;
}

export type TypeFormat = 'text' | 'binary';
export type GetTypeParser = (oid: number, format?: TypeFormat) => any;

/** What a client runs: a {@link Query}, {@link Cursor}, {@link QueryStream}, COPY stream. */
export interface Submittable {
  submit: (connection: Connection) => void;
}

/** A column of a result. */
export interface FieldDef {
  name: string;
  /** The oid of the table that the column is of; 0: of none. */
  tableID: number;
  /** Its number in the table, from 1; 0: none. */
  columnID: number;
  /** The oid of the type. */
  dataTypeID: number;
  /** Bytes; negative: of variable length. */
  dataTypeSize: number;
  dataTypeModifier: number;
  format: string;
}

export interface QueryResultBase {
  /** The first word of the command tag: 'SELECT', 'INSERT', 'CREATE'. */
  command: string;
  /** How many rows were read or changed; null: the command does not count. */
  rowCount: number | null;
  /** Of INSERT: 0. */
  oid: number;
  fields: FieldDef[];
}

export interface QueryResultRow {
  [column: string]: any;
}

export interface QueryResult<R extends QueryResultRow = any> extends QueryResultBase {
  rows: R[];
}

export interface QueryArrayResult<R extends any[] = any[]> extends QueryResultBase {
  rows: R[];
}

/** A message of NOTIFY. */
export interface Notification {
  /** Of the server's process that has sent it. */
  processId: number;
  channel: string;
  payload?: string | undefined;
}

/** A message of the server: NOTICE, WARNING and others. */
export interface NoticeMessage {
  readonly length: number;
  readonly name: 'notice';
  message: string | undefined;
  severity: string | undefined;
  code: string | undefined;
  detail: string | undefined;
  hint: string | undefined;
  position: string | undefined;
  internalPosition: string | undefined;
  internalQuery: string | undefined;
  where: string | undefined;
  schema: string | undefined;
  table: string | undefined;
  column: string | undefined;
  dataType: string | undefined;
  constraint: string | undefined;
  file: string | undefined;
  line: string | undefined;
  routine: string | undefined;
}

export interface ResultBuilder<R extends QueryResultRow = any> extends QueryResult<R> {
  addRow(row: R): void;
}

export interface QueryParse {
  name: string;
  text: string;
  types: string[];
}

type ValueMapper = (param: any, index: number) => any;

export interface BindConfig {
  portal?: string | undefined;
  statement?: string | undefined;
  binary?: string | undefined;
  values?: Array<Buffer | null | undefined | string> | undefined;
  valueMapper?: ValueMapper | undefined;
}

export interface ExecuteConfig {
  portal?: string | undefined;
  rows?: string | undefined;
}

export interface MessageConfig {
  type: string;
  name?: string | undefined;
}

/** `"name"`, for SQL. */
export function escapeIdentifier(str: string): string;

/** `'text'`, for SQL; of what is no string, the empty literal. */
export function escapeLiteral(str: string): string;

/** Who connects where, from options, connection string, variables and {@link defaults}. */
export interface ConnectionParameters {
  user?: string | undefined;
  database?: string | undefined;
  /** Not enumerable. */
  password?: any;
  /** Of several hosts the first one's. */
  port: number;
  /** Several hosts are separated by commas. */
  host: string;
  /** All hosts. Not enumerable. */
  readonly hosts: ReadonlyArray<{ host: string; port: number; address?: string }>;
  ssl?: any;
  options?: any;
  application_name?: string | undefined;
  fallback_application_name?: string | undefined;
  statement_timeout?: false | number | undefined;
  lock_timeout?: false | number | undefined;
  idle_in_transaction_session_timeout?: false | number | undefined;
  query_timeout?: false | number | undefined;
  /** Seconds. */
  connect_timeout?: number | string | undefined;
  isDomainSocket: boolean;
  /** A connection string of libpq. */
  getLibpqConnectionString(callback: (error: Error | null, text: string | null) => unknown): unknown;
}

/** `client.connection`. It has no socket of its own; its methods are for classes such as those of pg-cursor and pg-copy-streams. */
export class Connection extends EventEmitter {
  readonly stream: Duplex;

  constructor(config?: ConnectionConfig);

  bind(config: BindConfig | null, more: boolean): void;
  execute(config: ExecuteConfig | null, more: boolean): void;
  parse(query: QueryParse, more: boolean): void;

  query(text: string): void;

  describe(msg: MessageConfig, more: boolean): void;
  close(msg: MessageConfig, more: boolean): void;

  flush(): void;
  sync(): void;
  end(): void;
}

/** The options of a {@link Pool}, with the defaults of those of pg-pool. `password` is not enumerable. */
export interface PoolOptions {
  max: number;
  min: number;
  maxUses: number;
  allowExitOnIdle: boolean;
  maxLifetimeSeconds: number;
  idleTimeoutMillis: number | null;
  [option: string]: any;
}

/** Clients that are lent, each with a session of its own. {@link https://node-postgres.com/apis/pool} */
export class Pool extends EventEmitter {
  constructor(config?: PoolConfig);

  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
  readonly expiredCount: number;

  readonly ending: boolean;
  readonly ended: boolean;

  options: PoolOptions;

  /** Lends a client until its `release()`. */
  connect(): Promise<PoolClient>;
  connect(
    callback: (err: Error | undefined, client: PoolClient | undefined, done: (release?: any) => void) => void,
  ): void;

  /** Resolves when all clients have come back and ended. */
  end(): Promise<void>;
  end(callback: () => void): void;

  /**
   * Runs a statement on a client of the pool. What was certainly not applied, because its node was lost or fenced before, runs again on
   * another session for as long as a connection is waited for; what may have been applied never does.
   */
  query<T extends Submittable>(queryStream: T): T;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryArrayResult<R>>;
  query<R extends QueryResultRow = any, I = any[]>(queryConfig: QueryConfig<I>): Promise<QueryResult<R>>;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryResult<R>>;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    callback: (err: Error, result: QueryArrayResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryText: string,
    values: QueryConfigValues<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;

  on(event: 'release' | 'error', listener: (err: Error, client: PoolClient) => void): this;
  on(event: 'connect' | 'acquire' | 'remove', listener: (client: PoolClient) => void): this;
  /** With the option `slowQueryMs`. */
  on(event: 'slow', listener: (event: SlowEvent) => void): this;
}

declare class ClientBase extends EventEmitter {
  constructor(config?: string | ClientConfig);

  connect(): Promise<void>;
  connect(callback: (err: Error) => void): void;

  query<T extends Submittable>(queryStream: T): T;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryArrayResult<R>>;
  query<R extends QueryResultRow = any, I = any>(queryConfig: QueryConfig<I>): Promise<QueryResult<R>>;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryResult<R>>;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    callback: (err: Error, result: QueryArrayResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryText: string,
    values: QueryConfigValues<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;

  /** @deprecated Declared as in @types/pg: neither pg 8 nor this client has it. Use {@link copyStreams}. */
  copyFrom(queryText: string): Writable;
  /** @deprecated Declared as in @types/pg: neither pg 8 nor this client has it. Use {@link copyStreams}. */
  copyTo(queryText: string): Readable;
  /** @deprecated Declared as in @types/pg: neither pg 8 nor this client has it. */
  pauseDrain(): void;
  /** @deprecated Declared as in @types/pg: neither pg 8 nor this client has it. */
  resumeDrain(): void;

  escapeIdentifier: typeof escapeIdentifier;
  escapeLiteral: typeof escapeLiteral;
  /** Sets a parser for this client alone. */
  setTypeParser: Types['setTypeParser'];
  getTypeParser: GetTypeParser;

  /** The server's process of the session; null before connect(). */
  readonly processID: number | null;
  /** Of the session after its last answer: idle, in a transaction, in one that has failed; null before connect(). */
  getTransactionStatus(): 'I' | 'T' | 'E' | null;
  /** Whether the connection keeps the process alive. */
  ref(): void;
  unref(): void;

  on(event: 'drain', listener: () => void): this;
  on(event: 'error', listener: (err: Error) => void): this;
  on(event: 'notice', listener: (notice: NoticeMessage) => void): this;
  on(event: 'notification', listener: (message: Notification) => void): this;
  on(event: 'end', listener: () => void): this;
  /** Of a client without a Pool, with the option `slowQueryMs`. */
  on(event: 'slow', listener: (event: SlowEvent) => void): this;
}

/** No value of this name exists at run time. */
export type { ClientBase };

/** One session, from connect() to end(). An 'error' event that nobody listens to does not end the process, as it does with pg. */
export class Client extends ClientBase {
  user?: string | undefined;
  database?: string | undefined;
  /** Of several hosts the first one's. */
  port: number;
  /** Several hosts are separated by commas. */
  host: string;
  password?: string | undefined;
  ssl: boolean;
  readonly connection: Connection;
  readonly connectionParameters: ConnectionParameters;

  constructor(config?: string | ClientConfig);

  end(): Promise<void>;
  end(callback: (err: Error) => void): void;
}

/** A client that the pool has lent. */
export interface PoolClient extends ClientBase {
  /** Gives the client back; with an error or `true` its session is ended. */
  release(err?: Error | boolean): void;
}

/** A call of query() as an object with events. */
export class Query<R extends QueryResultRow = any, I extends any[] = any> extends EventEmitter implements Submittable {
  constructor(queryTextOrConfig?: string | QueryConfig<I>, values?: QueryConfigValues<I>);
  submit: (connection: Connection) => void;
  on(event: 'row', listener: (row: R, result?: ResultBuilder<R>) => void): this;
  on(event: 'error', listener: (err: Error) => void): this;
  on(event: 'end', listener: (result: ResultBuilder<R>) => void): this;
}

export interface CursorConfig {
  rowMode?: 'array' | undefined;
  types?: CustomTypesConfig | undefined;
  Promise?: PromiseConstructorLike | undefined;
}

/** The rows of a statement in parts: `Cursor` of pg-cursor. */
export class Cursor<Row = any> extends EventEmitter implements Submittable {
  constructor(text: string, values?: any[] | null, config?: CursorConfig);
  readonly state: 'initialized' | 'idle' | 'busy' | 'done' | 'error';
  /** The next rows, at most so many; none: there are no more. */
  read(maxRows: number): Promise<Row[]>;
  read(maxRows: number, callback: (err: Error | undefined, rows: Row[], result: QueryResult<any>) => void): void;
  /** The client is free for other queries then. */
  close(): Promise<void>;
  close(callback: (err?: Error) => void): void;
  submit: (connection: Connection) => void;
  on(event: 'row', listener: (row: Row, result: ResultBuilder<any>) => void): this;
  on(event: 'error', listener: (err: Error) => void): this;
  on(event: 'end', listener: (result: QueryResult<any>) => void): this;
}

export interface QueryStreamConfig extends CursorConfig {
  /** How many rows are read at once. Default: `highWaterMark`. */
  batchSize?: number | undefined;
  /** Default: 100. */
  highWaterMark?: number | undefined;
}

/** The rows of a statement as a Readable of objects: `QueryStream` of pg-query-stream. */
export class QueryStream extends Readable implements Submittable {
  constructor(text: string, values?: any[] | null, config?: QueryStreamConfig);
  cursor: any;
  submit(connection: Connection): void;
}

/** A stream of COPY, for `client.query()`. `rowCount` is there at its end. */
export interface CopyFromStream extends Writable, Submittable {
  text: string;
  rowCount: number;
}
export interface CopyToStream extends Readable, Submittable {
  text: string;
  rowCount: number;
}

/** As pg-copy-streams. `both()` is not here. */
export const copyStreams: {
  /** Of `COPY ... FROM STDIN`. */
  from(text: string, options?: WritableOptions): CopyFromStream;
  /** Of `COPY ... TO STDOUT`. */
  to(text: string, options?: ReadableOptions): CopyToStream;
};

/** The oids of the server's base types. */
export interface TypesBuiltins {
  readonly BOOL: 16;
  readonly BYTEA: 17;
  readonly CHAR: 18;
  readonly INT8: 20;
  readonly INT2: 21;
  readonly INT4: 23;
  readonly REGPROC: 24;
  readonly TEXT: 25;
  readonly OID: 26;
  readonly TID: 27;
  readonly XID: 28;
  readonly CID: 29;
  readonly JSON: 114;
  readonly XML: 142;
  readonly PG_NODE_TREE: 194;
  readonly SMGR: 210;
  readonly PATH: 602;
  readonly POLYGON: 604;
  readonly CIDR: 650;
  readonly FLOAT4: 700;
  readonly FLOAT8: 701;
  readonly ABSTIME: 702;
  readonly RELTIME: 703;
  readonly TINTERVAL: 704;
  readonly CIRCLE: 718;
  readonly MACADDR8: 774;
  readonly MONEY: 790;
  readonly MACADDR: 829;
  readonly INET: 869;
  readonly ACLITEM: 1033;
  readonly BPCHAR: 1042;
  readonly VARCHAR: 1043;
  readonly DATE: 1082;
  readonly TIME: 1083;
  readonly TIMESTAMP: 1114;
  readonly TIMESTAMPTZ: 1184;
  readonly INTERVAL: 1186;
  readonly TIMETZ: 1266;
  readonly BIT: 1560;
  readonly VARBIT: 1562;
  readonly NUMERIC: 1700;
  readonly REFCURSOR: 1790;
  readonly REGPROCEDURE: 2202;
  readonly REGOPER: 2203;
  readonly REGOPERATOR: 2204;
  readonly REGCLASS: 2205;
  readonly REGTYPE: 2206;
  readonly UUID: 2950;
  readonly TXID_SNAPSHOT: 2970;
  readonly PG_LSN: 3220;
  readonly PG_NDISTINCT: 3361;
  readonly PG_DEPENDENCIES: 3402;
  readonly TSVECTOR: 3614;
  readonly TSQUERY: 3615;
  readonly GTSVECTOR: 3642;
  readonly REGCONFIG: 3734;
  readonly REGDICTIONARY: 3769;
  readonly JSONB: 3802;
  readonly REGNAMESPACE: 4089;
  readonly REGROLE: 4096;
}

/** Parsers by the oid of a type. A type without one is text: int8, numeric, uuid, time and others. */
export interface Types {
  readonly builtins: TypesBuiltins;
  /** The parser of a type for a format; without a format for text. */
  getTypeParser: GetTypeParser;
  /** Sets a parser, which gets the server's text (a Buffer for 'binary'). */
  setTypeParser(oid: number, parseFn: (value: any) => any): void;
  setTypeParser(oid: number, format: TypeFormat, parseFn: (value: any) => any): void;
  readonly arrayParser: {
    /** `parse()` makes an array of the text of one; each element that is not null goes through `transform`. */
    create(source: string, transform?: (entry: string) => any): { parse(): any[] };
  };
}

/** The parsers of the process: those of pg-types. */
export const types: Types;

/** Parsers that go before those of another object, by default {@link types}. */
export class TypeOverrides implements CustomTypesConfig {
  constructor(types?: CustomTypesConfig);
  getTypeParser: GetTypeParser;
  setTypeParser(oid: number, parseFn: (value: any) => any): void;
  setTypeParser(oid: number, format: TypeFormat, parseFn: (value: any) => any): void;
}

export const defaults: Defaults;

/** null, as in pg where pg-native is not installed. */
export const native: null;

/** The server reported an error: `code` is the SQLSTATE. All fields are text. */
export class DatabaseError extends Error {
  constructor(message: string, length: number, name: string);
  /** Of the message of the protocol, in bytes. */
  readonly length: number;
  readonly name: 'error';
  severity: string | undefined;
  code: string | undefined;
  detail: string | undefined;
  hint: string | undefined;
  /** Character of the statement, from 1. */
  position: string | undefined;
  internalPosition: string | undefined;
  internalQuery: string | undefined;
  where: string | undefined;
  schema: string | undefined;
  table: string | undefined;
  column: string | undefined;
  dataType: string | undefined;
  constraint: string | undefined;
  file: string | undefined;
  line: string | undefined;
  routine: string | undefined;
  /** Whether the statement has changed something. Not enumerable; not of pg. */
  readonly outcome?: Outcome;
  /** Whether the same work may run again without being applied twice, and may succeed then. Not enumerable; not of pg. */
  readonly retryable?: boolean;
}

/** The answer to one statement. */
export class Result<R extends QueryResultRow = any> implements QueryResult<R> {
  command: string;
  rowCount: number | null;
  oid: number;
  fields: FieldDef[];
  rows: R[];

  constructor(rowMode?: string, t?: CustomTypesConfig);
}

export const utils: {
  /** A parameter as the server gets it: text, or the bytes of a Buffer. */
  prepareValue(value: unknown): any;
  normalizeQueryConfig(config: any, values?: any, callback?: any): any;
  escapeIdentifier: typeof escapeIdentifier;
  escapeLiteral: typeof escapeLiteral;
};
