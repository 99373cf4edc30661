'use strict';

// sqlState(): the name that PostgreSQL's documentation has for a SQLSTATE. test/server/classify.test.js compares all of them with the
// list and the names of a server.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { DatabaseError: PgError } = require('pg');
const { HyperionError, sqlState } = require('../../client.js');
const { NAMES, isSqlState } = require('../../lib/values/sqlstates.js');
const { test } = require('../support/helpers.js');

/** An error of node-postgres. @param {string} code */
const ofPg = (code) => Object.assign(new PgError('refused', 1, 'error'), { code });

describe('sqlState', () => {
  for (const [code, name] of [
    ['00000', 'successful_completion'],
    ['01004', 'string_data_right_truncation'],
    ['10608', 'invalid_argument_for_xquery'],
    ['22001', 'string_data_right_truncation'],
    ['23505', 'unique_violation'],
    ['23P01', 'exclusion_violation'],
    ['25P04', 'transaction_timeout'],
    ['40001', 'serialization_failure'],
    ['57014', 'query_canceled'],
    ['72000', 'snapshot_too_old'],
    ['F0001', 'lock_file_exists'],
    ['HV00N', 'fdw_unable_to_establish_connection'],
    ['P0004', 'assert_failure'],
    ['XX002', 'index_corrupted'],
  ]) {
    test(`sqlState of ${code} is ${name}`, () => {
      assert.equal(sqlState(ofPg(code)), name);
      assert.equal(sqlState(new HyperionError('refused', code)), name);
      assert.equal(sqlState(new Error('wrapped', { cause: ofPg(code) })), name);
    });
  }

  test('sqlState is undefined for codes that are in no appendix', () => {
    for (const code of ['23Z99', 'EPIPE', 'P2002', 'ECONNRESET', 'ERR_NO_PRIMARY', '2350', '']) {
      assert.equal(sqlState({ code }), undefined, code);
    }
  });

  test('sqlState of an AggregateError is the one that all have', () => {
    assert.equal(sqlState(new AggregateError([ofPg('40001'), ofPg('40001')])), 'serialization_failure');
    assert.equal(sqlState(new AggregateError([ofPg('40001'), ofPg('40P01')])), undefined);
    assert.equal(sqlState(new AggregateError([ofPg('40001'), new Error('x')])), undefined);
  });

  test('every line of the list is a SQLSTATE and a name, and each SQLSTATE stands once', () => {
    assert.equal(NAMES.size, 263);
    for (const [code, name] of NAMES) {
      assert.ok(isSqlState(code), code);
      assert.match(name, /^[a-z][a-z_]+$/, code);
    }
  });
});
