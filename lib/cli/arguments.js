'use strict';

// Reads the command line. A mistake is a UsageError that names the argument. Messages do not repeat values: one may be a password
// in the wrong place.

const { parseArgs } = require('node:util');

const USAGE = `Usage: hyperiondb-client status [options] [string]   the nodes of a cluster, once
       hyperiondb-client watch [options] [string]    the same, live; q or Ctrl-C ends it
       hyperiondb-client doctor [options] [string]   what is wrong, from this machine to the
                                                     settings of the servers, and its cure
       hyperiondb-client setup exactly-once [options] [string]
                                                     the SQL for the table of transactions with
                                                     exactlyOnce; --apply runs it
       hyperiondb-client leases [options] [string]   who holds how many sessions under a lease,
                                                     and what has expired; --reap ends that
       hyperiondb-client migrate --directory DIR [options] [string]
                                                     applies migrations to a cluster, or to all
                                                     clusters and shards of a --config
       hyperiondb-client dashboard [options] [string]
                                                     a page in the browser, live: nodes, loads,
                                                     failovers; Ctrl-C ends it
       hyperiondb-client shards --plan --from N --to M
                                                     which slots move, and SQL for their rows

  string               a connection string, as psql takes it: postgres://user@a,b/database or
                       'host=a,b user=...'; options win, and what neither says comes from
                       PGSERVICE and the other PG* variables
  --hosts a,b:5433,c   the nodes; default PGHOST, else the server of this machine
  --port PORT          for hosts that name none; default PGPORT, else 5432; dashboard: that of
                       the page, default 8432, 0 for any that is free
  --host ADDRESS       dashboard: where the page listens; default 127.0.0.1, which only this
                       machine reaches; elsewhere it needs the token that is printed
  --user NAME          default PGUSER, else your name on this machine
  --database NAME      default PGDATABASE, else the user's name
  --sslmode MODE       disable, allow, prefer, require, verify-ca or verify-full; default
                       PGSSLMODE, else prefer
  --timeout MS         status, doctor, leases: how long a node may take to answer, at least
                       100; default 5000
  --json               status: the nodes as JSON; doctor, leases: all that was seen; migrate,
                       shards: what the text says
  --interval MS        watch: between two looks, at least 100; default 1000
  --apply              setup: runs the SQL on the primary; it can be run again
  --table NAME         setup: the pool's exactlyOnceTable; default hyperiondb_outcome; migrate:
                       where a database has what was applied; default hyperiondb_migrations;
                       shards: the table in the SQL
  --grant ROLE         setup: who may use the table besides its owner
  --service NAME       leases: only the leases of this service
  --min-idle SECONDS   leases: how long a session must have been idle to be ended; default 180
  --dry-run            leases: lists what --reap would end; migrate: what would be applied
  --reap               leases: ends the idle sessions of --role in --database whose lease has
                       expired, on every node
  --role NAME          leases: whose sessions --dry-run and --reap mean; default --user
  --directory DIR      migrate: the folder with the files NNN_name.sql
  --config FILE        migrate: the clusters, as MultiClusterPostgres takes them: .json, or
                       .js, .cjs or .mjs that exports them
  --clusters a,b       migrate: only these of --config
  --schemas a,b        migrate: only the clusters of these schemas
  --status             migrate: what is applied where; applies nothing
  --plan               shards: shows what moves; nothing is asked or changed
  --from N, --to M     shards: how many shards there are, and how many there will be
  --key NAME           shards: the column with the key; default shard_key
  --no-color           no colours; also by NO_COLOR, and where there is no terminal
  --help, --version

The password comes from PGPASSWORD or the password file (~/.pgpass), the coordination secret of
leases from HYPERION_COORDINATION_SECRET (several: one on each line).
Exit code: 0 when a node accepts writes, 1 when none does, 2 when nobody looked (wrong usage).
doctor: 0 when nothing is wrong, 1 when something is. setup: 0, or 2 when the SQL has failed.
leases: 0, or 1 when a node did not answer or --reap could not end all that it should.
migrate: 0, or 1 when something was refused or has failed; --status: 0 when all is applied.`;

/** @typedef {'status' | 'watch' | 'doctor' | 'setup' | 'leases' | 'migrate' | 'dashboard' | 'shards'} Command */
/** Those that ask servers. */
const ASKING = ['status', 'watch', 'doctor', 'setup', 'leases', 'migrate', 'dashboard'];
/** @type {readonly string[]} */
const COMMANDS = [...ASKING, 'shards'];
/** The options that say where a cluster is. */
const PLACE = ['hosts', 'port', 'user', 'database', 'sslmode'];
/** What `setup` makes. */
const SUBJECT = 'exactly-once';
/** Where the coordination secret of `leases` comes from. */
const SECRET_VARIABLE = 'HYPERION_COORDINATION_SECRET';

/** @type {Record<string, { type: 'string' | 'boolean', of?: string[] }>} `of`: the commands that have it, if not all */
const OPTIONS = {
  ...Object.fromEntries(PLACE.map((name) => [name, { type: /** @type {const} */ ('string'), of: ASKING }])),
  host: { type: 'string', of: ['dashboard'] },
  timeout: { type: 'string', of: ['status', 'doctor', 'leases'] },
  json: { type: 'boolean', of: ['status', 'doctor', 'leases', 'migrate', 'shards'] },
  interval: { type: 'string', of: ['watch'] },
  apply: { type: 'boolean', of: ['setup'] },
  table: { type: 'string', of: ['setup', 'migrate', 'shards'] },
  grant: { type: 'string', of: ['setup'] },
  service: { type: 'string', of: ['leases'] },
  'min-idle': { type: 'string', of: ['leases'] },
  'dry-run': { type: 'boolean', of: ['leases', 'migrate'] },
  reap: { type: 'boolean', of: ['leases'] },
  role: { type: 'string', of: ['leases'] },
  directory: { type: 'string', of: ['migrate'] },
  config: { type: 'string', of: ['migrate'] },
  clusters: { type: 'string', of: ['migrate'] },
  schemas: { type: 'string', of: ['migrate'] },
  status: { type: 'boolean', of: ['migrate'] },
  plan: { type: 'boolean', of: ['shards'] },
  from: { type: 'string', of: ['shards'] },
  to: { type: 'string', of: ['shards'] },
  key: { type: 'string', of: ['shards'] },
  'no-color': { type: 'boolean' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
};

const TIMEOUT_MS = 5_000;
const INTERVAL_MS = 1_000;
/** A shorter time is too short for an answer, and for a terminal to be read. */
const LEAST_MS = 100;
/** The largest delay of a timer. */
const MAX_MS = 0x7fff_ffff;
/** Where the page of `dashboard` listens. */
const PAGE = { host: '127.0.0.1', port: 8_432 };
/** Each has a slot at least. */
const MOST_SHARDS = 1_024;

/** The command line is wrong. */
class UsageError extends Error {}

/**
 * @typedef {object} Arguments
 * @property {Command | 'help' | 'version'} command
 * @property {import('../../client.js').PoolOptions} pool
 * @property {number} timeoutMs
 * @property {number} intervalMs
 * @property {boolean} json
 * @property {boolean} color
 * @property {boolean} apply
 * @property {string | undefined} table
 * @property {string | undefined} grant
 * @property {string | undefined} service
 * @property {string | undefined} role
 * @property {number | undefined} minIdleSec
 * @property {'look' | 'rehearse' | 'reap'} pass what `leases` does about expired leases
 * @property {Migrating | null} migrating of `migrate`
 * @property {{ from: number, to: number, key: string } | null} resharding of `shards`
 * @property {{ host: string, port: number }} page where the page of `dashboard` listens
 */
/**
 * @typedef {object} Migrating
 * @property {string} directory
 * @property {string | undefined} config a file; without it the cluster is that of `pool`
 * @property {string[] | undefined} clusters
 * @property {string[] | undefined} schemas
 * @property {'apply' | 'rehearse' | 'look'} task
 */

/**
 * @param {string[]} args
 * @returns {Arguments}
 */
function readArguments(args) {
  // Not strict: the messages of parseArgs repeat values.
  const { values, tokens } = parseArgs({ args, options: OPTIONS, strict: false, tokens: true });
  const words = [];
  const seen = new Set();
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    checkOption(token);
    if (seen.has(token.name)) throw new UsageError(`${token.rawName} is given twice`);
    seen.add(token.name);
  }
  const given = /** @type {Record<string, string>} */ (values);
  const isQuestion = seen.has('help') || seen.has('version');
  const command = seen.has('help') ? 'help' : seen.has('version') ? 'version' : commandOf(words);
  const connectionString = isQuestion ? undefined : stringOf(words);
  for (const name of seen) {
    // A slip of the hand on the other commands.
    if (name === 'host' && command !== 'dashboard' && !isQuestion) {
      throw new UsageError('unknown option --host: did you mean --hosts?');
    }
    const { of: only = COMMANDS } = OPTIONS[name];
    if (COMMANDS.includes(command) && !only.includes(command)) {
      throw new UsageError(`--${name} is an option of ${listed(only, 'and')} alone`);
    }
  }
  const timeoutMs = integer('timeout', given.timeout, LEAST_MS) ?? TIMEOUT_MS;
  const intervalMs = integer('interval', given.interval, LEAST_MS) ?? INTERVAL_MS;
  // A port of the servers for the others.
  const isPage = command === 'dashboard';
  const ownPort = integer('port', given.port, isPage ? 0 : 1, 65_535);
  const { hosts, user, database, sslmode } = given;
  // createPool refuses an unknown mode.
  const ssl = /** @type {import('../../client.js').SslMode | undefined} */ (sslmode);
  // The monitor gives a node as long as this command waits, and asks it as often as it is shown.
  const pace =
    command !== 'watch' && !isPage
      ? { connectTimeoutMs: timeoutMs, monitor: { nodeTimeoutMs: timeoutMs } }
      : { monitor: { intervalMs } };
  return {
    command,
    pool: { connectionString, hosts, port: isPage ? undefined : ownPort, user, database, ssl, ...pace },
    timeoutMs,
    intervalMs,
    json: seen.has('json'),
    color: !seen.has('no-color'),
    apply: seen.has('apply'),
    table: given.table,
    grant: given.grant,
    service: given.service,
    role: given.role,
    minIdleSec: integer('min-idle', given['min-idle'], 0),
    pass: passOf(seen),
    migrating: command === 'migrate' ? migratingOf(seen, given, connectionString) : null,
    resharding: command === 'shards' ? reshardingOf(seen, given) : null,
    page: { host: given.host ?? PAGE.host, port: (isPage ? ownPort : undefined) ?? PAGE.port },
  };
}

/**
 * @param {Set<string>} seen the options that are given
 * @param {Record<string, string | undefined>} given
 * @param {string | undefined} connectionString
 * @returns {Migrating}
 */
function migratingOf(seen, { directory, config, clusters, schemas }, connectionString) {
  if (directory === undefined)
    throw new UsageError('migrate needs --directory, the folder with the files NNN_name.sql');
  if (seen.has('status') && seen.has('dry-run')) throw new UsageError('--status applies nothing: leave out --dry-run');
  const place = PLACE.find((name) => seen.has(name));
  if (config !== undefined && (place !== undefined || connectionString !== undefined)) {
    throw new UsageError(
      `--config says where the clusters are: leave out ${place ? `--${place}` : 'the connection string'}`,
    );
  }
  for (const name of ['clusters', 'schemas']) {
    if (config === undefined && seen.has(name)) throw new UsageError(`--${name} chooses from the clusters of --config`);
  }
  const task = seen.has('status') ? 'look' : seen.has('dry-run') ? 'rehearse' : 'apply';
  return { directory, config, clusters: names('clusters', clusters), schemas: names('schemas', schemas), task };
}

/** `a,b` @param {string} name @param {string | undefined} value */
function names(name, value) {
  const list = value?.split(',').map((one) => one.trim());
  if (list?.includes('')) throw new UsageError(`--${name} is a list of names with commas between them`);
  return list;
}

/** @param {Set<string>} seen the options that are given @param {Record<string, string | undefined>} given */
function reshardingOf(seen, given) {
  const from = integer('from', given.from, 1, MOST_SHARDS);
  const to = integer('to', given.to, 1, MOST_SHARDS);
  if (!seen.has('plan') || from === undefined || to === undefined) {
    throw new UsageError('shards makes a plan: shards --plan --from N --to M');
  }
  if (from === to) throw new UsageError('--from and --to are one number: nothing moves');
  return { from, to, key: given.key ?? 'shard_key' };
}

/** @param {Set<string>} seen the options that are given */
function passOf(seen) {
  if (seen.has('reap') && seen.has('dry-run')) throw new UsageError('--dry-run changes nothing: leave out --reap');
  const pass = seen.has('reap') ? 'reap' : seen.has('dry-run') ? 'rehearse' : 'look';
  for (const name of ['min-idle', 'role']) {
    if (pass === 'look' && seen.has(name)) throw new UsageError(`--${name} is for --dry-run and --reap`);
  }
  return pass;
}

/** `a, b and c` @param {readonly string[]} words @param {'and' | 'or'} last */
const listed = (words, last) => [words.slice(0, -1).join(', '), words.at(-1)].filter(Boolean).join(` ${last} `);

/** @param {{ name: string, rawName: string, value?: string, inlineValue?: boolean }} token */
function checkOption({ name, rawName, value, inlineValue }) {
  if (/^-?-?p(ass|w)/i.test(name)) {
    throw new UsageError(
      `${rawName}: a password on the command line could be read by everybody on this machine; ` +
        'set PGPASSWORD or use the password file (~/.pgpass)',
    );
  }
  if (/secret/i.test(name)) {
    throw new UsageError(
      `${rawName}: a secret on the command line could be read by everybody on this machine; set ${SECRET_VARIABLE}`,
    );
  }
  if (!rawName.startsWith('--') || !Object.hasOwn(OPTIONS, name)) {
    throw new UsageError(`unknown option ${rawName}${suggestion(name)}`);
  }
  if (OPTIONS[name].type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`);
  } else if (value === undefined || value === '' || (!inlineValue && value.startsWith('-'))) {
    throw new UsageError(`${rawName} needs a value`);
  }
}

/** @param {string} name */
function suggestion(name) {
  /** @type {Record<string, string>} */
  const elsewhere = { dbname: 'database', ssl: 'sslmode', h: 'hosts', p: 'port', U: 'user', d: 'database' };
  const meant =
    elsewhere[name] ?? Object.keys(OPTIONS).find((o) => name.length > 2 && (o.startsWith(name) || name.startsWith(o)));
  return meant === undefined ? '' : `: did you mean --${meant}?`;
}

/**
 * @param {string[]} words
 * @returns {Command}
 */
function commandOf([command, subject]) {
  const list = listed(COMMANDS, 'or');
  if (command === undefined) throw new UsageError(`a command is missing: ${list}`);
  if (!COMMANDS.includes(command)) {
    throw new UsageError(`unknown command${/^[\w-]{1,20}$/.test(command) ? ` '${command}'` : ''}: it is ${list}`);
  }
  if (command === 'setup' && subject !== SUBJECT) throw new UsageError(`setup makes one thing: setup ${SUBJECT}`);
  return /** @type {Command} */ (command);
}

/**
 * @param {string[]} words
 * @returns {string | undefined}
 */
function stringOf([command, ...words]) {
  const [string, ...rest] = command === 'setup' ? words.slice(1) : words;
  if (command === 'shards' && string !== undefined)
    throw new UsageError('shards asks no server: it takes no connection string');
  if (rest.length > 0) throw new UsageError(`${command} takes one connection string: put it between quotes`);
  if (string !== undefined && !/^postgres(ql)?:\/\/|=/.test(string)) {
    throw new UsageError(`${command}: this is no connection string: name the nodes with --hosts a,b,c`);
  }
  return string;
}

/**
 * @param {string} name
 * @param {string | undefined} value
 * @param {number} least
 * @param {number} [most]
 */
function integer(name, value, least, most = MAX_MS) {
  if (value === undefined) return undefined;
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most))
    throw new UsageError(`--${name} must be an integer from ${least} to ${most}`);
  return number;
}

module.exports = { SECRET_VARIABLE, USAGE, UsageError, readArguments };
