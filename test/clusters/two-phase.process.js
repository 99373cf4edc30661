'use strict';

// A process that runs transfers between two clusters and stands still at a point of one of them, as its argument says: two-phase.processes.js
// starts it, and kills or freezes it there. What it has to say it writes as lines of JSON.

const fs = require('node:fs');
const { createPool } = require('../../client.js');
const { POINT, transfer, twoPhaseOver } = require('./two-phase.js');

/**
 * @typedef {object} Job
 * @property {Record<string, any>} logins of the clusters, by their names; the first has the decisions
 * @property {Record<string, unknown>} options
 * @property {string} point a member of POINTS
 * @property {number} transfers that run before the one that stands still
 * @property {number} clients that run transfers beside it
 * @property {number} accounts how many there are
 */

/** At once: a process that is stopped writes nothing. @param {object} event */
const write = (event) => fs.writeSync(1, `${JSON.stringify(event)}\n`);

/**
 * The points: where one participant is held back, if any, and what has happened then.
 * @type {Record<string, { held: string | null, part?: number, reached: [string, number?] }>}
 */
const POINTS = {
  'before it prepares': { held: 'prepare', reached: ['prepare', 0] },
  'after one has prepared': { held: 'prepare', part: 1, reached: ['prepared one', 0] },
  'after all have prepared': { held: 'prepared', reached: ['prepared'] },
  'after the decision': { held: 'decided', reached: ['decided'] },
  'after one has committed': { held: 'commit', part: 1, reached: ['committed one', 0] },
  'after all have committed': { held: 'committed', reached: ['committed'] },
};

/**
 * A hook that holds a transaction at a point; `reached` is called when it is there.
 * @param {string} name a member of POINTS
 * @param {() => unknown} reached what it returns is awaited there
 */
function holdAt(name, reached) {
  const { held, part: heldPart, reached: sign } = POINTS[name];
  /** @type {Promise<unknown> | undefined} */
  let going;
  /** @type {(value: unknown) => void} */
  let isThere = () => {};
  const there = new Promise((resolve) => {
    isThere = resolve;
  });
  return async (/** @type {string} */ point, /** @type {number | undefined} */ part) => {
    if (point === sign[0] && part === sign[1]) {
      going ??= Promise.resolve(reached());
      isThere(undefined);
    }
    if (point !== held || (heldPart !== undefined && part !== heldPart)) return;
    await there;
    await going;
  };
}

async function main() {
  /** @type {Job} */
  const { logins, options, point, transfers, clients, accounts } = JSON.parse(process.argv[2]);
  const pools = Object.fromEntries(Object.entries(logins).map(([name, login]) => [name, createPool(login)]));
  const { twoPhase, run } = twoPhaseOver(pools, options);
  const names = Object.keys(logins).slice(-2);
  const random = (/** @type {number} */ below) => Math.floor(Math.random() * below);
  let begun = 0;
  const client = async () => {
    for (;;) {
      begun++;
      const [from, to] = random(2) === 0 ? names : [...names].reverse();
      // Rows in one order, so that they do not wait for each other in a circle.
      await run(
        async (tx) => {
          const id = 1 + random(accounts);
          const sides = { [from]: -1, [to]: 1 };
          for (const name of names) {
            await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [sides[name], id], {
              schema: name,
            });
          }
        },
        { timeoutMs: 20_000 },
      ).catch((/** @type {any} */ error) =>
        write({ error: error.code, outcome: error.outcome, message: error.message }),
      );
    }
  };
  for (let i = 0; i < clients; i++) client();
  while (clients > 0 && begun < transfers) await new Promise((resolve) => setTimeout(resolve, 1));
  const stop = holdAt(point, () => {
    write({ reached: point });
    return new Promise((resolve) => process.stdin.once('data', resolve));
  });
  /** @type {any} */ (twoPhase)[POINT] = stop;
  try {
    const value = await run(transfer(names[0], names[1], { id: accounts }));
    // The last point is behind the answer.
    await twoPhase.close();
    write({ value });
  } catch (/** @type {any} */ error) {
    write({ code: error.code, outcome: error.outcome });
  }
  process.exit();
}

if (require.main === module) main();

module.exports = { POINTS, holdAt };
