'use strict';

// The tables of the loads. What a load needs is made once, before the first round.

const ITEMS = 100_000;
const MIXED = 100_000;

const drop = (/** @type {string} */ name) => `DROP TABLE IF EXISTS ${name}`;

/** @param {string} name @param {string[]} statements */
const table = (name, ...statements) => ({ setup: [drop(name), ...statements], teardown: [drop(name)] });

const item = table(
  'hyperion_bench_item',
  'CREATE TABLE hyperion_bench_item (id int4 PRIMARY KEY, name text NOT NULL, score int4 NOT NULL)',
  `INSERT INTO hyperion_bench_item SELECT i, 'item number ' || i, i % 1000 FROM generate_series(1, ${ITEMS}) i`,
  'VACUUM ANALYZE hyperion_bench_item',
);

// Times in whole milliseconds: a JavaScript Date has no more.
const mixed = table(
  'hyperion_bench_mixed',
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
);

const event = table(
  'hyperion_bench_event',
  `CREATE TABLE hyperion_bench_event (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner int4 NOT NULL, name text NOT NULL, amount float8 NOT NULL, active bool NOT NULL, note text)`,
);

const copy = table(
  'hyperion_bench_copy',
  `CREATE TABLE hyperion_bench_copy (owner int4 NOT NULL, name text NOT NULL, amount float8 NOT NULL, active bool NOT NULL,
    note text, at timestamptz NOT NULL)`,
);

const account = table(
  'hyperion_bench_account',
  'CREATE TABLE hyperion_bench_account (id int4 PRIMARY KEY, balance int8 NOT NULL) WITH (fillfactor = 70)',
  `INSERT INTO hyperion_bench_account SELECT i, 1000 FROM generate_series(1, ${ITEMS}) i`,
  'VACUUM ANALYZE hyperion_bench_account',
);

const entry = table(
  'hyperion_bench_entry',
  'CREATE TABLE hyperion_bench_entry (account int4 NOT NULL, amount int4 NOT NULL)',
);

/** @param {...ReturnType<typeof table>} parts */
const together = (...parts) => ({
  setup: parts.flatMap(({ setup }) => setup),
  teardown: parts.flatMap(({ teardown }) => teardown),
});

module.exports = { ITEMS, MIXED, item, mixed, event, copy, account, entry, together };
