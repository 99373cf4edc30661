'use strict';

// The loads. Every statement and every value is the same for all peers.

/** @typedef {import('./types').Load} Load */

const ITEMS = 100_000;
const MIXED = 10_000;
const CONNECTIONS = 10;

const ITEM_TABLE = [
  'DROP TABLE IF EXISTS hyperion_bench_item',
  'CREATE TABLE hyperion_bench_item (id int4 PRIMARY KEY, name text NOT NULL, score int4 NOT NULL)',
  `INSERT INTO hyperion_bench_item SELECT i, 'item number ' || i, i % 1000 FROM generate_series(1, ${ITEMS}) i`,
  'VACUUM ANALYZE hyperion_bench_item',
];

// Times in whole milliseconds: a JavaScript Date has no more.
const MIXED_TABLE = [
  'DROP TABLE IF EXISTS hyperion_bench_mixed',
  `CREATE TABLE hyperion_bench_mixed (
    id int4 PRIMARY KEY, big int8 NOT NULL, ratio float8 NOT NULL, price numeric(12, 2) NOT NULL, name text NOT NULL,
    note text, at timestamptz NOT NULL, active bool NOT NULL, doc jsonb NOT NULL, key uuid NOT NULL)`,
  `INSERT INTO hyperion_bench_mixed SELECT
    i, 9007199254740993 + i, i / 7.0, i * 1.25, 'customer ' || i, CASE WHEN i % 5 = 0 THEN NULL ELSE repeat('note ', 6) || i END,
    timestamptz '2024-01-01 00:00:00.25+00' + i * interval '61 seconds', i % 2 = 0,
    jsonb_build_object('id', i, 'tags', jsonb_build_array('a', 'b' || i % 10), 'address', jsonb_build_object('city', 'City ' || i % 50, 'zip', i)),
    md5(i::text)::uuid
    FROM generate_series(1, ${MIXED}) i`,
  'VACUUM ANALYZE hyperion_bench_mixed',
];

/** A walk over 0..size-1 that looks random, and is the same for everybody. @param {number} n @param {number} size */
const scattered = (n, size) => ((n * 7919) % 1_000_003) % size;

/**
 * @param {string} id
 * @param {number} inFlight
 * @returns {Load}
 */
function pointSelect(id, inFlight) {
  return {
    id,
    title: `point select by primary key, ${inFlight} in flight on ${CONNECTIONS} connections`,
    inFlight,
    connections: CONNECTIONS,
    setup: ITEM_TABLE,
    teardown: ['DROP TABLE IF EXISTS hyperion_bench_item'],
    rows: 1,
    open(db) {
      const select = db.statement('bench_point', 'SELECT id, name, score FROM hyperion_bench_item WHERE id = $1');
      return (n) => select([1 + scattered(n, ITEMS)]);
    },
  };
}

/** @type {Load} */
const hundredRows = {
  id: 'W3',
  title: `100 rows of 10 mixed columns, 16 in flight on ${CONNECTIONS} connections`,
  inFlight: 16,
  connections: CONNECTIONS,
  setup: MIXED_TABLE,
  teardown: ['DROP TABLE IF EXISTS hyperion_bench_mixed'],
  rows: 100,
  open(db) {
    const select = db.statement(
      'bench_mixed',
      `SELECT id, big, ratio, price, name, note, at, active, doc, key FROM hyperion_bench_mixed
       WHERE id >= $1 ORDER BY id LIMIT 100`,
    );
    return (n) => select([1 + scattered(n, MIXED - 100)]);
  },
};

exports.LOADS = [pointSelect('W2', 64), hundredRows];
