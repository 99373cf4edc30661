'use strict';

// The facts about openDatabase(), over PostgreSQL and over SQLite by each driver that is there.

const assert = require('node:assert/strict');
const { after, before, describe } = require('node:test');
const { test, useCluster } = require('../support/helpers');
const { DRIVERS, FACTS, driversHere, onSqlite, postgresFor } = require('./conformance.js');

const db = useCluster({ nodes: 1 });
const here = driversHere();

test('there are at least 80 facts, each with a title of its own', () => {
  assert.ok(FACTS.length >= 80, String(FACTS.length));
  assert.equal(new Set(FACTS.map(({ title }) => title)).size, FACTS.length);
});

describe('PostgreSQL', () => {
  /** @type {ReturnType<typeof postgresFor> | undefined} */
  let postgres;
  before(async () => {
    await db.started;
    postgres = postgresFor(db.options());
  });
  after(() => postgres?.end());
  for (const fact of FACTS) test(`PostgreSQL: ${fact.title}`, () => postgres?.tryFact(fact));
});

for (const driver of DRIVERS) {
  describe(driver, () => {
    for (const fact of FACTS) {
      test(`${driver}: ${fact.title}`, async (t) => {
        if ((await here).includes(driver)) await onSqlite(fact, driver);
        else t.skip(`${driver} is not there in Node ${process.version}`);
      });
    }
  });
}
