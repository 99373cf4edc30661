'use strict';

// Named statements: https://node-postgres.com/features/queries#prepared-statements, and pg's own
// test/integration/client/{prepared-statement,query-error-handling-prepared-statement}-tests.js and gh-issues/{1854,2716}.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { failureOf } = require('../../support/helpers.js');
const { called, fact } = require('../support.js');

/** The names of the statements of a client's session. @param {any} client */
const namesOf = async (client) =>
  (
    await client.query("SELECT name FROM pg_prepared_statements WHERE NOT from_sql AND name <> '' ORDER BY name")
  ).rows.map((/** @type {{ name: string }} */ row) => row.name);

const ADD = { name: 'add', text: 'SELECT $1::int + $2::int AS sum' };

fact('named: it is run with values', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query({ ...ADD, values: [1, 2] })).rows, [{ sum: 3 }]);
});

fact('named: without values it is prepared, too', async (_t, face) => {
  const client = await face.client();
  await client.query({ name: 'no values', text: 'SELECT 1 AS one' });
  assert.deepEqual(await namesOf(client), ['no values']);
});

fact('named: it is parsed once a session, by that name', async (_t, face) => {
  const client = await face.client();
  for (let i = 0; i < 5; i += 1) {
    assert.deepEqual((await client.query({ ...ADD, values: [i, 1] })).rows, [{ sum: i + 1 }]);
  }
  assert.deepEqual(await namesOf(client), ['add']);
  const { rows } = await client.query(
    "SELECT (generic_plans + custom_plans)::int AS runs FROM pg_prepared_statements WHERE name = 'add'",
  );
  assert.deepEqual(rows, [{ runs: 5 }]);
});

fact('named: the name alone is enough afterwards', async (_t, face) => {
  const client = await face.client();
  await client.query({ ...ADD, values: [1, 2] });
  assert.deepEqual((await client.query({ name: 'add', values: [3, 4] })).rows, [{ sum: 7 }]);
});

fact('named: another text for the same name is refused', async (_t, face) => {
  const client = await face.client();
  await client.query({ ...ADD, values: [1, 2] });
  const error = await failureOf(client.query({ name: 'add', text: 'SELECT 1' }));
  assert.equal(error.message, "Prepared statements must be unique - 'add' was used for a different statement");
  assert.deepEqual((await client.query({ ...ADD, values: [3, 4] })).rows, [{ sum: 7 }]);
});

fact('named: another text for the same name in a callback and in a Query', async (_t, face) => {
  const client = await face.client();
  await client.query({ ...ADD, values: [1, 2] });
  const [error] = await called((callback) => client.query({ name: 'add', text: 'SELECT 1' }, callback));
  assert.match(error.message, /^Prepared statements must be unique/);
  const [second] = await once(client.query(new face.pg.Query({ name: 'add', text: 'SELECT 1' })), 'error');
  assert.match(second.message, /^Prepared statements must be unique/);
});

fact('named: another client may use the name for another text', async (_t, face) => {
  const [one, two] = [await face.client(), await face.client()];
  await one.query({ ...ADD, values: [1, 2] });
  assert.deepEqual((await two.query({ name: 'add', text: 'SELECT 1 AS one' })).rows, [{ one: 1 }]);
});

fact('named: two at once parse once', async (_t, face) => {
  const client = await face.client();
  const results = await Promise.all([
    client.query({ ...ADD, values: [1, 2] }),
    client.query({ ...ADD, values: [3, 4] }),
  ]);
  assert.deepEqual(
    results.map(({ rows }) => rows[0].sum),
    [3, 7],
  );
});

fact('named: a name that is longer than an identifier works', async (_t, face) => {
  const client = await face.client();
  const name = 'n'.repeat(200);
  for (const n of [1, 2]) {
    assert.deepEqual((await client.query({ name, text: 'SELECT $1::int AS n', values: [n] })).rows, [{ n }]);
  }
});

fact('named: after a text that does not parse the name is free', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query({ name: 'late', text: 'SELECT * FROM late_table' }))).code, '42P01');
  await client.query('CREATE TEMP TABLE late_table (n int)');
  assert.deepEqual((await client.query({ name: 'late', text: 'SELECT * FROM late_table' })).rows, []);
});

fact('named: after a text that does not parse the name may have another text', async (_t, face) => {
  const client = await face.client();
  await failureOf(client.query({ name: 'again', text: 'SELEKT' }));
  assert.deepEqual((await client.query({ name: 'again', text: 'SELECT 1 AS one' })).rows, [{ one: 1 }]);
});

fact('named: a run that fails leaves the statement usable', async (_t, face) => {
  const client = await face.client();
  const divide = { name: 'divide', text: 'SELECT 6 / $1::int AS q' };
  assert.deepEqual((await client.query({ ...divide, values: [2] })).rows, [{ q: 3 }]);
  assert.equal((await failureOf(client.query({ ...divide, values: [0] }))).code, '22012');
  assert.deepEqual((await client.query({ ...divide, values: [3] })).rows, [{ q: 2 }]);
});

fact('named: a value that does not fit leaves the statement usable', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query({ ...ADD, values: ['one', 2] }))).code, '22P02');
  assert.deepEqual((await client.query({ ...ADD, values: [1, 2] })).rows, [{ sum: 3 }]);
});

fact('named: a value that throws rejects with its error, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const bad = {
    toPostgres() {
      throw new Error('mine');
    },
  };
  assert.equal((await failureOf(client.query({ ...ADD, values: [bad, 2] }))).message, 'mine');
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('named: a table whose columns change makes it fail with 0A000', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE changing (a int)');
  const all = { name: 'all', text: 'SELECT * FROM changing' };
  await client.query(all);
  await client.query('ALTER TABLE changing ADD COLUMN b int');
  const error = await failureOf(client.query(all));
  assert.equal(error.code, '0A000');
  assert.equal(error.message, 'cached plan must not change result type');
});

fact('unnamed: a table whose columns change does not matter', async (_t, face) => {
  const client = await face.client();
  await client.query('CREATE TEMP TABLE changing (a int)');
  const all = ['SELECT * FROM changing WHERE $1::int = 1', [1]];
  assert.deepEqual((await client.query(...all)).fields.length, 1);
  await client.query('ALTER TABLE changing ADD COLUMN b int');
  await client.query('INSERT INTO changing VALUES (1, 2)');
  assert.deepEqual((await client.query(...all)).rows, [{ a: 1, b: 2 }]);
});

fact('unnamed: nothing stays prepared in the session', async (_t, face) => {
  const client = await face.client();
  await client.query('SELECT $1::int AS n', [1]);
  assert.deepEqual(await namesOf(client), []);
});

/** A named statement that the server has forgotten. @param {any} face @param {string} forget */
async function withForgotten(face, forget) {
  const client = await face.client();
  await client.query({ ...ADD, values: [1, 2] });
  await client.query(forget);
  return client;
}

fact(
  'named: after DEALLOCATE ALL and DISCARD ALL the next run fails with 26000',
  async (_t, face) => {
    for (const forget of ['DEALLOCATE ALL', 'DISCARD ALL']) {
      const client = await withForgotten(face, forget);
      assert.equal((await failureOf(client.query({ ...ADD, values: [1, 2] }))).code, '26000');
    }
  },
  {
    differs: {
      reason:
        'A named statement that the server has forgotten (`DEALLOCATE ALL`, `DISCARD ALL`) is prepared again; pg fails with 26000 from then on.',
      test: async (_t, face) => {
        for (const forget of ['DEALLOCATE ALL', 'DISCARD ALL']) {
          const client = await withForgotten(face, forget);
          assert.deepEqual((await client.query({ ...ADD, values: [1, 2] })).rows, [{ sum: 3 }]);
        }
      },
    },
  },
);

/** The second run of a named statement whose first values could not be converted. @param {any} face */
async function runAfterBadValue(face) {
  const client = await face.client();
  await failureOf(client.query({ ...ADD, values: [{ toPostgres: () => assert.fail('mine') }, 2] }));
  return client.query({ ...ADD, values: [1, 2] });
}

fact(
  'named: when the first values of a name cannot be converted, the next run fails with 26000',
  async (_t, face) => assert.equal((await failureOf(runAfterBadValue(face))).code, '26000'),
  {
    differs: {
      reason:
        'A named statement whose first values could not be converted can be run with others; pg fails with 26000 from then on.',
      test: async (_t, face) => assert.deepEqual((await runAfterBadValue(face)).rows, [{ sum: 3 }]),
    },
  },
);

/** Another text for a name whose first run has failed in the server. @param {any} face */
async function withOtherText(face) {
  const client = await face.client();
  await failureOf(client.query({ ...ADD, values: ['x', 1] }));
  return client.query({ name: 'add', text: 'SELECT $1::int * 10 AS tens', values: [4] });
}

fact(
  'named: another text for a name that has been parsed and has failed is refused',
  async (_t, face) =>
    assert.match((await failureOf(withOtherText(face))).message, /^Prepared statements must be unique/),
  {
    differs: {
      reason:
        'A name whose statements have only failed so far may have another text; pg refuses that if the first was parsed.',
      test: async (_t, face) => assert.deepEqual((await withOtherText(face)).rows, [{ tens: 40 }]),
    },
  },
);

fact('named: rows in pages of `rows`', async (_t, face) => {
  const client = await face.client();
  const { rows } = await client.query({ name: 'pages', text: 'SELECT generate_series(1, 10) AS n', rows: 3 });
  assert.deepEqual(
    rows.map((/** @type {{ n: number }} */ row) => row.n),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
});

fact('sql: PREPARE, EXECUTE and DEALLOCATE work as statements', async (_t, face) => {
  const client = await face.client();
  await client.query('PREPARE plus (int) AS SELECT $1 + 1 AS more');
  const { rows, command } = await client.query('EXECUTE plus(41)');
  assert.deepEqual([rows, command], [[{ more: 42 }], 'SELECT']);
  assert.equal((await client.query('DEALLOCATE plus')).command, 'DEALLOCATE');
});
