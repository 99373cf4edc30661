'use strict';

// A small shop, written for a synchronous database: better-sqlite3, or a bridge to PostgreSQL. after.js is the same program, moved.
//
//   node bench/database/bridge/before.js '{ "host": "db1", "user": "app", ... }'

const { openBridge } = require('./bridge.js');

const db = openBridge(JSON.parse(process.argv[2]));

function setUp() {
  db.exec(`
    CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES items (id), pieces INTEGER NOT NULL);
    INSERT INTO items VALUES (1, 'pen', 10), (2, 'ink', 1);
  `);
}

/** @param {number} id @param {number} item @param {number} pieces */
function order(id, item, pieces) {
  const place = db.transaction(() => {
    db.prepare('INSERT INTO orders (id, item, pieces) VALUES (?, ?, ?)').run(id, item, pieces);
    db.prepare('UPDATE items SET stock = stock - ? WHERE id = ?').run(pieces, item);
    return db.prepare('SELECT name, stock FROM items WHERE id = ?').get(item);
  });
  try {
    const { name, stock } = place();
    return `${pieces} ${name}, ${stock} left`;
  } catch (error) {
    if (/** @type {any} */ (error).code === '23514') return 'not enough';
    throw error;
  }
}

function main() {
  setUp();
  console.log(order(1, 1, 3));
  console.log(order(2, 2, 5));
  console.log(order(3, 2, 1));
  const rows = db.prepare('SELECT item, sum(pieces) AS pieces FROM orders GROUP BY item ORDER BY item').all();
  console.log(JSON.stringify(rows));
  db.close();
}

main();
