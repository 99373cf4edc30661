'use strict';

// `npm run options`: writes the options in client.d.ts, docs/configuration.md and the types of exports/ from their rows. So a new
// option needs its row, its user and its test. With `--check` nothing is written, and the first difference in each file is
// printed; test/packaging/configuration.test.js checks the same.

const fs = require('node:fs');
const path = require('node:path');
const { CACHE, REDIS } = require('../exports/clusters/cache/rows.js');
const { QUERY_CALL, REGISTER_CALL, TRANSACTION_CALL } = require('../exports/clusters/call-rows.js');
const { CLUSTER, CONNECTION_POOL, LOAD_BALANCING } = require('../exports/clusters/configuration.js');
const { CONSTRUCTOR } = require('../exports/clusters/constructor-options.js');
const { HEALTH } = require('../exports/clusters/health-rows.js');
const { DIRECTORY, SHARDING } = require('../exports/clusters/sharding/rows.js');
const { DECISIONS } = require('../exports/clusters/two-phase/rows.js');
const { HOOKS, OWN } = require('../exports/serverless/options.js');
const { RETRY } = require('../lib/api/retry.js');
const calls = require('../lib/options/call-options.js');
const { DASHBOARD } = require('../lib/options/dashboard-rows.js');
const { DATABASE, DATABASE_TRANSACTION } = require('../lib/options/database-rows.js');
const { EXACTLY_ONCE } = require('../lib/options/exactly-once-rows.js');
const { HOST } = require('../lib/options/hosts.js');
const { LEASE } = require('../lib/options/lease-rows.js');
const { READS } = require('../lib/options/read-rows.js');
const { KEEP_ALIVE, MONITOR, POOL } = require('../lib/options/pool-rows.js');
const { SSL } = require('../lib/options/tls-options.js');

/** @typedef {import('../lib/options/validate.js').Row} Row */
/** @typedef {import('../lib/options/validate.js').Rows} Rows */

const ROOT = path.join(__dirname, '..');
const WIDTH = 118;

/** The interfaces of client.d.ts whose members are written from rows. @type {Record<string, Rows>} */
const INTERFACES = {
  Host: HOST,
  SslOptions: SSL,
  KeepAliveOptions: KEEP_ALIVE,
  MonitorOptions: MONITOR,
  ReadsOptions: READS,
  LeaseOptions: LEASE,
  PoolOptions: POOL,
  QueryOptions: calls.QUERY,
  TokenOptions: calls.TOKEN,
  CommitOptions: calls.COMMIT,
  ReadOptions: calls.READ,
  ReadStreamOptions: calls.READ_STREAM,
  RetryOptions: RETRY,
  ExecOptions: calls.EXEC,
  StreamOptions: calls.STREAM,
  BatchOptions: calls.BATCH,
  CopyFromOptions: calls.LOAD,
  CopyToOptions: calls.UNLOAD,
  BeginOptions: calls.BEGIN,
  ExactlyOnceOptions: EXACTLY_ONCE,
  TransactionOptions: calls.TRANSACTION,
  SavepointOptions: calls.SAVEPOINT,
  JoinedBatchOptions: calls.JOINED_BATCH,
  DashboardOptions: DASHBOARD,
  EndOptions: calls.END,
  DatabaseOptions: DATABASE,
  DatabaseTransactionOptions: DATABASE_TRANSACTION,
};

/** Those of exports/serverless/index.d.ts. @type {Record<string, Rows>} */
const SERVERLESS = { ServerlessHooks: HOOKS, ServerlessOptions: OWN };

/** Those of exports/clusters/index.d.ts. @type {Record<string, Rows>} */
const CLUSTERS = {
  LoadBalancingOptions: LOAD_BALANCING,
  ConnectionPoolOptions: CONNECTION_POOL,
  ClusterOptions: CLUSTER,
  HealthOptions: HEALTH,
  MultiClusterOptions: CONSTRUCTOR,
  ClusterQueryOptions: QUERY_CALL,
  ClusterTransactionOptions: TRANSACTION_CALL,
  RegisterSchemaOptions: REGISTER_CALL,
  ShardDirectory: DIRECTORY,
  ShardingOptions: SHARDING,
  DecisionOptions: DECISIONS,
  CacheRedis: REDIS,
  CacheOptions: CACHE,
};

/** How the row of a member that must be given says it. */
const MUST_BE_GIVEN = 'must be given';
/** Members that must be given. */
const REQUIRED = new Set([HOST.host, calls.TOKEN.token, EXACTLY_ONCE.key]);

/** How a default is written. @param {Row} row */
function presetOf({ value, preset }) {
  if (preset !== undefined) return preset;
  return typeof value === 'number' ? String(value) : `\`${typeof value === 'string' ? `'${value}'` : value}\``;
}

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Words in lines. @param {string} text @param {number} width */
function wrapped(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.length - 1;
    if (lines[last] !== '' && lines[last].length + 1 + word.length > width) lines.push(word);
    else lines[last] += lines[last] === '' ? word : ` ${word}`;
  }
  return lines;
}

/** A member of an interface, with its comment. @param {string} name @param {Row} row */
function member(name, row) {
  const isRequired = REQUIRED.has(row) || row.preset === MUST_BE_GIVEN;
  const sentences = [`${capital(row.text)}.`, ...(row.more ? [row.more] : [])];
  if (!isRequired) sentences.push(`Default: ${presetOf(row)}.`);
  const comment = sentences.join(' ');
  const short = `  /** ${comment} */`;
  const lines =
    short.length <= WIDTH + 2
      ? [short]
      : ['  /**', ...wrapped(comment, WIDTH - 5).map((line) => `   * ${line}`), '   */'];
  return [...lines, `  ${name}${isRequired ? '' : '?'}: ${row.type};`].join('\n');
}

/**
 * @param {string} types the text of client.d.ts, or of the file whose interfaces these are
 * @param {Record<string, Rows>} [interfaces]
 * @param {string} [file]
 */
function withMembers(types, interfaces = INTERFACES, file = 'client.d.ts') {
  let text = types;
  for (const [name, rows] of Object.entries(interfaces)) {
    const head = new RegExp(`^export interface ${name}(<.*>)?( extends\\s[^{]*)? \\{\n`, 'm').exec(text);
    if (head === null) throw new Error(`${file} has no 'export interface ${name} {'`);
    const start = head.index + head[0].length;
    const end = text.indexOf('\n}', start - 1);
    const body = Object.entries(rows).map(([option, row]) => member(option, row));
    text = `${text.slice(0, start)}${body.join('\n')}${text.slice(end)}`;
  }
  return text;
}

/** A table as Biome formats it. @param {string[][]} rows */
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const [head, ...rest] = rows.map(line);
  return [head, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rest].join('\n');
}

/** The tables of docs/configuration.md, by the head of their first column. @type {Record<string, Rows>} */
const TABLES = { option: POOL, 'member of `reads`': READS, 'member of `lease`': LEASE };
/** Those of docs/serverless.md. @type {Record<string, Rows>} */
const SERVERLESS_TABLES = { 'option of `ServerlessClient`': { ...LEASE, ...OWN }, hook: HOOKS };

/** Those of docs/clusters.md. @type {Record<string, Rows>} */
const CLUSTERS_TABLES = {
  'option of a cluster': CLUSTER,
  'member of `loadBalancing`': LOAD_BALANCING,
  'member of `connectionPool`': CONNECTION_POOL,
  'option of `MultiClusterPostgres`': CONSTRUCTOR,
  'member of `cluster`': HEALTH,
  'member of `decisions`': DECISIONS,
  'member of `cache`': CACHE,
  'member of `provider`': REDIS,
  'option of `query()`': QUERY_CALL,
  'option of `withTransaction()`': TRANSACTION_CALL,
  'option of `registerSchema()`': REGISTER_CALL,
  'member of `sharding`': SHARDING,
  'member of `directory`': DIRECTORY,
};

/** @param {string} page the text of a document @param {Record<string, Rows>} [tables] @param {string} [file] */
function withTables(page, tables = TABLES, file = 'docs/configuration.md') {
  return Object.entries(tables).reduce((text, [head, options]) => withTable(text, head, options, file), page);
}

/** @param {string} page @param {string} head @param {Rows} options @param {string} file */
function withTable(page, head, options, file) {
  const start = page.indexOf(`\n| ${head} `) + 1;
  if (start === 0) throw new Error(`${file} has no table '${head}'`);
  const end = page.indexOf('\n\n', start);
  const rows = Object.entries(options).map(([name, row]) => [
    `\`${name}\``,
    options === HOOKS ? payloadOf(row) : presetOf(row),
    // A link of JSDoc is none in a document.
    row.text.replaceAll(/\{@link ([\w.]+)\}/g, '`$1`') + (row.link === undefined ? '' : `: see ${row.link}`),
  ]);
  const second = options === HOOKS ? 'is told' : 'default';
  return page.slice(0, start) + table([[head, second, 'meaning'], ...rows]) + page.slice(end);
}

/** What a hook is called with. @param {Row} row */
function payloadOf({ type }) {
  const [, payload] = /^\(payload: (.*)\) => unknown$/.exec(type) ?? [];
  if (payload === undefined) throw new Error(`a hook has another type: ${type}`);
  return `\`${payload.replaceAll('|', '\\|')}\``;
}

/** The files, as they should be. @type {Record<string, (text: string) => string>} */
const FILES = {
  'client.d.ts': (text) => withMembers(text),
  'docs/configuration.md': (text) => withTables(text),
  'docs/clusters.md': (text) => withTables(text, CLUSTERS_TABLES, 'docs/clusters.md'),
  'docs/serverless.md': (text) => withTables(text, SERVERLESS_TABLES, 'docs/serverless.md'),
  'exports/clusters/index.d.ts': (text) => withMembers(text, CLUSTERS, 'exports/clusters/index.d.ts'),
  'exports/serverless/index.d.ts': (text) => withMembers(text, SERVERLESS, 'exports/serverless/index.d.ts'),
};

/** The first line of each file that is not as the rows say. */
function differences() {
  return Object.entries(FILES).flatMap(([file, write]) => {
    const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
    const [is, should] = [text.split('\n'), write(text).split('\n')];
    const at = should.findIndex((line, index) => line !== is[index]);
    return at === -1 ? [] : [`${file}:${at + 1} should be: ${should[at].trim()}`];
  });
}

function main() {
  if (process.argv.includes('--check')) {
    const found = differences();
    for (const one of found) console.error(`${one} (npm run options writes it)`);
    process.exitCode = found.length === 0 ? 0 : 1;
    return;
  }
  for (const [file, write] of Object.entries(FILES)) {
    const full = path.join(ROOT, file);
    const text = fs.readFileSync(full, 'utf8');
    fs.writeFileSync(full, write(text));
  }
}

if (require.main === module) main();

module.exports = { INTERFACES, differences, withMembers, withTables };
