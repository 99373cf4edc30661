'use strict';

// hyperiondb-client/pg: what `require('pg')` has, beside it Cursor, QueryStream and copyStreams (as pg-cursor, pg-query-stream and pg-copy-streams). Names only; index.d.ts says what each does.

const Client = require('./client.js');
const Connection = require('./connection.js');
const copyStreams = require('./copy-streams.js');
const Cursor = require('./cursor.js');
const { DatabaseError } = require('./database-error.js');
const defaults = require('./defaults.js');
const Pool = require('./pool.js');
const QueryStream = require('./query-stream.js');
const Result = require('./result.js');
const TypeOverrides = require('./type-overrides.js');
const types = require('./types.js');
const utils = require('./utils.js');

exports.defaults = defaults;
exports.Client = Client;
exports.Query = Client.Query;
exports.Pool = class BoundPool extends Pool {};
exports.Connection = Connection;
exports.types = types;
exports.DatabaseError = DatabaseError;
exports.TypeOverrides = TypeOverrides;
exports.escapeIdentifier = utils.escapeIdentifier;
exports.escapeLiteral = utils.escapeLiteral;
exports.Result = Result;
exports.utils = utils;
/** @type {unknown[]} of pg, which puts nothing into it either */
exports._pools = [];
exports.copyStreams = copyStreams;
exports.Cursor = Cursor;
exports.QueryStream = QueryStream;

// What pg says where pg-native is not installed.
Object.defineProperty(exports, 'native', { value: null, configurable: true, writable: true, enumerable: false });
