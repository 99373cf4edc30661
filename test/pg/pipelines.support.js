'use strict';

// For the tests of queries that are sent behind others: a text that a pool knows to be quick.

const { range, until } = require('../support/helpers.js');

const QUICK = 'SELECT $1::int AS i';

/**
 * Makes all clients of a pool, and runs QUICK until the pool sends it behind others. On a busy machine that takes a while.
 * @param {any} pool
 */
async function warm(pool) {
  const clients = await Promise.all(range(pool.options.max).map(() => pool.connect()));
  for (const client of clients) client.release();
  for (const i of range(20)) await pool.query(QUICK, [i]);
  await until(
    'the text is known to be quick',
    async () => {
      const answers = range(pool.options.max + 1).map((i) => pool.query(QUICK, [i]));
      const isQuick = pool._pipelines.waiting > 0;
      await Promise.all(answers);
      return isQuick;
    },
    { timeoutMs: 20_000 },
  );
}

module.exports = { QUICK, warm };
