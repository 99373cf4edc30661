'use strict';

// The front door: names only. What stands behind each is in lib/, one concept a file.

const errors = require('./lib/errors.js');
const { QUERIES } = require('./lib/core/channels.js');
const classify = require('./lib/api/classify.js');
const { timedOutAs } = require('./lib/api/limits.js');
const { metrics } = require('./lib/api/metrics.js');
const { openDatabase } = require('./lib/api/database/index.js');
const { openPools } = require('./lib/api/open-pools.js');
const { createPool, Pool } = require('./lib/api/pool.js');
const { textTypes } = require('./lib/values/text-types.js');
const { retry } = require('./lib/api/retry.js');
const { Session } = require('./lib/api/session.js');
const { sql, unfold } = require('./lib/api/sql.js');
const { Transaction } = require('./lib/api/transaction-handle.js');
const { watchLimits } = require('./lib/api/watch-limits.js');
const { QUERY, TRANSACTION, callOptions } = require('./lib/options/call-options.js');
const { LEASE } = require('./lib/options/lease-rows.js');
const { ELSEWHERE, checkOptions } = require('./lib/options/options.js');
const { POOL } = require('./lib/options/pool-rows.js');
const { labelOf } = require('./lib/options/hosts.js');
const validate = require('./lib/options/validate.js');
const { CONTENT_TYPE, histogramSamples, prometheusText } = require('./lib/values/prometheus.js');
const { createLease, verifyLease } = require('./lib/values/lease.js');
const { Lexer } = require('./lib/core/sql-tokens.js');

exports.createPool = createPool;
exports.openDatabase = openDatabase;
exports.Pool = Pool;
exports.Transaction = Transaction;
exports.sql = sql;
exports.HyperionError = errors.HyperionError;
exports.DatabaseError = errors.DatabaseError;
exports.NoPrimaryError = errors.NoPrimaryError;
exports.NoStandbyError = errors.NoStandbyError;
exports.AcquireTimeoutError = errors.AcquireTimeoutError;
exports.ConnectionLostError = errors.ConnectionLostError;
exports.QueryTimeoutError = errors.QueryTimeoutError;
exports.AbortError = errors.AbortError;
exports.TlsError = errors.TlsError;
exports.PoolClosedError = errors.PoolClosedError;
exports.OptionError = errors.OptionError;
exports.ParameterError = errors.ParameterError;
exports.NoRowsError = errors.NoRowsError;
exports.TooManyRowsError = errors.TooManyRowsError;
exports.createLease = createLease;
exports.verifyLease = verifyLease;
exports.isConnectionError = classify.isConnectionError;
exports.isConstraintViolation = classify.isConstraintViolation;
exports.isRetryable = classify.isRetryable;
exports.isTransient = classify.isTransient;
exports.retry = retry;
exports.sqlState = classify.sqlState;

// For exports/, whose files may require this one alone: the rows of options, what checks them, and what else they need of lib/.
exports[Symbol.for('hyperiondb-client.options')] = {
  ...{ CONTENT_TYPE, ELSEWHERE, LEASE, POOL, QUERY, TRANSACTION },
  ...{
    ...validate,
    Lexer,
    aborted: errors.aborted,
    callOptions,
    /** Whether anybody listens to the channel hyperiondb:query. */
    isTraced: () => QUERIES.isListened,
    checkOptions,
    histogramSamples,
    labelOf,
    openPools,
    metrics,
    prometheusText,
    Session,
    textTypes,
    timedOutAs,
    unfold,
    watchLimits,
  },
};
