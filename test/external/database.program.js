'use strict';

// What database.test.js starts in each version of Node: the facts of test/database over PostgreSQL and over SQLite by each driver that
// is there. Prints a line of JSON for each fact, with the error where it does not hold.
//
//   database.program.js '{ "hosts": [...], "user": ... }'

const { FACTS, driversHere, onSqlite, postgresFor } = require('../database/conformance.js');

/** @param {string} place @param {(fact: any) => Promise<void>} tryFact */
async function tryAll(place, tryFact) {
  for (const fact of FACTS) {
    const error = await tryFact(fact).then(
      () => undefined,
      (/** @type {Error} */ { stack }) => stack,
    );
    console.log(JSON.stringify({ place, title: fact.title, error }));
  }
}

async function main() {
  const postgres = postgresFor(JSON.parse(process.argv[2]));
  await tryAll('postgres', postgres.tryFact);
  await postgres.end();
  for (const driver of await driversHere()) await tryAll(driver, (fact) => onSqlite(fact, driver));
}

main();
