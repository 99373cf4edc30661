'use strict';

// One client under the load, in a process of its own: it reports each statement and its end, until it is killed.
// An error that would end the process of an application ends this one.

const { setTimeout: sleep } = require('node:timers/promises');
const { CALLERS, IDS, PER_SECOND, READ, READ_EVERY, WRITE, now } = require('./load.js');

/** @typedef {import('./types').Told} Told */
/** @typedef {import('./types').Message} Message */

/** @type {Told[]} */
let untold = [];

/** Reports without delay: what is not reported when the process dies is lost. @param {Told} event */
function tell(event) {
  if (untold.push(event) > 1) return;
  setImmediate(() => {
    send({ kind: 'told', events: untold });
    untold = [];
  });
}

/** @param {Message} message */
const send = (message) => process.send?.(message);

let statements = 0;

/**
 * @param {'write' | 'read'} type
 * @param {number} id
 * @param {() => PromiseLike<{ stale?: boolean }>} run
 */
async function statement(type, id, run) {
  const n = statements++;
  tell({ kind: 'begun', n, type, id, at: now() });
  try {
    const { stale } = await run();
    tell({ kind: 'ended', n, at: now(), stale });
    return true;
  } catch (error) {
    const { code, message, outcome } = /** @type {any} */ (error);
    tell({ kind: 'ended', n, at: now(), error: String(code ?? message), outcome });
    return false;
  }
}

/** @param {import('./types').Client} client @param {number} index */
async function call(client, index) {
  const pace = (1000 * CALLERS) / PER_SECOND;
  let due = now() + (pace * index) / CALLERS;
  /** The last acknowledged write. @type {number | undefined} */
  let known;
  for (let i = 0; ; i++) {
    await sleep(Math.max(0, due - now()));
    if (i % READ_EVERY === READ_EVERY - 1 && known !== undefined) {
      const id = known;
      await statement('read', id, async () => ({ stale: (await client.read(READ, [id])).length === 0 }));
    } else {
      const id = index * IDS + i;
      const acknowledged = await statement('write', id, async () => {
        await client.write(WRITE, [id]);
        return {};
      });
      if (acknowledged) known = id;
    }
    due = Math.max(due + pace, now());
  }
}

process.once('message', async (/** @type {import('./types').Job} */ { client: name, opening, settings }) => {
  /** @type {import('./types').ClientModule} */
  const { version, open } = require(name);
  const client = open(opening, settings);
  try {
    await client.read('SELECT 1 AS one', []);
  } catch (error) {
    send({ kind: 'failed', error: String(/** @type {any} */ (error).stack) });
    return;
  }
  send({ kind: 'ready', version: version() });
  for (let index = 0; index < CALLERS; index++) call(client, index);
});
process.on('disconnect', () => process.exit());
