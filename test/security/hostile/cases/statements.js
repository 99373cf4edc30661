'use strict';

// Servers that log in well and answer a statement badly. A statement that may have been sent for execution has an unknown outcome
// and is not sent again; before that it certainly has not run. In both cases the connection cannot be used any more, and the next
// statement has another one.

const { HOSTILE } = require('../judge');
const wire = require('../wire');
const { OID, claiming, cut, dataRow, error, fieldsOf, int16, int32, message, notice, ready } = wire;

/** @typedef {import('../server').Statement} Statement */
/** @typedef {import('../server').Script} Script */
/** @typedef {import('../judge').Expected} Expected */
/** @typedef {readonly [name: string, statement: Statement, is: Expected, options?: Record<string, unknown>]} Row */

const END = { end: true };
const HUSH = { hush: true };
/** The statement may have run. @type {Expected} */
const UNKNOWN = { code: ['ERR_OUTCOME_UNKNOWN', 'ERR_PROTOCOL'], outcome: 'unknown' };
/** The statement was never sent for execution. @type {Expected} */
const UNSENT = { code: ['ERR_PROTOCOL', 'ERR_CONNECTION_LOST'], outcome: 'not-applied', executes: 0 };
/**
 * The same for a connection that breaks each time: the pool tries others until its time is up. The reason that it reports for the
 * host must not be that of a good primary.
 *
 * @type {Expected}
 */
const UNSENT_LOST = {
  ...UNSENT,
  code: ['ERR_CONNECTION_LOST', 'ERR_NO_PRIMARY'],
  reason: /^(?!is a primary$)/,
};
/** The server did not answer the cancel request. @type {Expected} */
const GAVE_UP = { code: '57014', outcome: 'unknown' };
const RUBBISH = Buffer.from([...Array(512).keys()].map((at) => (at * 167 + 13) & 0xff));
const NOT_UTF8 = Buffer.from([0xc3, 0x28, 0xff, 0xfe]);

const ONE = {
  columns: /** @type {import('../wire').Column[]} */ ([['a', OID.int4]]),
  rows: [[int32(1)]],
  texts: [['1']],
};
const THREE = {
  ...ONE,
  columns: /** @type {import('../wire').Column[]} */ ([
    ['a', OID.int4],
    ['b', OID.int4],
    ['c', OID.int4],
  ]),
  rows: [[int32(1), int32(2), int32(3)]],
  texts: [['1', '2', '3']],
};
const ROW = dataRow([int32(1)]);
const DONE = wire.complete('SELECT 1');

/** Messages that are wrong in every state; the server is silent after them. @type {readonly [string, Buffer][]} */
const WRONG = [
  ['length 0', claiming('D', 0)],
  ['length 3', claiming('D', 3)],
  ['length -1', claiming('D', -1, int16(1))],
  ['length 2^31-1 of a type that is never long', claiming('2', 2 ** 31 - 1)],
  ['length 2^31-1 of ReadyForQuery', claiming('Z', 2 ** 31 - 1, 'I')],
  ['type 0', message('\0', int32(0))],
  ['type ?', message('?', 'x')],
  ['type 0xff', message('\xff')],
  ['an authentication request', wire.authentication(3)],
  ['key data', wire.backendKeyData(1, 1)],
  ['rubbish', RUBBISH],
];

/** In place of ParseComplete, or of the description. @type {readonly Row[]} */
const PARSE = [
  ['parse: closes', { ...ONE, parse: [END] }, UNSENT_LOST],
  ['parse: resets', { ...ONE, parse: [{ reset: true }] }, UNSENT_LOST],
  [
    'parse: is silent',
    { ...ONE, parse: [HUSH] },
    { ...GAVE_UP, outcome: 'not-applied', executes: 0 },
    { timeoutMs: 300 },
  ],
  ['parse: says nothing of it', { ...ONE, parse: [] }, UNSENT],
  ['parse: complete twice', { ...ONE, parse: [wire.parseComplete, wire.parseComplete] }, UNSENT],
  ['parse: ready at once', { ...ONE, parse: [ready(), HUSH] }, UNSENT],
  ['parse: a row at once', { ...ONE, parse: [ROW, HUSH] }, UNSENT],
  ['parse: wants data', { ...ONE, parse: [wire.copyResponse('G'), HUSH] }, UNSENT],
  ['parse: a cut message, closed', { ...ONE, parse: [cut(message('1', 'x')), END] }, UNSENT],
  ...WRONG.map(([name, bytes]) => /** @type {Row} */ ([`parse: ${name}`, { ...ONE, parse: [bytes, HUSH] }, UNSENT])),
  ['parse: an error', { ...ONE, parse: [error('42601', 'syntax'), { skip: true }] }, { code: '42601', executes: 0 }],
  ['parse: an error without fields', { ...ONE, parse: [message('E', Buffer.from([0])), { skip: true }] }, UNSENT],
  ['describe: closes', { ...ONE, describe: [END] }, UNSENT_LOST],
  ['describe: says nothing', { ...ONE, describe: [] }, UNSENT],
  ['describe: no ParameterDescription', { ...ONE, describe: [wire.rowDescription(ONE.columns)] }, UNSENT],
  ['describe: no RowDescription', { ...ONE, describe: [wire.parameterDescription([])] }, UNSENT],
  [
    'describe: the wrong order',
    { ...ONE, describe: [wire.rowDescription(ONE.columns), wire.parameterDescription([])] },
    UNSENT,
  ],
  ['describe: parameters cut short', { ...ONE, describe: [message('t', int16(3), int32(23)), wire.noData] }, UNSENT],
  [
    'describe: more parameters than it counts',
    { ...ONE, describe: [message('t', int16(0), int32(23)), wire.noData] },
    UNSENT,
  ],
  ['describe: a parameter count of nothing', { ...ONE, describe: [message('t'), wire.noData] }, UNSENT],
  [
    'describe: 65,535 parameters',
    { ...ONE, params: Array(65_535).fill(OID.int4) },
    { code: 'ERR_INVALID_PARAM', executes: 0 },
  ],
  [
    'describe: columns cut short',
    { ...ONE, describe: [wire.parameterDescription([]), message('T', int16(3), 'a\0')] },
    UNSENT,
  ],
  [
    'describe: a column without NUL',
    { ...ONE, describe: [wire.parameterDescription([]), message('T', int16(1), 'aaaa')] },
    UNSENT,
  ],
  [
    'describe: fewer columns than it counts',
    {
      ...ONE,
      describe: [
        wire.parameterDescription([]),
        message('T', int16(32_767), wire.rowDescription(ONE.columns).subarray(7)),
      ],
    },
    UNSENT,
  ],
  [
    'describe: more columns than it counts',
    {
      ...ONE,
      describe: [wire.parameterDescription([]), message('T', int16(1), wire.rowDescription(THREE.columns).subarray(7))],
    },
    UNSENT,
  ],
  [
    'describe: a column name that is not UTF-8',
    { ...ONE, describe: [wire.parameterDescription([]), message('T', int16(1), NOT_UTF8, '\0', Buffer.alloc(18))] },
    UNSENT,
  ],
  ['describe: a type that nobody knows', { columns: [['a', 99_999]], rows: [['x']] }, UNSENT],
];

/** In place of BindComplete. @type {readonly Row[]} */
const BIND = [
  ['bind: closes', { ...ONE, bind: [END] }, UNKNOWN],
  ['bind: resets', { ...ONE, bind: [{ reset: true }] }, UNKNOWN],
  ['bind: is silent', { ...ONE, bind: [HUSH] }, GAVE_UP, { timeoutMs: 300 }],
  ['bind: says nothing', { ...ONE, bind: [] }, UNKNOWN],
  ['bind: twice', { ...ONE, bind: [wire.bindComplete, wire.bindComplete] }, UNKNOWN],
  ['bind: ready', { ...ONE, bind: [ready(), HUSH] }, UNKNOWN],
  ['bind: ParseComplete', { ...ONE, bind: [wire.parseComplete, HUSH] }, UNKNOWN],
  ...WRONG.map(([name, bytes]) => /** @type {Row} */ ([`bind: ${name}`, { ...ONE, bind: [bytes, HUSH] }, UNKNOWN])),
];

/** @param {Buffer} row @returns {Statement} */
const lying = (row) => ({ ...THREE, execute: [row, DONE] });
const CELLS = [int32(1), int32(2), int32(3)];

/** Instead of rows and their end. @type {readonly Row[]} */
const EXECUTE = [
  ['execute: closes', { ...ONE, execute: [END] }, UNKNOWN],
  ['execute: resets', { ...ONE, execute: [{ reset: true }] }, UNKNOWN],
  ['execute: is silent', { ...ONE, execute: [HUSH] }, GAVE_UP, { timeoutMs: 300 }],
  [
    'execute: is silent and aborted',
    { ...ONE, execute: [HUSH] },
    { code: 'ABORT_ERR', outcome: 'unknown' },
    { signal: 'late' },
  ],
  ['execute: closes among the rows', { ...ONE, execute: [ROW, ROW, END] }, UNKNOWN],
  ['execute: closes within a row', { ...ONE, execute: [ROW, cut(ROW, 2), END] }, UNKNOWN],
  ['execute: silent within a row', { ...ONE, execute: [ROW, cut(ROW, 2), HUSH] }, GAVE_UP, { timeoutMs: 300 }],
  [
    'execute: one byte at a time',
    { ...ONE, execute: [{ drip: Buffer.alloc(200, ROW), everyMs: 100 }] },
    GAVE_UP,
    { timeoutMs: 300 },
  ],
  ['execute: a row of 2^31-1 bytes', { ...ONE, execute: [claiming('D', 2 ** 31 - 1, int16(1)), HUSH] }, UNKNOWN],
  ['execute: rows for ever', { ...ONE, execute: [{ flood: ROW }] }, GAVE_UP, { timeoutMs: 300 }],
  ['execute: notices for ever', { ...ONE, execute: [{ flood: notice('x'.repeat(100)) }] }, GAVE_UP, { timeoutMs: 300 }],
  [
    'execute: settings for ever',
    { ...ONE, execute: [{ flood: wire.parameterStatus('a', 'b') }] },
    GAVE_UP,
    { timeoutMs: 300 },
  ],
  ['execute: 1 value of 3', lying(dataRow([int32(1)])), UNKNOWN],
  ['execute: 5 values of 3', lying(dataRow([...CELLS, ...CELLS.slice(1)])), UNKNOWN],
  ['execute: says -1 values', lying(dataRow(CELLS, -1)), UNKNOWN],
  ['execute: says 32,767 values', lying(dataRow(CELLS, 32_767)), UNKNOWN],
  ['execute: says 0 values', lying(dataRow(CELLS, 0)), UNKNOWN],
  ['execute: says 2 values of 3', lying(dataRow(CELLS, 2)), UNKNOWN],
  ['execute: no count', lying(message('D')), UNKNOWN],
  ['execute: half a count', lying(message('D', '\0')), UNKNOWN],
  ['execute: a value past the end', lying(message('D', int16(3), int32(100), int32(1))), UNKNOWN],
  ['execute: a value of 2^31-1 bytes', lying(message('D', int16(3), int32(2 ** 31 - 1), int32(1))), UNKNOWN],
  [
    'execute: bytes behind the values',
    lying(message('D', int16(3), ...CELLS.flatMap((cell) => [int32(4), cell]), int32(-1))),
    UNKNOWN,
  ],
  [
    'execute: a value that is none, and one past the end',
    lying(message('D', int16(3), int32(1), 'x', int32(100), int32(1))),
    UNKNOWN,
  ],
  [
    'execute: a value that is none, and bytes behind the last',
    lying(message('D', int16(3), int32(1), 'x', int32(-1), int32(-1), 'x')),
    UNKNOWN,
  ],
  [
    'execute: a row with bytes behind it, where rows are dropped',
    { ...THREE, execute: [dataRow(['x', 'x', 'x']), dataRow(CELLS, 2), DONE] },
    UNKNOWN,
  ],
  ['execute: a value that is none', lying(dataRow(['x', 'x', 'x'])), { code: 'ERR_DECODE' }],
  ['execute: rows of a statement that has none', { execute: [dataRow(['x']), DONE] }, UNKNOWN],
  ['execute: another RowDescription', { ...ONE, execute: [wire.rowDescription(THREE.columns), ROW, DONE] }, UNKNOWN],
  ['execute: suspended', { ...ONE, execute: [ROW, message('s')] }, UNKNOWN],
  ['execute: no end', { ...ONE, execute: [ROW] }, UNKNOWN],
  ['execute: two ends', { ...ONE, execute: [ROW, DONE, DONE] }, UNKNOWN],
  ['execute: a row behind the end', { ...ONE, execute: [ROW, DONE, ROW] }, UNKNOWN],
  ['execute: wants data', { ...ONE, execute: [wire.copyResponse('G'), HUSH] }, UNKNOWN],
  [
    'execute: sends data',
    { ...ONE, execute: [wire.copyResponse('H'), wire.copyData('x'), wire.copyDone, DONE] },
    UNKNOWN,
  ],
  ['execute: a tag without NUL', { ...ONE, execute: [ROW, message('C', 'SELECT 1')] }, UNKNOWN],
  ['execute: a tag that is not UTF-8', { ...ONE, execute: [ROW, message('C', NOT_UTF8, '\0')] }, UNKNOWN],
  ['execute: two tags in one', { ...ONE, execute: [ROW, message('C', 'SELECT 1\0SELECT 2\0')] }, UNKNOWN],
  ['execute: an empty tag', { ...ONE, execute: [ROW, wire.complete('')] }, { value: [{ a: 1 }] }],
  ['execute: a tag of 10 MB', { ...ONE, execute: [ROW, wire.complete('x'.repeat(10 << 20))] }, UNKNOWN],
  [
    'execute: an endless number in the tag',
    { ...ONE, execute: [ROW, wire.complete(`SELECT ${'9'.repeat(50)}`)] },
    { value: [{ a: 1 }] },
  ],
  ...WRONG.filter(([name]) => name !== 'length -1').map(
    ([name, bytes]) => /** @type {Row} */ ([`execute: ${name}`, { ...ONE, execute: [ROW, bytes, HUSH] }, UNKNOWN]),
  ),
  [
    'execute: an error',
    { ...ONE, execute: [error('22012', 'division by zero'), { skip: true }] },
    { code: '22012', outcome: 'not-applied' },
  ],
  [
    'execute: an error among the rows',
    { ...ONE, execute: [ROW, error('22012', 'x'), { skip: true }] },
    { code: '22012', outcome: 'not-applied' },
  ],
  [
    'execute: an error behind the end',
    { ...ONE, execute: [ROW, DONE, error('40001', 'x')] },
    { code: ['40001', 'ERR_OUTCOME_UNKNOWN'] },
  ],
  ['execute: two errors', { ...ONE, execute: [error('22012', 'x'), error('22012', 'y')] }, { code: '22012' }],
  ['execute: an error without fields', { ...ONE, execute: [message('E', Buffer.from([0])), { skip: true }] }, UNKNOWN],
  ['execute: an error without anything', { ...ONE, execute: [message('E'), { skip: true }] }, UNKNOWN],
  [
    'execute: an error without an end',
    { ...ONE, execute: [message('E', 'SERROR\0C22012\0Mx\0'), { skip: true }] },
    UNKNOWN,
  ],
  [
    'execute: an error of unknown fields',
    { ...ONE, execute: [message('E', fieldsOf({ x: 'a' })), { skip: true }] },
    UNKNOWN,
  ],
  [
    'execute: an error with no code',
    { ...ONE, execute: [message('E', fieldsOf({ S: 'ERROR', M: 'x' })), { skip: true }] },
    UNKNOWN,
  ],
  ['execute: an error with an empty code', { ...ONE, execute: [error('', 'x'), { skip: true }] }, UNKNOWN],
  [
    'execute: an error with impossible numbers',
    {
      ...ONE,
      execute: [message('E', fieldsOf({ S: 'ERROR', C: '22012', M: 'x', P: '-1', L: '1e99' })), { skip: true }],
    },
    { code: ['22012', .../** @type {string[]} */ (UNKNOWN.code)] },
  ],
  [
    'execute: an error with a code like one of ours',
    { ...ONE, execute: [error('ERR_POOL_CLOSED', 'x'), { skip: true }] },
    { code: /** @type {string[]} */ (UNKNOWN.code) },
  ],
  [
    'execute: an error that ends the session and does not',
    { ...ONE, execute: [error('57P01', 'x', 'FATAL')] },
    UNKNOWN,
  ],
  [
    'execute: an unknown severity',
    { ...ONE, execute: [error('22012', 'x', 'DOOM'), { skip: true }] },
    { code: ['22012', .../** @type {string[]} */ (UNKNOWN.code)] },
  ],
  ['execute: a notice without fields', { ...ONE, execute: [message('N', Buffer.from([0])), ROW, DONE] }, UNKNOWN],
  ['execute: a notice without an end', { ...ONE, execute: [message('N', 'SNOTICE\0'), ROW, DONE] }, UNKNOWN],
  ['execute: a setting without NUL', { ...ONE, execute: [message('S', 'a'), ROW, DONE] }, UNKNOWN],
  ['execute: a notification cut short', { ...ONE, execute: [message('A', int16(1)), ROW, DONE] }, UNKNOWN],
  [
    'execute: a notification that is not UTF-8',
    { ...ONE, execute: [message('A', int32(1), NOT_UTF8, '\0', NOT_UTF8, '\0'), ROW, DONE] },
    UNKNOWN,
  ],
];

/** @param {readonly import('../server').Step[]} sync @returns {readonly import('../server').Step[]} */
const afterIt = (sync) => [(conversation) => (conversation.bound.sql === HOSTILE ? sync : ['default'])];

/** Answers to Sync with a wrong ReadyForQuery, or without one. @type {readonly (readonly [string, Script, Expected, Record<string, unknown>?])[]} */
const SYNC = [
  ['sync: closes', { sync: afterIt([END]) }, UNKNOWN],
  ['sync: is silent', { sync: afterIt([HUSH]) }, GAVE_UP, { timeoutMs: 300 }],
  ['sync: not ready', { sync: afterIt([]) }, GAVE_UP, { timeoutMs: 300 }],
  ['sync: ready twice', { sync: afterIt([ready(), ready()]) }, { value: [{ a: 1 }] }],
  ['sync: ready and a row', { sync: afterIt([ready(), ROW]) }, { value: [{ a: 1 }] }],
  ['sync: ready and half a message', { sync: afterIt([ready(), cut(ROW)]) }, { value: [{ a: 1 }] }],
  ['sync: ready without a status', { sync: afterIt([message('Z')]) }, UNKNOWN],
  ['sync: ready with two', { sync: afterIt([message('Z', 'II')]) }, UNKNOWN],
  [
    'sync: ready, then an error',
    { sync: afterIt([ready(), error('57P01', 'x', 'FATAL'), END]) },
    { value: [{ a: 1 }] },
  ],
  [
    'sync: a ready too many while idle',
    { sync: afterIt([ready(), { later: 30, send: ready() }]) },
    { value: [{ a: 1 }] },
  ],
  ['sync: a row while idle', { sync: afterIt([ready(), { later: 30, send: ROW }]) }, { value: [{ a: 1 }] }],
  ['sync: rubbish while idle', { sync: afterIt([ready(), { later: 30, send: RUBBISH }]) }, { value: [{ a: 1 }] }],
];

module.exports = { HOSTILE_ONE: ONE, STATEMENTS: [...PARSE, ...BIND, ...EXECUTE], SYNC };
