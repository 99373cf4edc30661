'use strict';

// Servers that answer badly to everything but single statements: COPY, scripts, transactions, LISTEN, batches, streams, cancel
// requests.

const { setTimeout: sleep } = require('node:timers/promises');
const { HOSTILE } = require('../judge');
const wire = require('../wire');
const { OID, claiming, cut, dataRow, error, int16, int32, message, ready } = wire;

/** @typedef {import('../server').Script} Script */
/** @typedef {import('../server').Step} Step */
/** @typedef {import('../judge').Expected} Expected */
/** @typedef {readonly [name: string, script: Script, work: (pool: any) => Promise<unknown>, is: Expected, options?: Record<string, unknown>]} Row */

const END = { end: true };
const HUSH = { hush: true };
/** @type {Expected} */
const UNKNOWN = { code: ['ERR_OUTCOME_UNKNOWN', 'ERR_PROTOCOL'], outcome: 'unknown' };
/** @type {Expected} */
const UNDONE = { code: ['ERR_CONNECTION_LOST', 'ERR_PROTOCOL'], outcome: 'not-applied' };
/** The same for a connection that breaks each time before the work has begun: the pool tries others. @type {Expected} */
const UNDONE_LOST = {
  code: ['ERR_CONNECTION_LOST', 'ERR_NO_PRIMARY'],
  outcome: 'not-applied',
  reason: /^(?!is a primary$)/,
};
/** The time is up, and without COMMIT nothing can have been applied. @type {Expected} */
const UNDONE_IN_TIME = { code: '57014', outcome: 'not-applied' };
const NOT_UTF8 = Buffer.from([0xc3, 0x28, 0xff]);
/** @type {import('../wire').Column[]} */
const COLUMNS = [['a', OID.int4]];
const ROWS = wire.rowDescription(COLUMNS);
const ROW = dataRow(['1']);
const DONE = wire.complete('SELECT 1');

const LOAD = 'COPY t FROM STDIN';
const UNLOAD = 'COPY t TO STDOUT';

/** @param {object} [options] @returns {(pool: any) => Promise<unknown>} */
const loads = (options) => (pool) => pool.copyFrom(LOAD, ['1\n', '2\n'], options);
/** @param {object} [options] @returns {(pool: any) => Promise<unknown>} */
const unloads = (options) => async (pool) => {
  let text = '';
  for await (const piece of pool.copyTo(UNLOAD, options)) text += piece;
  return text;
};
/** @param {object} [options] @returns {(pool: any) => Promise<unknown>} */
const runs = (options) => (pool) => pool.exec(HOSTILE, options);

/** A script whose answers differ for one statement. @param {string} sql @param {import('../server').Answers} answers @returns {Script} */
const at = (sql, answers) => ({ statements: { [sql]: answers } });

/** @type {readonly Row[]} */
const IN = [
  ['load: is not begun', at(LOAD, { execute: [END] }), loads(), UNDONE_LOST],
  ['load: a row instead', at(LOAD, { execute: [ROW, HUSH] }), loads(), UNDONE],
  ['load: complete at once', at(LOAD, { execute: [wire.complete('COPY 0')] }), loads(), UNDONE],
  ['load: sends instead', at(LOAD, { execute: [wire.copyResponse('H'), wire.copyData('x'), HUSH] }), loads(), UNDONE],
  ['load: a cut CopyInResponse', at(LOAD, { execute: [message('G', '\0'), HUSH] }), loads(), UNDONE],
  ['load: silent', at(LOAD, { execute: [HUSH] }), loads({ timeoutMs: 300 }), UNDONE_IN_TIME],
  ['load: closes under the data', at(LOAD, { copyData: [END] }), loads(), UNDONE],
  [
    'load: an error under the data',
    at(LOAD, { copyData: [error('22P02', 'bad'), { skip: true }] }),
    loads(),
    { code: '22P02' },
  ],
  ['load: an error without fields', at(LOAD, { copyDone: [message('E', '\0')] }), loads(), UNDONE],
  ['load: rows under the data', at(LOAD, { copyData: [ROW] }), loads(), UNDONE],
  ['load: silent at the end', at(LOAD, { copyDone: [HUSH] }), loads({ timeoutMs: 300 }), UNDONE_IN_TIME],
  ['load: closes at the end', at(LOAD, { copyDone: [END] }), loads(), UNDONE],
  ['load: a tag without NUL', at(LOAD, { copyDone: [message('C', 'COPY 2')] }), loads(), UNDONE],
  ['load: a tag that is not UTF-8', at(LOAD, { copyDone: [message('C', NOT_UTF8, '\0')] }), loads(), UNDONE],
  ['load: COMMIT is lost', at('COMMIT', { query: [END] }), loads(), UNKNOWN],
  [
    'load: COMMIT is answered with ROLLBACK',
    at('COMMIT', { query: [wire.complete('ROLLBACK'), ready()] }),
    loads(),
    { outcome: 'not-applied' },
  ],
];

/** @type {readonly Row[]} */
const OUT = [
  ['unload: closes', at(UNLOAD, { execute: [END] }), unloads(), UNDONE_LOST],
  ['unload: wants data instead', at(UNLOAD, { execute: [wire.copyResponse('G'), HUSH] }), unloads(), UNDONE],
  ['unload: a row instead', at(UNLOAD, { execute: [ROW, DONE] }), unloads(), UNDONE],
  [
    'unload: closes under the data',
    at(UNLOAD, { execute: [wire.copyResponse('H'), wire.copyData('1\n'), END] }),
    unloads(),
    UNDONE_LOST,
  ],
  [
    'unload: a row under the data',
    at(UNLOAD, { execute: [wire.copyResponse('H'), ROW, wire.copyDone, DONE] }),
    unloads(),
    UNDONE,
  ],
  [
    'unload: no CopyDone',
    at(UNLOAD, { execute: [wire.copyResponse('H'), wire.copyData('1\n'), wire.complete('COPY 1')] }),
    unloads(),
    UNDONE,
  ],
  ['unload: no end', at(UNLOAD, { execute: [wire.copyResponse('H'), wire.copyData('1\n')] }), unloads(), UNDONE],
  [
    'unload: an error under the data',
    at(UNLOAD, { execute: [wire.copyResponse('H'), wire.copyData('1\n'), error('XX001', 'bad page'), { skip: true }] }),
    unloads(),
    { code: 'XX001' },
  ],
  [
    'unload: silent',
    at(UNLOAD, { execute: [wire.copyResponse('H'), HUSH] }),
    unloads({ timeoutMs: 300 }),
    UNDONE_IN_TIME,
  ],
  [
    'unload: data for ever',
    at(UNLOAD, { execute: [wire.copyResponse('H'), { flood: wire.copyData('x'.repeat(1000)) }] }),
    unloads({ timeoutMs: 300 }),
    UNDONE_IN_TIME,
  ],
];

/** @type {readonly Row[]} */
const SCRIPTS = [
  ['script: closes', at(HOSTILE, { query: [END] }), runs(), UNKNOWN],
  ['script: silent', at(HOSTILE, { query: [HUSH] }), runs({ timeoutMs: 300 }), { code: '57014', outcome: 'unknown' }],
  ['script: ready and nothing else', at(HOSTILE, { query: [ready()] }), runs(), UNKNOWN],
  ['script: rows without columns', at(HOSTILE, { query: [ROW, DONE, ready()] }), runs(), UNKNOWN],
  ['script: too few values', at(HOSTILE, { query: [ROWS, dataRow([]), DONE, ready()] }), runs(), UNKNOWN],
  ['script: too many values', at(HOSTILE, { query: [ROWS, dataRow(['1', '2']), DONE, ready()] }), runs(), UNKNOWN],
  ['script: no end', at(HOSTILE, { query: [ROWS, ROW, ready()] }), runs(), UNKNOWN],
  ['script: columns twice', at(HOSTILE, { query: [ROWS, ROWS, ROW, DONE, ready()] }), runs(), UNKNOWN],
  [
    'script: columns cut short',
    at(HOSTILE, { query: [message('T', int16(2), 'a\0'), DONE, ready()] }),
    runs(),
    UNKNOWN,
  ],
  [
    'script: a value that is none',
    at(HOSTILE, { query: [ROWS, dataRow(['one']), DONE, ready()] }),
    runs(),
    { code: 'ERR_DECODE', outcome: 'applied' },
  ],
  [
    'script: a value that is not UTF-8',
    at(HOSTILE, { query: [ROWS, dataRow([NOT_UTF8]), DONE, ready()] }),
    runs(),
    { code: 'ERR_DECODE', outcome: 'applied' },
  ],
  ['script: a tag that is not UTF-8', at(HOSTILE, { query: [message('C', NOT_UTF8, '\0'), ready()] }), runs(), UNKNOWN],
  ['script: a status that is none', at(HOSTILE, { query: [wire.complete('DO'), ready('?')] }), runs(), UNKNOWN],
  ['script: ready without a status', at(HOSTILE, { query: [wire.complete('DO'), message('Z')] }), runs(), UNKNOWN],
  [
    'script: ready of 2^31-1 bytes',
    at(HOSTILE, { query: [wire.complete('DO'), claiming('Z', 2 ** 31 - 1, 'I'), HUSH] }),
    runs(),
    UNKNOWN,
  ],
  [
    'script: wants data',
    at(HOSTILE, { query: [wire.copyResponse('G'), HUSH] }),
    runs(),
    { code: 'ERR_COPY_IN_SCRIPT' },
  ],
  ['script: an unknown type', at(HOSTILE, { query: [message('?'), HUSH] }), runs(), UNKNOWN],
  ['script: a reply to Parse', at(HOSTILE, { query: [wire.parseComplete, ready()] }), runs(), UNKNOWN],
];

const INSERT = 'INSERT INTO t VALUES (1)';
/** @returns {(pool: any) => Promise<unknown>} */
const transacts = () => (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(INSERT));

/** @type {readonly Row[]} */
const TRANSACTIONS = [
  [
    'transaction: BEGIN is rubbish',
    at('BEGIN', { query: [message('?'), HUSH] }),
    transacts(),
    { outcome: 'not-applied', connections: 40 },
  ],
  [
    'transaction: BEGIN is lost',
    at('BEGIN', { query: [END] }),
    transacts(),
    { outcome: 'not-applied', connections: 40 },
  ],
  ['transaction: BEGIN has no end', at('BEGIN', { query: [ready('T')] }), transacts(), { outcome: 'not-applied' }],
  [
    'transaction: BEGIN begins nothing',
    at('BEGIN', { query: [wire.complete('BEGIN'), ready('I')] }),
    transacts(),
    { outcome: 'not-applied' },
  ],
  ['transaction: its statement is lost', at(INSERT, { execute: [END] }), transacts(), UNDONE],
  ['transaction: its statement is rubbish', at(INSERT, { execute: [message('?')] }), transacts(), UNDONE],
  ['transaction: COMMIT is lost', at('COMMIT', { query: [END] }), transacts(), UNKNOWN],
  ['transaction: COMMIT is rubbish', at('COMMIT', { query: [message('?')] }), transacts(), UNKNOWN],
  ['transaction: COMMIT of a length of -1', at('COMMIT', { query: [claiming('C', -1)] }), transacts(), UNKNOWN],
  ['transaction: COMMIT without a tag', at('COMMIT', { query: [ready()] }), transacts(), UNKNOWN],
  [
    'transaction: COMMIT is answered with ROLLBACK',
    at('COMMIT', { query: [wire.complete('ROLLBACK'), ready()] }),
    transacts(),
    { outcome: 'not-applied' },
  ],
  [
    'transaction: COMMIT leaves it open',
    at('COMMIT', { query: [wire.complete('COMMIT'), ready('T')] }),
    transacts(),
    { outcome: 'unknown' },
  ],
  ['transaction: COMMIT wants data', at('COMMIT', { query: [wire.copyResponse('G'), HUSH] }), transacts(), UNKNOWN],
  [
    'transaction: COMMIT fails without fields',
    at('COMMIT', { query: [message('E', '\0'), ready()] }),
    transacts(),
    UNKNOWN,
  ],
  [
    'transaction: COMMIT fails',
    at('COMMIT', { query: [error('40001', 'x'), ready()] }),
    transacts(),
    { code: '40001', outcome: 'not-applied' },
  ],
];

const FAILS = error('22012', 'division by zero');
/** @param {readonly Step[]} query @returns {Script} */
const undoes = (query) => ({ statements: { [INSERT]: { execute: [FAILS, { skip: true }] }, ROLLBACK: { query } } });
/** @param {object} [options] @returns {(pool: any) => Promise<unknown>} */
const limited = (options) => (pool) =>
  pool.transaction((/** @type {any} */ tx) => tx.query(INSERT), { timeoutMs: 300, ...options });
/** The error of the statement counts, whatever becomes of ROLLBACK. @type {Expected} */
const ITS_OWN = { code: '22012', outcome: 'not-applied' };

/** @type {readonly Row[]} */
const ROLLBACKS = [
  ['rollback: is lost', undoes([END]), limited(), ITS_OWN],
  ['rollback: is silent', undoes([HUSH]), limited(), ITS_OWN],
  ['rollback: is not ready', undoes([wire.complete('ROLLBACK')]), limited(), ITS_OWN],
  ['rollback: is rubbish', undoes([message('?')]), limited(), ITS_OWN],
  ['rollback: fails', undoes([error('XX000', 'x'), ready()]), limited(), ITS_OWN],
  [
    'rollback: asked for, and silent',
    undoes([HUSH]),
    async (pool) => {
      const tx = await pool.begin({ timeoutMs: 300 });
      await tx.query(INSERT).catch(() => {});
      await tx.rollback();
      return 'over';
    },
    { value: 'over' },
  ],
  [
    'rollback: of a statement that was given up, and silent',
    { statements: { [INSERT]: { execute: [HUSH] } } },
    (pool) => pool.transaction((/** @type {any} */ tx) => tx.query(INSERT, [], { timeoutMs: 300 })),
    { code: '57014', outcome: 'not-applied' },
  ],
];

const LISTEN = 'LISTEN "c"';
/** @returns {(pool: any) => Promise<unknown>} */
const listens = () => async (pool) => {
  await pool.listen('c', () => {});
  return 'listens';
};
/** Listens, and returns the first payload that arrives within this time. @param {number} ms @returns {(pool: any) => Promise<unknown>} */
const hears = (ms) => async (pool) => {
  /** @type {string[]} */
  const heard = [];
  await pool.listen('c', (/** @type {string} */ payload) => heard.push(payload));
  await sleep(ms);
  return heard.length > 0 ? heard[0] : 'nothing';
};
/** The expected error of a listen() that never succeeds. */
const NO_LISTENER = { code: ['ERR_NO_PRIMARY', 'ERR_PROTOCOL', 'ERR_CONNECTION_LOST'], outcome: 'not-applied' };
/** @param {...Step} steps @returns {Script} */
const afterListen = (...steps) => at(LISTEN, { query: ['default', ...steps] });

/** @type {readonly Row[]} */
const LISTENING = [
  ['listen: closes', at(LISTEN, { query: [END] }), listens(), NO_LISTENER],
  ['listen: silent', at(LISTEN, { query: [HUSH] }), listens(), NO_LISTENER],
  ['listen: rubbish', at(LISTEN, { query: [message('?'), HUSH] }), listens(), NO_LISTENER],
  ['listen: an error without fields', at(LISTEN, { query: [message('E', '\0'), ready()] }), listens(), NO_LISTENER],
  ['listen: another channel', afterListen(wire.notification('other', 'x')), hears(100), { value: 'nothing' }],
  ['listen: a good notification', afterListen(wire.notification('c', 'x')), hears(100), { value: 'x' }],
  [
    'listen: before it is confirmed',
    at(LISTEN, { query: [wire.notification('c', 'x'), 'default'] }),
    hears(100),
    { value: 'x' },
  ],
  [
    'listen: a payload that is not UTF-8',
    afterListen(message('A', int32(1), 'c\0', NOT_UTF8, '\0')),
    hears(1000),
    { value: 'nothing' },
  ],
  ['listen: a notification cut short', afterListen(message('A', int32(1), 'c\0')), hears(1000), { value: 'nothing' }],
  ['listen: a ready too many', afterListen(ready()), hears(1000), { value: 'nothing' }],
  ['listen: rubbish later', afterListen({ later: 20, send: message('?') }), hears(1000), { value: 'nothing' }],
  ['listen: half a message', afterListen(cut(wire.notification('c', 'x'))), hears(1000), { value: 'nothing' }],
];

const FIRST = 'SELECT first';
/** @returns {(pool: any) => Promise<unknown>} */
const batches = () => async (pool) => {
  const results = await pool.batch([FIRST, HOSTILE, 'SELECT last']);
  const failed = results.find((/** @type {any} */ result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.length;
};
/** @param {object} [options] @returns {(pool: any) => Promise<unknown>} */
const streams = (options) => async (pool) => {
  let count = 0;
  for await (const _ of pool.stream(HOSTILE, [], options)) count++;
  return count;
};
/** Wrong the first time, then right. @param {...Step} steps @returns {readonly Step[]} */
const once = (...steps) => {
  let times = 0;
  return [() => (++times === 1 ? steps : ['default'])];
};
const COUNT = { columns: COLUMNS, rows: [[int32(1)]] };
/** @param {readonly Step[]} execute @returns {Script} */
const rows = (execute) => ({ statements: { [HOSTILE]: { ...COUNT, execute } } });
const CELL = dataRow([int32(1)]);

/** @type {readonly Row[]} */
const OTHERS = [
  ['batch: its second is lost', rows([END]), batches(), UNKNOWN],
  ['batch: its second is rubbish', rows([message('?')]), batches(), UNKNOWN],
  ['batch: its second has a bad row', rows([dataRow([]), DONE]), batches(), UNKNOWN],
  ['stream: breaks', rows([CELL, CELL, END]), streams(), UNKNOWN],
  ['stream: rubbish', rows([CELL, message('?')]), streams(), UNKNOWN],
  ['stream: a length of -1', rows([CELL, claiming('D', -1)]), streams(), UNKNOWN],
  ['stream: silent', rows([CELL, HUSH]), streams({ timeoutMs: 300 }), { code: '57014', outcome: 'unknown' }],
  [
    'cancel: is not taken',
    { ...rows([HUSH]), cancel: [{ reset: true }] },
    (pool) => pool.query(HOSTILE, [], { timeoutMs: 300 }),
    { code: '57014', outcome: 'unknown' },
  ],
  [
    'cancel: is never over',
    { ...rows([HUSH]), cancel: [HUSH] },
    (pool) => pool.query(HOSTILE, [], { timeoutMs: 300 }),
    { code: '57014', outcome: 'unknown' },
  ],
  [
    'cancel: is answered for ever',
    { ...rows([HUSH]), cancel: [{ flood: Buffer.alloc(1000) }] },
    (pool) => pool.query(HOSTILE, [], { timeoutMs: 300 }),
    { code: '57014', outcome: 'unknown' },
  ],
  [
    'close: a statement is never closed',
    { close: once(HUSH) },
    async (pool) => {
      for (let at = 0; at < 5; at++) await pool.query(`SELECT ${at}`, [], { timeoutMs: 300 }).catch(() => {});
      return 'done';
    },
    { value: 'done' },
    { statementCacheSize: 1 },
  ],
  [
    'close: rubbish',
    { close: once(message('?')) },
    async (pool) => {
      for (let at = 0; at < 5; at++) await pool.query(`SELECT ${at}`).catch(() => {});
      return 'done';
    },
    { value: 'done' },
    { statementCacheSize: 1 },
  ],
];

module.exports = { PROTOCOLS: [...IN, ...OUT, ...SCRIPTS, ...TRANSACTIONS, ...ROLLBACKS, ...LISTENING, ...OTHERS] };
