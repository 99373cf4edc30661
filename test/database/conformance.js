'use strict';

// Runs facts over a database: each in an empty one.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createPool, openDatabase } = require('../../client.js');
const { DIFFERENCES } = require('./conformance.differences.js');
const { ERRORS } = require('./conformance.errors.js');
const { NESTED_AND_APART } = require('./conformance.nesting.js');
const { STATEMENTS } = require('./conformance.statements.js');
const { TRANSACTIONS } = require('./conformance.transactions.js');
const { VALUES } = require('./conformance.values.js');

/** @typedef {import('./conformance.tools.js').Fact} Fact */

const FACTS = [...STATEMENTS, ...VALUES, ...TRANSACTIONS, ...NESTED_AND_APART, ...ERRORS, ...DIFFERENCES];

/** @typedef {'node:sqlite' | 'better-sqlite3'} Driver */

/** @type {readonly Driver[]} */
const DRIVERS = ['node:sqlite', 'better-sqlite3'];

/** The drivers that are there, in this Node. */
async function driversHere() {
  /** @type {Driver[]} */
  const found = [];
  for (const driver of DRIVERS) {
    const db = await openDatabase('sqlite::memory:', { driver }).catch((/** @type {any} */ error) => {
      if (error.code !== 'ERR_NO_SQLITE') throw error;
    });
    await db?.close();
    if (db !== undefined) found.push(driver);
  }
  return found;
}

/**
 * Runs a fact, and closes what it has opened.
 * @param {Fact} fact
 * @param {'postgres' | 'sqlite'} engine
 * @param {(options?: object) => Promise<any>} open
 */
async function tryFact(fact, engine, open) {
  /** @type {any[]} */
  const opened = [];
  /** @param {object} [options] */
  const openAgain = async (options) => {
    const db = await open(options);
    opened.push(db);
    return db;
  };
  try {
    await fact.run(await openAgain(), { engine, open: openAgain });
  } finally {
    await Promise.all(opened.map((db) => db.close()));
  }
}

/** Leaves the schema empty. Much faster than a schema, or a pool, for each fact. */
const CLEAR = `DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
    EXECUTE pg_catalog.format('DROP TABLE public.%I CASCADE', name);
  END LOOP;
END $$`;

/**
 * PostgreSQL for many facts. Their commits wait for no disk: a few hundred facts would.
 * @param {object} login options of a pool
 */
function postgresFor(login) {
  const settings = { ...login, poolSize: 3, options: { synchronous_commit: 'off' } };
  const pool = createPool(settings);
  return {
    /** @param {Fact} fact */
    async tryFact(fact) {
      try {
        // A pool that is handed in is not closed by close(): the other way is for facts that close.
        await tryFact(fact, 'postgres', () => openDatabase(fact.reopens ? settings : pool));
      } finally {
        await pool.query(CLEAR);
      }
    },
    end: () => pool.end(),
  };
}

/** A fact on SQLite: in memory, or in a new file where it is opened more than once. @param {Fact} fact @param {Driver} driver */
async function onSqlite(fact, driver) {
  if (!fact.reopens) return tryFact(fact, 'sqlite', () => openDatabase('sqlite::memory:', { driver }));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-sqlite-'));
  try {
    await tryFact(fact, 'sqlite', (options) =>
      openDatabase(`sqlite:${path.join(folder, 'a.db')}`, { driver, ...options }),
    );
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

module.exports = { DRIVERS, FACTS, driversHere, onSqlite, postgresFor };
