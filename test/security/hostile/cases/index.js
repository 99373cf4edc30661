'use strict';

// All cases: each has a name and a function that returns what is wrong.

const { HOSTILE, judgeLogin, judgeStatement } = require('../judge');
const { OID } = require('../wire');
const { LOGIN } = require('./login');
const { PROTOCOLS } = require('./protocols');
const { HOSTILE_ONE, STATEMENTS, SYNC } = require('./statements');
const { TLS } = require('./tls');
const { withTypes } = require('../types');
const { PAIR, VALUES } = require('./values');

/** @typedef {{ name: string, run: () => Promise<string[]> }} Case */

/** @param {any} [options] `signal: 'late'`: it is aborted after a while @returns {(pool: any) => Promise<unknown>} */
const asks = (options) => (pool) => {
  const given = options?.signal === 'late' ? { signal: AbortSignal.timeout(300) } : options;
  return pool.query(HOSTILE, [], given);
};

/**
 * A statement that is answered well the first time, so that it is prepared.
 *
 * @param {import('../server').Statement} statement
 * @returns {import('../server').Statement}
 */
function worksOnce({ bind, execute, ...told }) {
  let binds = 0;
  let executes = 0;
  return {
    ...told,
    bind: [() => (++binds === 1 ? ['default'] : (bind ?? ['default']))],
    execute: [() => (++executes === 1 ? ['default'] : (execute ?? ['default']))],
  };
}

/** @param {any} options @returns {(pool: any) => Promise<unknown>} */
const asksTwice = (options) => async (pool) => {
  await pool.query(HOSTILE);
  return asks(options)(pool);
};

/** The type of the composite values. @returns {import('../types').FakeType} */
const pair = () => ({
  kind: 'c',
  relation: PAIR + 1,
  attributes: [
    ['a', OID.int4],
    ['b', OID.int4Array],
  ],
});

/** The cases in which the statement is sent for execution. */
const RUNS = STATEMENTS.filter(([name]) => /^(bind|execute)/.test(name));

/**
 * A pool that does not know the functions of its database sends a reset behind each statement, by tokio-postgres. Without resets the
 * stream itself sends the statement and reads the answer (src/protocol/direct.rs).
 * @type {readonly (readonly [way: string, pool: Record<string, unknown>, statements: typeof STATEMENTS])[]}
 */
const WAYS = [
  ['', {}, STATEMENTS],
  [', without resets', { reset: 'none' }, RUNS],
];

/** @type {readonly Case[]} */
const CASES = [
  ...LOGIN.map(([name, script, is]) => ({ name, run: () => judgeLogin(script, is) })),
  ...TLS.map(([name, script, is, options]) => ({ name, run: () => judgeLogin(script, is, options) })),
  ...WAYS.flatMap(([way, pool, statements]) => [
    ...statements.map(([name, statement, is, options]) => ({
      name: `${name}${way}`,
      run: () => judgeStatement({ statements: { [HOSTILE]: statement } }, asks(options), is, pool),
    })),
    ...RUNS.map(([name, statement, is, options]) => ({
      name: `prepared ${name}${way}`,
      run: () =>
        judgeStatement(
          { statements: { [HOSTILE]: worksOnce(statement) } },
          asksTwice(options),
          { ...is, executes: 2 },
          pool,
        ),
    })),
    ...SYNC.map(([name, script, is, options]) => ({
      name: `${name}${way}`,
      run: () => judgeStatement({ ...script, statements: { [HOSTILE]: HOSTILE_ONE } }, asks(options), is, pool),
    })),
  ]),
  ...VALUES.map(([name, oid, bytes]) => ({
    name,
    run: () =>
      judgeStatement(
        { statements: withTypes({ [HOSTILE]: { columns: [['a', oid]], rows: [[bytes]] } }, pair) },
        (pool) => pool.query(HOSTILE),
        { code: 'ERR_DECODE', outcome: 'applied', connections: 1 },
      ),
  })),
  ...PROTOCOLS.map(([name, script, work, is, options]) => ({
    name,
    run: () => judgeStatement(script, work, is, options),
  })),
];

module.exports = { CASES };
