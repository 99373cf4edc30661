'use strict';

// `defaults` of pg: what a Client or Pool takes where neither its options nor the environment say anything. A program may change them.

const { types } = require('./type-registry.js');

/** The name of the user; Deno may not let us read the environment. */
function systemUser() {
  try {
    return process.platform === 'win32' ? process.env.USERNAME : process.env.USER;
  } catch {
    return undefined;
  }
}

/** @type {Record<string, any>} */
const defaults = {
  host: 'localhost',
  user: systemUser(),
  /** None: the user's name. */
  database: undefined,
  password: null,
  connectionString: undefined,
  port: 5432,
  /** How many rows a named portal reads at once; 0: all. */
  rows: 0,
  /** Whether results come in the binary format. */
  binary: false,
  max: 10,
  /** Milliseconds. As in pg, the pool does not look here: its own default is 10000. */
  idleTimeoutMillis: 30000,
  client_encoding: '',
  ssl: false,
  sslnegotiation: undefined,
  application_name: undefined,
  fallback_application_name: undefined,
  options: undefined,
  /** Whether a Date is sent as UTC instead of local time with its offset. */
  parseInputDatesAsUTC: false,
  // Milliseconds; false: none.
  statement_timeout: false,
  lock_timeout: false,
  idle_in_transaction_session_timeout: false,
  query_timeout: false,
  // Seconds.
  connect_timeout: 0,
  keepalives: 1,
  keepalives_idle: 0,
};

const digits = types.getTypeParser(types.builtins.INT8, 'text');
const arraysOfDigits = types.getTypeParser(1016, 'text');

// `defaults.parseInt8 = true`: int8 and int8[] are numbers, though those above 2^53 lose digits. It can be set only, as in pg.
Object.defineProperty(defaults, 'parseInt8', {
  enumerable: true,
  configurable: true,
  set(isNumber) {
    types.setTypeParser(types.builtins.INT8, 'text', isNumber ? types.getTypeParser(types.builtins.INT4) : digits);
    types.setTypeParser(1016, 'text', isNumber ? types.getTypeParser(1007) : arraysOfDigits);
  },
});

module.exports = defaults;
