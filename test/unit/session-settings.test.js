'use strict';

// Session settings that createPool refuses, in the option `options` and in the text for the server's command line.

const assert = require('node:assert/strict');
const { parseOptions } = require('../../lib/options/options.js');
const { RULES } = require('../../lib/options/session-settings.js');
const { test } = require('../support/helpers');

const ENV = { PGHOST: 'h', PGUSER: 'u' };

// setting, values that are refused, values that are allowed, what the message says
const TABLE = /** @type {[string, unknown[], unknown[], RegExp][]} */ ([
  [
    'client_encoding',
    ['LATIN1', 'SQL_ASCII', 'UTF16', ''],
    ['UTF8', 'utf-8', 'Unicode', 'auto'],
    /but UTF8\).*SQL_ASCII/,
  ],
  ['application_name', ['mine', ''], [], /use the option applicationName/],
  ['DateStyle', ['German', 'SQL, DMY', 'postgres', 'dmy,SQL'], ['ISO', 'iso, ymd', 'DMY'], /but ISO.*to_char/],
  ['standard_conforming_strings', ['off', false, 0, 'F', ' no '], ['on', true, 1], /but on\).*E'/],
  ['array_nulls', ['off', false], [true], /but on\).*NULL/],
  ['client_min_messages', ['error', 'ERROR', 'panic'], ['warning', 'notice', 'debug5'], /but warning and lower/],
  ['exit_on_error', ['on', true, 't'], ['off', false], /but off/],
  ['default_transaction_read_only', ['on', true, 'off', false], [], /fence/],
  ['session_authorization', ['other'], [], /role/],
  ['seed', [0.5], [], /setseed/],
  ['transaction_isolation', ['serializable'], [], /use default_transaction_isolation/],
  ['transaction_deferrable', ['on'], [], /use default_transaction_deferrable/],
  ['transaction_read_only', ['on', 'off'], [], /readOnly of transactions/],
]);

const OTHERS = /** @type {[string, RegExp][]} */ ([
  ['user', /not a setting of a session: use the option user$/],
  ['database', /use the option database$/],
  ['dbname', /use the option database$/],
  ['host', /use the option hosts$/],
  ['port', /use the option port$/],
  ['password', /use the option password$/],
  ['sslmode', /use the option ssl\.mode$/],
  ['replication', /a pool does not replicate$/],
  ['options', /it stands in a connection string$/],
  ['_pq_.command', /it belongs to the protocol$/],
]);

/** The setting in each form that a command line of the server has. @param {string} name @param {unknown} value */
function forms(name, value) {
  const escaped = String(value).replaceAll(/[\\\s]/g, '\\$&');
  const dashed = name.replaceAll('_', '-');
  return [`-c ${name}=${escaped}`, `-c${dashed}=${escaped}`, `-c work_mem=1MB  --${dashed}=${escaped} -c geqo=off`];
}

test('session settings: the table of this test has every rule', () => {
  assert.deepEqual(
    TABLE.map(([name]) => name.toLowerCase()),
    Object.keys(RULES).map((name) => name.toLowerCase()),
  );
});

test('session settings: what would be ignored or would break the client is refused by name, in any spelling', () => {
  for (const [name, refused, allowed, message] of TABLE) {
    for (const spelled of [name, name.toLowerCase(), name.toUpperCase()]) {
      for (const value of refused) {
        const what = `${spelled} ${value}`;
        const given = { options: { work_mem: '1MB', [spelled]: value } };
        assert.throws(() => parseOptions(given, ENV), { code: 'ERR_INVALID_OPTION', message }, what);
        assert.throws(
          () => parseOptions(given, ENV),
          { message: new RegExp(`^options\\.${spelled} is not supported`) },
          what,
        );
        for (const text of forms(spelled, value)) {
          const env = { ...ENV, PGOPTIONS: text };
          assert.throws(() => parseOptions({}, env), { code: 'ERR_INVALID_OPTION', message }, text);
          assert.throws(
            () => parseOptions({}, env),
            { message: new RegExp(`^PGOPTIONS: ${spelled} is not supported`) },
            text,
          );
        }
      }
      for (const value of allowed) {
        const { options } = parseOptions({ options: { [spelled]: value } }, ENV);
        // The startup packet has UTF-8 in any case.
        assert.deepEqual(options, name === 'client_encoding' ? {} : { [spelled]: String(value) });
        for (const text of forms(spelled, value)) {
          assert.equal(parseOptions({}, { ...ENV, PGOPTIONS: text }).startupOptions, text);
        }
      }
    }
  }
});

test('session settings: names that are not settings say which option is meant', () => {
  for (const [name, message] of OTHERS) {
    assert.throws(() => parseOptions({ options: { [name]: 'x' } }, ENV), { code: 'ERR_INVALID_OPTION', message });
    assert.throws(() => parseOptions({ connectionString: `options='-c ${name}=x'` }, ENV), {
      message: new RegExp(`^connectionString: options: ${name} is not a setting`),
    });
  }
});

test('session settings: no message has the value', () => {
  const refusing = TABLE.filter(([, , allowed]) => allowed.length === 0).map(([name]) => name);
  for (const name of ['client_encoding', ...refusing, ...OTHERS.map(([name]) => name)]) {
    const isSafe = (/** @type {Error} */ error) => !error.message.includes('hunter2');
    assert.throws(() => parseOptions({ options: { [name]: 'hunter2' } }, ENV), isSafe);
    assert.throws(() => parseOptions({}, { ...ENV, PGOPTIONS: `-c ${name}=hunter2` }), isSafe);
  }
});

test('session settings: the fence may be set where no writable server is looked for', () => {
  for (const mode of ['any', 'primary', 'standby', 'read-only', 'prefer-standby']) {
    const { options } = parseOptions({ mode, options: { default_transaction_read_only: true } }, ENV);
    assert.deepEqual(options, { default_transaction_read_only: 'true' });
    assert.throws(() => parseOptions({ mode, options: { default_transaction_read_only: 'off' } }, ENV), /fence/);
  }
});

test('session settings: two that are one are refused', () => {
  assert.throws(() => parseOptions({ options: { TimeZone: 'UTC', timezone: 'GMT' } }, ENV), {
    code: 'ERR_INVALID_OPTION',
    message: 'options.timezone and options.TimeZone are the same setting',
  });
  const both = { statementTimeoutMs: 1000, options: { Statement_Timeout: '5s' } };
  assert.throws(() => parseOptions(both, ENV), {
    message: 'options.Statement_Timeout and statementTimeoutMs are the same setting',
  });
  assert.deepEqual(parseOptions({ options: { statement_timeout: '5s' } }, ENV).options, { statement_timeout: '5s' });
});

test('session settings: all others are left to the server', () => {
  const options = {
    role: 'r',
    search_path: '',
    tcp_user_timeout: 5,
    'my.own': 'client_encoding=LATIN1',
    IntervalStyle: 'iso_8601',
  };
  assert.deepEqual(parseOptions({ options }, ENV).options, { ...options, tcp_user_timeout: '5' });
  for (const text of [
    '',
    '-e',
    '-c',
    '-c geqo',
    '-c my.own=-c\\ client_encoding=LATIN1',
    '--search-path=--datestyle=SQL',
    '-d 5',
  ]) {
    assert.equal(parseOptions({}, { ...ENV, PGOPTIONS: text }).startupOptions, text);
  }
});
