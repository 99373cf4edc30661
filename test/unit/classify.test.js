'use strict';

// What isRetryable, isTransient, isConnectionError, isConstraintViolation and sqlState say of errors, as a table: of this package's,
// of node-postgres', of Node's, and of values that are no errors. Errors of real servers are in test/server/classify.test.js.

const assert = require('node:assert/strict');
const net = require('node:net');
const { describe } = require('node:test');
const vm = require('node:vm');
const { Client, DatabaseError: PgError, Pool: PgPool } = require('pg');
const client = require('../../client.js');
const { NAMES } = require('../../lib/values/sqlstates.js');
const { failureOf, test } = require('../support/helpers.js');

const { isConnectionError, isConstraintViolation, isRetryable, isTransient, sqlState } = client;

/** The answers as letters: R retryable, T transient, C connection, V constraint violation. @param {any} error */
const answers = (error) =>
  [
    isRetryable(error) ? 'R' : '-',
    isTransient(error) ? 'T' : '-',
    isConnectionError(error) ? 'C' : '-',
    isConstraintViolation(error) ? 'V' : '-',
  ].join('');

/** An error of node-postgres, with what the server has sent. @param {string} code @param {object} [fields] */
const ofPg = (code, fields) =>
  Object.assign(new PgError('refused', 1, 'error'), { code, severity: 'ERROR', ...fields });
/** An error of Node. @param {string} code @param {string} [syscall] */
const ofNode = (code, syscall) =>
  Object.assign(new Error(`${syscall ?? ''} ${code}`), { code, ...(syscall ? { syscall } : {}) });
/** An error of this package. @param {string} code @param {object} [fields] */
const ofOurs = (code, fields) => Object.assign(new client.HyperionError('failed', code), fields);

describe('errors with a SQLSTATE, of node-postgres', () => {
  for (const [code, expected, why] of [
    ['08000', '-TC-', 'the class is about connections, and the statement may have run'],
    ['08001', 'RTC-', 'no connection was made'],
    ['08003', '-TC-', 'the class'],
    ['08004', 'RTC-', 'the server refused the session'],
    ['08006', '-TC-', 'the connection broke, and the statement may have run'],
    ['08007', '-TC-', 'transaction_resolution_unknown'],
    ['08P01', '----', 'a wrong number of parameters'],
    ['22P02', '----', 'a mistake'],
    ['23000', '---V', 'a constraint'],
    ['23505', '---V', 'a constraint'],
    ['23Z99', '---V', 'a class is known by its first two characters'],
    ['25006', '----', 'nobody knows whether the caller or a standby is read-only'],
    ['25P02', '----', 'an earlier statement has failed'],
    ['25P03', '-T--', 'a timeout'],
    ['25P04', '-T--', 'a timeout'],
    ['28P01', '----', 'a wrong password stays wrong'],
    ['3D000', '----', 'no such database'],
    ['40000', '-T--', 'rolled back for a reason that is not said'],
    ['40001', 'RT--', 'rolled back'],
    ['40002', '----', 'a constraint at COMMIT stays violated'],
    ['40003', '-T--', 'statement_completion_unknown'],
    ['40P01', 'RT--', 'rolled back'],
    ['42601', '----', 'a mistake'],
    ['44000', '----', 'not of class 23'],
    ['53100', '-T--', 'the disk is full'],
    ['53200', '-T--', 'out of memory'],
    ['53300', 'RTC-', 'no session was had'],
    ['55000', '----', 'mostly a mistake'],
    ['55006', '-T--', 'others use the object'],
    ['55P03', 'RT--', 'the lock was not had, and the statement is undone'],
    ['57014', '-T--', 'cancelled by a timeout or a person'],
    ['57P01', '-TC-', 'the statement may have committed'],
    ['57P02', '-TC-', 'the statement may have committed'],
    ['57P03', 'RTC-', 'the server is starting'],
    ['57P04', '--C-', 'the database does not come back'],
    ['57P05', 'RTC-', 'the session had ended before the statement came'],
    ['58030', '-T--', 'an I/O error'],
    ['58P01', '----', 'a missing file'],
    ['72000', '-T--', 'a new transaction has a new snapshot'],
    ['HV00N', '----', 'a foreign server'],
    ['P0001', '----', 'RAISE'],
    ['XX000', '----', 'a bug'],
  ]) {
    test(`${code} of pg is ${expected}: ${why}`, () => assert.equal(answers(ofPg(code)), expected));
  }

  test('08P01 that ends the session is of a pooler: a lost connection', () => {
    assert.equal(answers(ofPg('08P01', { severity: 'FATAL' })), '-TC-');
  });

  test('every SQLSTATE that is retryable is transient, and none of the outcome unknown is retryable', () => {
    for (const code of NAMES.keys()) {
      const given = answers(ofPg(code));
      assert.ok(!given.startsWith('R-'), code);
    }
    const retryable = [...NAMES.keys()].filter((code) => isRetryable(ofPg(code))).sort();
    assert.deepEqual(retryable, ['08001', '08004', '40001', '40P01', '53300', '55P03', '57P03', '57P05']);
  });
});

describe('errors of Node', () => {
  for (const [code, syscall, expected] of [
    ['ECONNREFUSED', 'connect', 'RTC-'],
    ['ENOTFOUND', 'getaddrinfo', 'RTC-'],
    ['EAI_AGAIN', 'getaddrinfo', 'RTC-'],
    ['EAI_FAIL', 'getaddrinfo', '--C-'],
    ['ETIMEDOUT', 'connect', 'RTC-'],
    ['ETIMEDOUT', 'read', '-TC-'],
    ['ECONNRESET', 'connect', 'RTC-'],
    ['ECONNRESET', 'read', '-TC-'],
    ['ECONNRESET', undefined, '-TC-'],
    ['EPIPE', 'write', '-TC-'],
    ['EPIPE', undefined, '-TC-'],
    ['EHOSTUNREACH', 'connect', 'RTC-'],
    ['EHOSTUNREACH', 'read', '-TC-'],
    ['ENOENT', 'connect', 'RTC-'],
    ['ENOENT', 'open', '----'],
    ['EMFILE', 'connect', 'RTC-'],
    ['EMFILE', 'open', '----'],
    ['EACCES', 'connect', '--C-'],
    ['EACCES', 'open', '----'],
    ['SELF_SIGNED_CERT_IN_CHAIN', undefined, '--C-'],
    ['CERT_HAS_EXPIRED', undefined, '--C-'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', undefined, '--C-'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', undefined, '--C-'],
    ['ERR_INVALID_ARG_TYPE', undefined, '----'],
  ]) {
    test(`${code} in ${syscall ?? 'no call'} is ${expected}`, () =>
      assert.equal(answers(ofNode(/** @type {string} */ (code), syscall)), expected));
  }

  test('a real AggregateError of a host with two addresses is what its errors are', async () => {
    const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    const socket = net.connect({
      host: 'two.invalid',
      port: 1,
      autoSelectFamily: true,
      lookup: (_host, _options, done) => done(null, addresses),
    });
    const error = await new Promise((resolve) => socket.on('error', resolve));
    assert.equal(error.name, 'AggregateError');
    assert.equal(answers(error), 'RTC-');
  });
});

describe('errors of node-postgres without a code', () => {
  for (const [message, expected] of [
    ['Connection terminated unexpectedly', '-TC-'],
    ['Connection terminated', '--C-'],
    ['Connection terminated due to connection timeout', 'RTC-'],
    ['timeout exceeded when trying to connect', 'RT--'],
    ['timeout expired', '-TC-'],
    ['Query read timeout', '-T--'],
    ['Client has encountered a connection error and is not queryable', '-TC-'],
    ['Client was closed and is not queryable', '----'],
    ['The server does not support SSL connections', '--C-'],
    ['There was an error establishing an SSL connection', '--C-'],
    ['Cannot use a pool after calling end on the pool', '----'],
    ['connection terminated unexpectedly, they say', '----'],
  ]) {
    test(`'${message}' is ${expected}`, () => assert.equal(answers(new Error(message)), expected));
  }

  test('a message counts only where there is no code', () => {
    assert.equal(answers(Object.assign(new Error('Query read timeout'), { code: 'OTHER' })), '----');
  });

  /** A server that does `what` with each connection. @param {import('node:test').TestContext} t @param {(socket: net.Socket) => void} what */
  async function serverThat(t, what) {
    /** @type {net.Socket[]} */
    const sockets = [];
    const server = net.createServer((socket) => {
      sockets.push(socket.on('error', () => {}));
      what(socket);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const { port } = /** @type {net.AddressInfo} */ (server.address());
    return { host: '127.0.0.1', port, user: 'u', password: 'p', database: 'd' };
  }

  /** @param {object} options */
  const connecting = (options) => failureOf(new Client(options).on('error', () => {}).connect());

  test('pg before a silent server: the timeout of a client, of a new client of a pool, and of a full pool', async (t) => {
    const options = await serverThat(t, () => {});
    const limited = { ...options, connectionTimeoutMillis: 100 };
    const alone = await connecting(limited);
    assert.deepEqual([alone.message, answers(alone)], ['timeout expired', '-TC-']);
    const pool = new PgPool({ ...limited, max: 1 });
    t.after(() => pool.end());
    const [first, second] = await Promise.all([failureOf(pool.query('SELECT 1')), failureOf(pool.query('SELECT 1'))]);
    assert.deepEqual([first.message, answers(first)], ['Connection terminated due to connection timeout', 'RTC-']);
    assert.deepEqual([second.message, answers(second)], ['timeout exceeded when trying to connect', 'RT--']);
  });

  test('pg before a server that closes, and before one without TLS', async (t) => {
    const closing = await connecting(await serverThat(t, (socket) => socket.end()));
    assert.deepEqual([closing.message, answers(closing)], ['Connection terminated unexpectedly', '-TC-']);
    const options = await serverThat(t, (socket) => socket.once('data', () => socket.write('N')));
    const plain = await connecting({ ...options, ssl: true });
    assert.deepEqual([plain.message, answers(plain)], ['The server does not support SSL connections', '--C-']);
  });

  test('pg without a server, without such a host, and without a socket file', async () => {
    const login = { user: 'u', password: 'p', database: 'd', port: 1 };
    for (const host of ['127.0.0.1', 'nothing.invalid', '/nowhere/at/all']) {
      assert.equal(answers(await connecting({ ...login, host })), 'RTC-', host);
    }
  });
});

describe('errors of this package', () => {
  for (const [code, fields, expected] of /** @type {[string, object, string][]} */ ([
    ['ERR_NO_PRIMARY', { retryable: true }, 'RTC-'],
    ['ERR_NO_STANDBY', { retryable: true }, 'RTC-'],
    ['ERR_NO_STANDBY', { retryable: false }, '-TC-'],
    ['ERR_ACQUIRE_TIMEOUT', { retryable: true }, 'RT--'],
    ['ERR_CONNECTION_LOST', { retryable: true, outcome: 'not-applied' }, 'RTC-'],
    ['ERR_OUTCOME_UNKNOWN', { retryable: false, outcome: 'unknown' }, '-TC-'],
    ['ERR_HEARTBEAT', { retryable: true, outcome: 'not-applied' }, 'RTC-'],
    ['ERR_LEASE_POOLER', {}, '--C-'],
    ['ERR_TLS', {}, '--C-'],
    ['ERR_AUTH', {}, '--C-'],
    ['ERR_PROTOCOL', {}, '--C-'],
    ['ERR_PASSWORD', {}, '----'],
    ['ERR_POOL_CLOSED', {}, '----'],
    ['ERR_INVALID_PARAM', {}, '----'],
    ['ERR_INTERNAL', {}, '----'],
    ['ABORT_ERR', {}, '----'],
    ['25006', { retryable: true, outcome: 'not-applied' }, 'RT--'],
    ['25006', { retryable: false, outcome: 'not-applied' }, '----'],
    ['40001', { retryable: true, outcome: 'not-applied' }, 'RT--'],
    ['40001', { retryable: false, outcome: 'applied' }, '-T--'],
    ['57P01', { retryable: true, outcome: 'not-applied' }, 'RTC-'],
    ['57P01', { retryable: false, outcome: 'unknown' }, '-TC-'],
    ['57014', { retryable: false, outcome: 'not-applied' }, '-T--'],
    ['23505', { retryable: false, outcome: 'not-applied' }, '---V'],
  ])) {
    test(`${code} of ours with ${JSON.stringify(fields)} is ${expected}`, () =>
      assert.equal(answers(ofOurs(code, fields)), expected));
  }

  test('the cause of an error of ours is not asked', () => {
    const cause = ofPg('40001');
    assert.equal(answers(Object.assign(ofOurs('ABORT_ERR'), { cause })), '----');
    assert.equal(answers(new client.ParameterError('wrong', { cause })), '----');
  });

  test('an error of another copy of the package says itself whether it is retryable', () => {
    const copy = (/** @type {string} */ code, /** @type {object} */ fields) => ({ code, ...fields });
    assert.equal(answers(copy('ERR_NO_PRIMARY', { retryable: true })), 'RTC-');
    assert.equal(answers(copy('ERR_CONNECTION_LOST', { retryable: true })), 'RTC-');
    assert.equal(answers(copy('ERR_CONNECTION_LOST', { retryable: false })), '-TC-');
    assert.equal(answers(copy('ERR_NO_PRIMARY', {})), '-TC-', 'it does not say so');
    assert.equal(answers(copy('40001', { retryable: false, outcome: 'applied' })), '-T--');
    assert.equal(
      answers(copy('57P01', { retryable: true, outcome: 'not-applied' })),
      '-TC-',
      'this is for the copy to say',
    );
  });
});

describe('errors in errors', () => {
  const wrapped = (/** @type {unknown} */ cause, /** @type {object} */ fields = {}) =>
    Object.assign(new Error('could not save', { cause }), fields);

  for (const [title, error, expected] of /** @type {[string, unknown, string][]} */ ([
    ['a cause', wrapped(ofPg('40001')), 'RT--'],
    ['a cause of ours', wrapped(ofOurs('57P01', { retryable: true, outcome: 'not-applied' })), 'RTC-'],
    ['a cause of a cause', wrapped(wrapped(ofPg('23505'))), '---V'],
    ['a cause under a code of an application', wrapped(ofPg('23505'), { code: 'E_SAVE' }), '---V'],
    ['a cause under a code in the form of a SQLSTATE', wrapped(ofPg('40001'), { code: 'P2034' }), 'RT--'],
    ['a code that is known wins over the cause', wrapped(ofPg('40001'), { code: '23505' }), '---V'],
    [
      'a message that is known wins over the cause',
      wrapped(ofPg('40001', {}), { message: 'Query read timeout' }),
      '-T--',
    ],
    ['a wrapper that refuses', wrapped(ofPg('40001'), { retryable: false }), '-T--'],
    ['a wrapper that does not know the outcome', wrapped(ofPg('40001'), { outcome: 'unknown' }), '-T--'],
    [
      'an abort for the reason of other work',
      wrapped(ofPg('40001'), { name: 'AbortError', code: 'ABORT_ERR' }),
      '----',
    ],
    ['an abort that is known by its name', wrapped(ofPg('40001'), { name: 'AbortError', code: 20 }), '----'],
    ['an AbortError of the platform', AbortSignal.abort().reason, '----'],
    ['a string as the cause', wrapped('40001'), '----'],
    ['an AggregateError of one kind', new AggregateError([ofPg('40001'), ofPg('40P01')]), 'RT--'],
    ['an AggregateError of two kinds', new AggregateError([ofPg('40001'), ofPg('23505')]), '----'],
    ['an AggregateError with an unknown one', new AggregateError([ofPg('40001'), new Error('x')]), '----'],
    ['an AggregateError with the same error twice', new AggregateError(Array(2).fill(ofPg('40001'))), 'RT--'],
    ['an AggregateError of constraints', new AggregateError([ofPg('23503'), ofPg('23505')]), '---V'],
    ['an empty AggregateError', new AggregateError([]), '----'],
    ['an AggregateError as the cause', wrapped(new AggregateError([ofNode('ECONNREFUSED', 'connect')])), 'RTC-'],
    ['`errors` of a validator', Object.assign(new Error('x'), { errors: [ofPg('40001')] }), '----'],
  ])) {
    test(`${title} is ${expected}`, () => assert.equal(answers(error), expected));
  }

  test('an error of another realm counts, as in a test runner that has a global object of its own', () => {
    const foreign = vm.runInNewContext("Object.assign(new Error('x'), { code: '40001' })");
    assert.equal(foreign instanceof Error, false);
    assert.equal(answers(foreign), 'RT--');
    const aggregate = vm.runInNewContext('new AggregateError(errors)', { errors: [ofPg('40001')] });
    assert.equal(answers(aggregate), 'RT--');
  });

  test('a chain of causes without an end is given up', () => {
    const loop = new Error('loop');
    loop.cause = loop;
    assert.equal(answers(loop), '----');
    const endless = {
      get cause() {
        return Object.create(endless);
      },
    };
    assert.equal(answers(endless), '----');
    /** @type {any} */
    const bush = new AggregateError([]);
    bush.errors = Array(50).fill(new AggregateError(Array(50).fill(bush)));
    assert.equal(answers(bush), '----');
  });
});

describe('values that are no errors', () => {
  const { proxy: revoked, revoke } = Proxy.revocable({}, {});
  revoke();
  const thrower = {
    get code() {
      throw new Error('no');
    },
  };
  for (const [title, value] of /** @type {[string, unknown][]} */ ([
    ['undefined', undefined],
    ['null', null],
    ['a string', '40001'],
    ['a number', 40001],
    ['a symbol', Symbol('40001')],
    ['a function', () => {}],
    ['an empty object', {}],
    ['an array', [ofPg('40001')]],
    ['a number as the code', { code: 40001 }],
    ['a symbol as the code', { code: Symbol('x') }],
    ['a code that objects have', { code: 'constructor' }],
    ['a message that objects have', { message: '__proto__' }],
    ['a code in lower case', { code: '40p01' }],
    ['an object without a prototype', Object.create(null)],
    ['a getter that throws', thrower],
    ['a revoked proxy', revoked],
    ['an error of ours with a code that is none', ofOurs(/** @type {any} */ (undefined))],
  ])) {
    test(`${title} is nothing, and no function throws`, () => {
      assert.equal(answers(value), '----');
      assert.equal(sqlState(value), undefined);
      assert.equal(isConstraintViolation(value, 'unique'), false);
    });
  }

  test('an error that was sent as JSON counts by its code', () => {
    assert.equal(answers(JSON.parse('{ "code": "40001" }')), 'RT--');
  });
});

describe('isConstraintViolation', () => {
  /** @type {Record<string, string[]>} */
  const kinds = {
    unique: ['23505'],
    foreign_key: ['23503', '23001'],
    not_null: ['23502'],
    check: ['23514'],
    exclusion: ['23P01'],
  };
  const codes = [...NAMES.keys()].filter((code) => code.startsWith('23'));

  for (const [kind, expected] of Object.entries(kinds)) {
    test(`isConstraintViolation of kind ${kind} is true for ${expected}`, () => {
      const found = codes.filter((code) => isConstraintViolation(ofPg(code, { constraint: 'c' }), kind));
      assert.deepEqual(found.sort(), [...expected].sort());
      assert.equal(isConstraintViolation(ofOurs(expected[0], { constraint: 'c' }), kind), true);
    });
  }

  test('23001 without a constraint is no foreign key: extensions use the code for other things', () => {
    assert.equal(isConstraintViolation(ofPg('23001'), 'foreign_key'), false);
    assert.equal(isConstraintViolation(ofPg('23001')), true);
  });

  test('an unknown kind is a ParameterError that names it, also for what is no violation', () => {
    for (const [kind, given] of /** @type {[unknown, string][]} */ ([
      ['uniqe', "'uniqe'"],
      ['constructor', "'constructor'"],
      [null, 'null'],
      [5, 'number'],
    ])) {
      assert.throws(() => isConstraintViolation(undefined, /** @type {any} */ (kind)), {
        name: 'ParameterError',
        code: 'ERR_INVALID_PARAM',
        message: `kind must be one of 'unique', 'foreign_key', 'not_null', 'check', 'exclusion', not ${given}`,
      });
    }
  });
});
