'use strict';

// A process with clients that run transfers between two clusters; two-phase.torture.test.js starts several. Each transfer has a row in the
// ledgers of both clusters. What became of it is written as a line of JSON when its call has ended. At one point in some hundreds the process
// kills itself, or stops until somebody lets it go on.

const fs = require('node:fs');
const { createPool } = require('../../client.js');
const { ACCOUNTS, POINT, twoPhaseOver } = require('./two-phase.js');

/** @param {number} below */
const random = (below) => Math.floor(Math.random() * below);
/** @param {object} event */
const write = (event) => fs.writeSync(1, `${JSON.stringify(event)}\n`);

function main() {
  const { name, logins, options, clients, oneIn } = JSON.parse(process.argv[2]);
  const pools = Object.fromEntries(Object.entries(logins).map(([cluster, login]) => [cluster, createPool(login)]));
  const { run, twoPhase } = twoPhaseOver(pools, options);
  twoPhase.start();
  /** @type {any} */ (twoPhase)[POINT] = () => {
    if (random(oneIn) !== 0) return;
    const signal = random(2) === 0 ? 'SIGKILL' : 'SIGSTOP';
    write({ signal });
    process.kill(process.pid, signal);
  };
  const names = Object.keys(logins);
  let last = 0;
  const client = async () => {
    for (;;) {
      const id = `${name}/${++last}`;
      const account = 1 + random(ACCOUNTS);
      const amount = random(2) === 0 ? 1 : -1;
      /** @type {any} */
      let transaction;
      try {
        await run(
          async (tx) => {
            transaction = tx;
            // In one order, so that none waits for another in a circle.
            for (const [i, schema] of names.entries()) {
              await tx.query('INSERT INTO ledger VALUES ($1)', [id], { schema });
              const change = [i === 0 ? amount : -amount, account];
              await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', change, { schema });
            }
          },
          { timeoutMs: 15_000 },
        );
        write({ id, outcome: 'applied', pending: transaction.pending.length });
      } catch (/** @type {any} */ error) {
        // Nothing was sent for what could not begin.
        write({ id, outcome: error.outcome ?? 'not-applied', code: error.code });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  for (let i = 0; i < clients; i++) client();
}

main();
