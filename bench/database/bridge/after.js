'use strict';

// before.js, moved to openDatabase(): on PostgreSQL and on SQLite.
//
//   node bench/database/bridge/after.js sqlite::memory:
//   node bench/database/bridge/after.js postgres://app@db1/shop

const { openDatabase } = require('../../../client.js');

/** @typedef {import('../../../client.js').Database} Database */

/** @param {Database} db */
async function setUp(db) {
  await db.exec(`
    CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES items (id), pieces INTEGER NOT NULL);
    INSERT INTO items VALUES (1, 'pen', 10), (2, 'ink', 1);
  `);
}

/** @param {Database} db @param {number} id @param {number} item @param {number} pieces */
async function order(db, id, item, pieces) {
  try {
    const { name, stock } = await db.tx(async () => {
      await db.prepare('INSERT INTO orders (id, item, pieces) VALUES (?, ?, ?)').run(id, item, pieces);
      await db.prepare('UPDATE items SET stock = stock - ? WHERE id = ?').run(pieces, item);
      return /** @type {any} */ (await db.prepare('SELECT name, stock FROM items WHERE id = ?').get(item));
    });
    return `${pieces} ${name}, ${stock} left`;
  } catch (error) {
    if (/** @type {any} */ (error).code === '23514') return 'not enough';
    throw error;
  }
}

async function main() {
  const db = await openDatabase(process.argv[2]);
  await setUp(db);
  console.log(await order(db, 1, 1, 3));
  console.log(await order(db, 2, 2, 5));
  console.log(await order(db, 3, 2, 1));
  const rows = await db.prepare('SELECT item, sum(pieces) AS pieces FROM orders GROUP BY item ORDER BY item').all();
  console.log(JSON.stringify(rows));
  await db.close();
}

main();
