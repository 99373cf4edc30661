'use strict';

// The front door: names only. What stands behind each is in lib/, one concept a file.

const errors = require('./lib/errors.js');
const { createPool, Pool } = require('./lib/api/pool.js');
const { sql } = require('./lib/api/sql.js');
const { Transaction } = require('./lib/api/transaction.js');

exports.createPool = createPool;
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
