'use strict';

// A process with a pool or a ServerlessClient, for a test that freezes it or sets its clock: agents.js starts it. It does what the
// messages of its parent ask for, one answer each, and reports what its pool tells.

const { createPool } = require('../../client.js');
const { ServerlessClient } = require('../../exports/serverless');

const { kind, options } = JSON.parse(process.env.AGENT ?? '{}');

/** What is reported of a failure. @param {any} error */
const shown = (error) => ({ name: error.name, code: error.code, message: error.message, outcome: error.outcome });

/** @param {string} event @param {any} detail */
const report = (event, detail) => process.send?.({ event, detail: { ...detail, err: undefined, error: undefined } });

function open() {
  if (kind === 'client') {
    const names = [
      'onConnect',
      'onHeartbeat',
      'onHeartbeatFail',
      'onReap',
      'onClientDead',
      'onQueryRetry',
      'onReconnect',
    ];
    const hooks = names.map((name) => [name, (/** @type {any} */ detail) => report(name, detail)]);
    return new ServerlessClient({ ...options, hooks: Object.fromEntries(hooks) });
  }
  const pool = createPool(options);
  for (const event of ['lease', 'down', 'failover', 'gap', 'error']) pool.on(event, (detail) => report(event, detail));
  return pool;
}

const target = /** @type {any} */ (open());
const work = {
  /** @param {string} sql @param {unknown[]} [params] */
  query: async (sql, params) => {
    const result = await target.query(sql, params);
    return [...(result.rows ?? result)];
  },
  reap: () => target.reap(),
  now: () => Date.now(),
  end: () => target.end(),
};

process.on('message', async (/** @type {any} */ { id, name, args }) => {
  try {
    process.send?.({ id, value: await /** @type {any} */ (work)[name](...args) });
  } catch (error) {
    process.send?.({ id, error: shown(error) });
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ event: 'ready', detail: {} });
