// A program of CommonJS whose libraries load pg.
'use strict';

const { promisify } = require('node:util');
if (process.argv[2] === 'require') require('hyperiondb-client/register');
const face = require('hyperiondb-client/pg');
const library = require('library');
const { Store } = require('store');

async function main() {
  const db = library.open();
  const store = new Store();
  const [set, get, close] = [store.set, store.get, store.close].map((call) => promisify(call.bind(store)));
  await set('one', { a: [1] });
  const seen = {
    isFace: library.pg === face && store.pool instanceof face.Pool,
    prepared: library.prepared([1, 'a']),
    one: await db.one('SELECT $1::int + 1 AS two, 9007199254740993 AS big', [1]),
    tx: await db.tx(
      async (client) => (await client.query('SELECT pg_current_xact_id_if_assigned() IS NULL AS none')).rows,
    ),
    code: await db.tx((client) => client.query('SELECT missing')).catch(({ code }) => code),
    stored: await get('one'),
  };
  await Promise.all([db.end(), close()]);
  console.log(JSON.stringify(seen));
}

main();
