'use strict';

// The rows that are made without a database are those of W4. In each run of the benchmark they are also compared with those of the
// server. `node --test bench/`.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { LOADS } = require('./loads.js');
const { open, version } = require('./peers/floor.js');

test('floor: the rows have the values and types that this client gives, and are made in several turns', async () => {
  const load = /** @type {import('./types').Load} */ (LOADS.find(({ id }) => id === 'W4'));
  const db = await open();
  let turns = 0;
  const turn = () => {
    turns++;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  const rows = await load.open(db)(0);
  clearImmediate(next);
  assert.equal(rows.length, load.rows(0));
  assert.deepEqual(rows[0], {
    id: 1,
    big: 9007199254740994n,
    ratio: 1 / 7,
    price: '1.25',
    name: 'customer 1',
    note: 'note note note note note note 1',
    at: '2024-01-01T00:01:01.250Z',
    active: false,
    doc: { id: 1, tags: ['a', 'b1'], address: { zip: 1, city: 'City 1' } },
    key: 'c4ca4238-a0b9-2382-0dcc-509a6f75849b',
  });
  assert.deepEqual(rows[99_999], {
    id: 100_000,
    big: 9007199254840993n,
    ratio: 100_000 / 7,
    price: '125000.00',
    name: 'customer 100000',
    note: null,
    at: '2024-03-11T14:26:40.250Z',
    active: true,
    doc: { id: 100_000, tags: ['a', 'b0'], address: { zip: 100_000, city: 'City 0' } },
    key: '14ee22ea-ba29-7944-c96a-fdbe5b16c65b',
  });
  assert.ok(turns > 2, `${turns} turns of the event loop`);
  assert.match(version(), /^V8 \d/);
});
