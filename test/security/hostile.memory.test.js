'use strict';

// How much memory a server can make a client use, and whether it can end the client's process. Each test has a client in a process
// of its own, whose memory may not grow by more than 64 MB, whatever the server sends; the server is in the test's process.

const assert = require('node:assert/strict');
const { test, inChild } = require('../support/helpers');
const { FakeServer } = require('./hostile/server');
const { withTypes } = require('./hostile/types');
const wire = require('./hostile/wire');
const { HOSTILE, LOGIN } = require('./hostile/judge');
const { OID, dataRow, error, int16, int32, message, notice, notification, parameterStatus, ready } = wire;

/** @typedef {import('./hostile/server').Script} Script */
/** @typedef {import('./hostile/server').Statement} Statement */

/** The most memory that unwanted data may take. */
const MOST_MB = 64;
/** The most memory for values that are long in JavaScript, too, and that the client has asked for. */
const WANTED_MB = 256;
const MB = 1 << 20;

/** Many messages in one write, so that the server is not the slow side. @param {(at: number) => Buffer} make */
const bundle = (make) => (/** @type {number} */ sent) =>
  Buffer.concat(Array.from({ length: 200 }, (_, at) => make(sent * 200 + at)));

/** What the client's process does with `pool`; its answer is printed. */
const ASK = `return pool.query('${HOSTILE}', [], { timeoutMs: 2000 });`;
/** The same with more time, for answers that take a while to send. */
const PATIENTLY = `return pool.query('${HOSTILE}', [], { timeoutMs: 20_000 });`;
const COLUMNS = /** @type {import('./hostile/wire').Column[]} */ ([['a', OID.text]]);

/** @param {Statement} statement @returns {Script} */
const hostile = (statement) => ({ statements: { [HOSTILE]: statement } });

/** An array type whose elements are of another array type, without an end. @param {(oid: number) => number} next @returns {Script} */
const types = (next) => ({
  statements: withTypes({ [HOSTILE]: { columns: [['a', 100_000]], rows: [['x']] } }, (oid) => ({ element: next(oid) })),
});

/** @typedef {{ script: Script, does?: string, options?: object, mostMb?: number, says: RegExp }} Case `says`: the error's code, or `value` */
/** @type {Record<string, Case>} */
const CASES = {
  'notices for ever at the login': {
    script: { login: [wire.authentication(0), { flood: bundle(() => notice('x'.repeat(1_000))) }] },
    says: /ERR_NO_PRIMARY|57014/,
  },
  'settings for ever at the login': {
    script: {
      login: [wire.authentication(0), { flood: bundle((at) => parameterStatus(`a${at}`, 'x'.repeat(1_000))) }],
    },
    says: /ERR_NO_PRIMARY|57014/,
  },
  'a message of 2^31-1 bytes at the login, and all of them': {
    script: { startup: [wire.claiming('R', 2 ** 31 - 1, int32(0)), { flood: Buffer.alloc(MB) }] },
    says: /ERR_NO_PRIMARY|57014/,
  },
  'notices for ever under a statement': {
    script: hostile({ columns: COLUMNS, execute: [{ flood: bundle(() => notice('x'.repeat(1_000))) }] }),
    says: /57014/,
  },
  'settings for ever under a statement': {
    script: hostile({
      columns: COLUMNS,
      execute: [{ flood: bundle((at) => parameterStatus(`a${at}`, 'x'.repeat(1_000))) }],
    }),
    says: /57014|ERR_PROTOCOL|ERR_OUTCOME_UNKNOWN/,
  },
  'notifications for ever that nobody listens to': {
    script: hostile({ columns: COLUMNS, execute: [{ flood: bundle(() => notification('c', 'x'.repeat(1_000))) }] }),
    says: /57014/,
  },
  'notifications for ever on a channel that is listened to': {
    script: {
      statements: {
        'LISTEN "c"': { query: ['default', { flood: bundle(() => notification('c', 'x'.repeat(1_000))) }] },
      },
    },
    does: `let heard = 0; await pool.listen('c', () => heard++); await new Promise((go) => setTimeout(go, 2000)); return heard;`,
    says: /value/,
  },
  'settings for ever while idle': {
    script: hostile({
      columns: COLUMNS,
      execute: [
        'default',
        (conversation) => {
          setImmediate(() => conversation.socket.uncork());
          return [];
        },
        ready(),
        { flood: bundle((at) => parameterStatus(`a${at}`, 'x'.repeat(1_000))) },
      ],
    }),
    does: `await pool.query('${HOSTILE}'); await new Promise((go) => setTimeout(go, 2000)); return 1;`,
    says: /value/,
  },
  'an error of 100 MB': {
    script: hostile({ columns: COLUMNS, execute: [error('22012', 'x'.repeat(100 * MB)), { skip: true }] }),
    does: PATIENTLY,
    says: /22012|ERR_PROTOCOL|ERR_OUTCOME_UNKNOWN/,
  },
  'an error of 100 MB at the login': {
    script: { startup: [error('53300', 'x'.repeat(100 * MB), 'FATAL'), { end: true }] },
    says: /ERR_NO_PRIMARY|57014/,
  },
  'a notice of 100 MB': {
    script: hostile({ columns: COLUMNS, execute: [notice('x'.repeat(100 * MB)), 'default'] }),
    does: PATIENTLY,
    says: /value|ERR_PROTOCOL|ERR_OUTCOME_UNKNOWN/,
  },
  'a tag of 100 MB': {
    script: hostile({ columns: COLUMNS, execute: [wire.complete('x'.repeat(100 * MB))] }),
    does: PATIENTLY,
    says: /value|ERR_PROTOCOL|ERR_OUTCOME_UNKNOWN/,
  },
  'the answer to the probe is rows for ever': {
    script: { probe: [wire.rowDescription(COLUMNS), { flood: bundle(() => dataRow(['x'.repeat(1_000)])) }] },
    says: /ERR_NO_PRIMARY|57014/,
  },
  'rows for ever to whoever streams them slowly': {
    script: hostile({ columns: COLUMNS, execute: [{ flood: bundle(() => dataRow(['x'.repeat(1_000)])) }] }),
    does: `let count = 0;
      for await (const _ of pool.stream('${HOSTILE}', [], { timeoutMs: 2000 })) {
        if (++count % 100 === 0) await new Promise((go) => setTimeout(go, 50));
      }
      return count;`,
    says: /57014/,
  },
  'rows for ever, and a limit': {
    script: hostile({ columns: COLUMNS, execute: [{ flood: bundle(() => dataRow(['x'.repeat(1_000)])) }] }),
    options: { maxResultBytes: MB },
    says: /ERR_RESULT_TOO_LARGE|57014/,
  },
  'rows for ever in a script, and a limit': {
    script: hostile({ query: [wire.rowDescription(COLUMNS), { flood: bundle(() => dataRow(['x'.repeat(1_000)])) }] }),
    options: { maxResultBytes: MB },
    does: `return pool.exec('${HOSTILE}', { timeoutMs: 2000 });`,
    says: /ERR_RESULT_TOO_LARGE|57014/,
  },
  'a type of a type of a type, for ever': {
    script: types((oid) => oid + 1),
    does: PATIENTLY,
    says: /ERR_PROTOCOL|ERR_CONNECTION_LOST/,
  },
  'a type of itself': {
    script: types((oid) => oid),
    does: PATIENTLY,
    says: /ERR_PROTOCOL|ERR_CONNECTION_LOST/,
  },
  '65,535 columns': {
    script: hostile({
      columns: Array.from({ length: 65_535 }, (_, at) => /** @type {const} */ ([`c${at}`, OID.int4])),
    }),
    says: /value|ERR_|57014/,
  },
  'an array of 2^31-1 rows of nothing': {
    script: hostile({
      columns: [['a', OID.int4Array]],
      rows: [[Buffer.concat([2, 0, OID.int4, 2 ** 31 - 1, 1, 0, 1].map(int32))]],
    }),
    says: /value|ERR_DECODE/,
  },
  'a numeric of 65,535 digits, all there': {
    script: hostile({
      columns: [['a', OID.numeric]],
      rows: [[Buffer.concat([int16(65_535), int16(32_767), int16(0), int16(16_383), Buffer.alloc(131_070, 1)])]],
    }),
    says: /value|ERR_DECODE/,
  },
  'JSON of a million brackets': {
    script: hostile({ columns: [['a', OID.jsonb]], rows: [[`\x01${'['.repeat(MB)}${']'.repeat(MB)}`]] }),
    mostMb: WANTED_MB,
    says: /value|ERR_DECODE/,
  },
  'a tsquery of a million nots': {
    script: hostile({
      columns: [['a', OID.tsquery]],
      rows: [[Buffer.concat([int32(MB + 1), Buffer.alloc(2 * MB, '\x02\x01'), Buffer.from('\x01\0\0a\0')])]],
    }),
    mostMb: WANTED_MB,
    says: /value|ERR_DECODE/,
  },
  'a multirange of ten million empty ranges': {
    script: hostile({
      columns: [['a', OID.int4multirange]],
      rows: [[Buffer.concat([int32(10_000_000), Buffer.alloc(10)])]],
    }),
    says: /ERR_DECODE/,
  },
  'a message that never ends, idle': {
    script: hostile({ columns: COLUMNS, execute: ['default', ready(), message('C', 'x').subarray(0, 4)] }),
    does: `await pool.query('${HOSTILE}'); await new Promise((go) => setTimeout(go, 200)); return 1;`,
    says: /value/,
  },
};

/** Without a reset behind it a statement is sent by the stream itself, not by tokio-postgres. */
const WITHOUT_RESETS = Object.entries(CASES)
  .filter(([, { script }]) => script.statements?.[HOSTILE]?.execute !== undefined)
  .map(([name, given]) => [`${name}, without resets`, { ...given, options: { reset: 'none', ...given.options } }]);

for (const [name, { script, does = ASK, options = {}, mostMb = MOST_MB, says }] of [
  ...Object.entries(CASES),
  .../** @type {[string, Case][]} */ (WITHOUT_RESETS),
]) {
  test(`hostile server, the client's memory stays bounded: ${name}`, async (t) => {
    const server = await FakeServer.open(script);
    t.after(() => server.close());
    const code = `
      const given = { ...options, connectTimeoutMs: 2000, acquireTimeoutMs: 2500, ...${JSON.stringify(options)} };
      const warm = createPool({ ...given, hosts: ${JSON.stringify((await goodServer(t)).address)} });
      await warm.query('SELECT 1 AS one');
      await warm.end();
      const { peakMb } = require(${JSON.stringify(require.resolve('./hostile/memory'))});
      const before = peakMb();
      const pool = createPool(given);
      const ended = await (async () => {${does}})().then(() => 'value', (error) => String(error.code));
      const peak = peakMb();
      await pool.end({ timeoutMs: 100 });
      print({ ended, grownMb: peak - before });
      process.exit();`;
    const given = { hosts: [server.address], monitor: false, ...LOGIN };
    const {
      lines,
      stderr,
      signal,
      code: exit,
    } = await inChild(null, `Object.assign(options, ${JSON.stringify(given)});${code}`);
    assert.deepEqual({ signal, exit, stderr }, { signal: null, exit: 0, stderr: '' });
    const { ended, grownMb } = JSON.parse(lines[0]);
    t.diagnostic(`${ended}, ${grownMb} MB`);
    assert.match(ended, says);
    assert.ok(grownMb <= mostMb, `${grownMb} MB`);
  });
}

/** @param {import('node:test').TestContext} t */
async function goodServer(t) {
  const server = await FakeServer.open();
  t.after(() => server.close());
  return server;
}
