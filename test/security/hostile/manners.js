'use strict';

// The answers of a well-behaved server in each state: the default that a script overrides.

const wire = require('./wire');
const { OID, int32 } = wire;

/** @typedef {import('./conversation').Conversation} Conversation */
/** @typedef {import('./server').Step} Step */
/** @typedef {import('./server').Request} Request */
/** @typedef {import('./server').Statement} Statement */

/** Statements that a well-behaved server knows. @type {Record<string, Statement>} */
const KNOWN = {
  'SELECT 1 AS one': { columns: [['one', OID.int4]], rows: [[int32(1)]], texts: [['1']] },
  'SHOW transaction_read_only': { columns: [['transaction_read_only', OID.text]], rows: [['off']], texts: [['off']] },
};

/** Command tags of statements without rows. */
const TAGS = [/^INSERT/i, 'INSERT 0 1', /^(BEGIN|COMMIT|ROLLBACK|LISTEN|UNLISTEN|SET|COPY)/i, null, /^/, 'DO'];

/** @param {string} sql @returns {string} */
function tagOf(sql) {
  for (let at = 0; at < TAGS.length; at += 2) {
    const found = /** @type {RegExp} */ (TAGS[at]).exec(sql);
    if (found !== null) return /** @type {string | null} */ (TAGS[at + 1]) ?? found[0].toUpperCase();
  }
  return 'DO';
}

/** The answers to a statement that the script does not mention. @param {string} sql @returns {Statement} */
function statementOf(sql) {
  if (KNOWN[sql] !== undefined) return KNOWN[sql];
  return /^SELECT/i.test(sql) ? { columns: [['x', OID.text]], rows: [['x']], texts: [['x']] } : { tag: tagOf(sql) };
}

/** @param {Statement} statement @param {readonly unknown[]} rows @param {string} sql */
const tagFor = (statement, rows, sql) =>
  statement.tag ?? (statement.columns === undefined ? tagOf(sql) : `SELECT ${rows.length}`);

/** @param {Conversation} conversation @param {string} sql */
function simple(conversation, sql) {
  const parts = sql
    .split(';')
    .map((part) => part.trim())
    .filter(Boolean);
  if (parts.length === 0) return [wire.emptyQuery];
  return parts.flatMap((part) => {
    if (/^BEGIN/i.test(part)) conversation.status = 'T';
    if (/^(COMMIT|ROLLBACK)/i.test(part)) conversation.status = 'I';
    const statement = conversation.statement(part);
    const { columns, texts = [] } = statement;
    const described = columns === undefined ? [] : [wire.rowDescription(columns)];
    return [...described, ...texts.map((row) => wire.dataRow(row)), wire.complete(tagFor(statement, texts, part))];
  });
}

/** @param {Conversation} conversation @param {string} sql */
function executed(conversation, sql) {
  if (/^COPY .* FROM STDIN/is.test(sql)) {
    conversation.copying = sql;
    return [wire.copyResponse('G')];
  }
  if (/^COPY .* TO STDOUT/is.test(sql)) {
    const { texts = [['1'], ['2']] } = conversation.statement(sql);
    const lines = texts.map(([line]) => wire.copyData(`${line}\n`));
    return [wire.copyResponse('H'), ...lines, wire.copyDone, wire.complete(`COPY ${lines.length}`)];
  }
  const statement = conversation.statement(sql);
  const { rows = [] } = statement;
  const cells = typeof rows === 'function' ? rows(conversation.bound.params) : rows;
  return [...cells.map((row) => wire.dataRow(row)), wire.complete(tagFor(statement, cells, sql))];
}

/** @param {Conversation} conversation */
function login({ server, processId }) {
  const settings = {
    server_version: '17.0',
    server_encoding: 'UTF8',
    client_encoding: 'UTF8',
    DateStyle: 'ISO, MDY',
    integer_datetimes: 'on',
    standard_conforming_strings: 'on',
    TimeZone: 'Etc/UTC',
    default_transaction_read_only: 'off',
    in_hot_standby: server.role === 'standby' ? 'on' : 'off',
  };
  return [
    wire.authentication(0),
    ...Object.entries(settings).map(([name, value]) => wire.parameterStatus(name, value)),
    wire.backendKeyData(processId, 4711),
    wire.ready(),
  ];
}

/** By the process id the client learns whether a pooler is between. @param {Conversation} conversation @param {Request} request */
function probe({ server, processId }, { sql }) {
  const isStandby = server.role === 'standby';
  const file = `0000000${server.timeline}0000000000000001`;
  const names = ['pg_is_in_recovery', 'current_setting', 'pg_walfile_name', 'lsn', 'current_setting', 'pg_backend_pid'];
  const row = [isStandby ? 't' : 'f', 'off', isStandby ? null : file, '0/16B3748', '0', String(processId)];
  const count = sql.includes('pg_backend_pid') ? names.length : names.length - 1;
  const described = wire.rowDescription(names.slice(0, count).map((name) => [name, OID.text]));
  return [described, wire.dataRow(row.slice(0, count)), wire.complete('SELECT 1'), wire.ready()];
}

/** @param {Conversation} conversation */
function control({ server }) {
  const described = wire.rowDescription(['system_identifier', 'timeline'].map((name) => [name, OID.text]));
  const row = wire.dataRow(['7000000000000000001', String(server.timeline)]);
  return [described, row, wire.complete('SELECT 1'), wire.ready()];
}

/** @type {Record<string, (conversation: Conversation, request: Request) => readonly Step[]>} */
const STATES = {
  connect: () => [],
  ssl: ({ server }) => [Buffer.from(server.encrypts ? 'S' : 'N')],
  gss: () => [Buffer.from('N')],
  hello: (conversation, { body }) => {
    if (conversation.server.encrypts) conversation.encrypt(body);
    return [];
  },
  cancel: () => [{ end: true }],
  startup: () => ['login'],
  password: () => ['login'],
  login,
  probe,
  control,
  query: (conversation, { sql }) => {
    // The answer decides the transaction status in ReadyForQuery.
    const said = simple(conversation, sql);
    return [...said, wire.ready(conversation.status)];
  },
  parse: () => [wire.parseComplete],
  describe: (conversation, { sql, body }) => {
    const { params = [], columns } = conversation.statement(sql);
    const described = columns === undefined ? wire.noData : wire.rowDescription(columns);
    return body[0] === 0x53 ? [wire.parameterDescription(params), described] : [described];
  },
  bind: () => [wire.bindComplete],
  execute: (conversation, { sql }) => executed(conversation, sql),
  close: () => [wire.closeComplete],
  flush: () => [],
  sync: (conversation) => {
    conversation.skipping = false;
    // While the server waits for data it ignores the message.
    return conversation.copying === null ? [wire.ready(conversation.status)] : [];
  },
  copyData: () => [],
  copyDone: () => [wire.complete('COPY 1')],
  copyFail: () => [wire.error('57014', 'COPY from stdin failed')],
  terminate: () => [{ end: true }],
};

/** @param {Conversation} conversation @param {Request} request @returns {readonly Step[]} */
const answer = (conversation, request) => STATES[request.kind]?.(conversation, request) ?? [];

module.exports = { answer, statementOf };
