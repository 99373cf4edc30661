'use strict';

// The forms of query(): https://node-postgres.com/apis/client#clientquery and /features/queries, and pg's own
// test/integration/client/{api,query-as-promise,simple-query,error-handling}-tests.js and test/unit/client/*.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { failureOf } = require('../../support/helpers.js');
const { called, fact } = require('../support.js');

const TEXT = 'SELECT $1::text AS name';

fact('query: a text', async (_t, face) => {
  const client = await face.client();
  const result = await client.query('SELECT 1 AS one');
  assert.ok(result instanceof face.pg.Result);
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('query: a text and values', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query(TEXT, ['brianc'])).rows, [{ name: 'brianc' }]);
});

fact('query: a text and a callback; nothing is returned', async (_t, face) => {
  const client = await face.client();
  let returned;
  const [error, result] = await called((callback) => {
    returned = client.query('SELECT 1 AS one', callback);
  });
  assert.equal(error, null);
  assert.equal(returned, undefined);
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('query: a text, values and a callback', async (_t, face) => {
  const client = await face.client();
  const [error, result] = await called((callback) => client.query(TEXT, ['brianc'], callback));
  assert.equal(error, null);
  assert.deepEqual(result.rows, [{ name: 'brianc' }]);
});

fact('query: a text, no values and a callback', async (_t, face) => {
  const client = await face.client();
  const [, result] = await called((callback) => client.query('SELECT 1 AS one', undefined, callback));
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('query: a text, null as values and a callback', async (_t, face) => {
  const client = await face.client();
  const [, result] = await called((callback) => client.query('SELECT 1 AS one', null, callback));
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('query: an object with text', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query({ text: 'SELECT 1 AS one' })).rows, [{ one: 1 }]);
});

fact('query: an object with text and values', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query({ text: TEXT, values: ['brianc'] })).rows, [{ name: 'brianc' }]);
});

fact('query: an object, and values beside it', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query({ text: TEXT }, ['brianc'])).rows, [{ name: 'brianc' }]);
});

fact('query: values beside an object come before those in it', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query({ text: TEXT, values: ['in'] }, ['beside'])).rows, [{ name: 'beside' }]);
});

fact('query: an object and a callback', async (_t, face) => {
  const client = await face.client();
  const [, result] = await called((callback) => client.query({ text: TEXT, values: ['brianc'] }, callback));
  assert.deepEqual(result.rows, [{ name: 'brianc' }]);
});

fact('query: an object, values and a callback', async (_t, face) => {
  const client = await face.client();
  const [, result] = await called((callback) => client.query({ text: TEXT }, ['brianc'], callback));
  assert.deepEqual(result.rows, [{ name: 'brianc' }]);
});

fact('query: an object with its callback in it', async (_t, face) => {
  const client = await face.client();
  const [error, result] = await called((callback) => client.query({ text: TEXT, values: ['brianc'], callback }));
  assert.equal(error, null);
  assert.deepEqual(result.rows, [{ name: 'brianc' }]);
});

fact('query: an object that is given is not changed', async (_t, face) => {
  const client = await face.client();
  const config = Object.freeze({ text: TEXT });
  await client.query(config, ['brianc']);
  assert.deepEqual(Object.keys(config), ['text']);
});

fact('query: an object whose text is a getter of its class', async (_t, face) => {
  class Statement {
    get text() {
      return TEXT;
    }
    get values() {
      return ['brianc'];
    }
  }
  const client = await face.client();
  assert.deepEqual((await client.query(new Statement())).rows, [{ name: 'brianc' }]);
});

fact('query: no values are values that are none', async (_t, face) => {
  const client = await face.client();
  assert.deepEqual((await client.query('SELECT 1 AS one', [])).rows, [{ one: 1 }]);
});

fact('query: null and undefined throw at once', async (_t, face) => {
  const client = await face.client();
  for (const nothing of [null, undefined]) {
    assert.throws(() => client.query(nothing), {
      name: 'TypeError',
      message: 'Client was passed a null or undefined query',
    });
  }
});

fact('query: without text and name it rejects, and the client goes on', async (_t, face) => {
  const client = await face.client();
  const message = 'A query must have either text or a name. Supplying neither is unsupported.';
  assert.equal((await failureOf(client.query({}))).message, message);
  assert.equal((await failureOf(client.query({ text: {} }))).message, message);
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
});

fact('query: without text a callback gets the error', async (_t, face) => {
  const client = await face.client();
  const [error] = await called((callback) => client.query({ text: {} }, callback));
  assert.match(error.message, /^A query must have either text or a name/);
});

fact('query: values that are no array reject, and the client goes on', async (_t, face) => {
  const client = await face.client();
  assert.equal((await failureOf(client.query(TEXT, 'brianc'))).message, 'Query values must be an array');
  assert.equal((await client.query(TEXT, ['brianc'])).rows[0].name, 'brianc');
});

fact('query: a callback that is no function throws', async (_t, face) => {
  const client = await face.client();
  assert.throws(() => client.query('SELECT 1', [], 'no function'), {
    name: 'TypeError',
    message: 'callback is not a function',
  });
});

fact('query: a promise rejects with the error of the server', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.query('SELEKT'));
  assert.ok(error instanceof face.pg.DatabaseError);
  assert.equal(error.code, '42601');
});

fact('query: a callback gets the error of the server alone', async (_t, face) => {
  const client = await face.client();
  const args = await called((callback) => client.query('SELEKT', callback));
  assert.equal(args[0].code, '42601');
  assert.equal(args[1], undefined);
});

fact('query: the stack of a rejection leads to who called query()', async (_t, face) => {
  const client = await face.client();
  async function whoCalledQuery() {
    await client.query('SELEKT');
  }
  const error = await failureOf(whoCalledQuery());
  assert.match(error.stack, /whoCalledQuery/);
});

fact('query: the promise is one of the global Promise', async (_t, face) => {
  const client = await face.client();
  const promise = client.query('SELECT 1');
  assert.ok(promise instanceof Promise);
  await promise;
});

fact('query: the option Promise makes the promises of a client', async (_t, face) => {
  class Mine extends Promise {}
  const client = await face.client({ Promise: Mine });
  const promise = client.query('SELECT 1');
  assert.ok(promise instanceof Mine);
  await promise;
});

fact('Query: query() returns it', async (_t, face) => {
  const client = await face.client();
  const query = new face.pg.Query('SELECT 1');
  assert.equal(client.query(query), query);
  await once(query, 'end');
});

fact('Query: Client.Query is pg.Query', (_t, face) => {
  assert.equal(face.pg.Client.Query, face.pg.Query);
});

fact('Query: it has text, values, name and types', (_t, face) => {
  const types = { getTypeParser: () => String };
  const query = new face.pg.Query({ text: TEXT, values: ['a'], name: 'n', types });
  assert.deepEqual([query.text, query.values, query.name, query.types], [TEXT, ['a'], 'n', types]);
});

fact('Query: it emits row with the row and the Result, then end with the Result', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const events = [];
  const query = client.query(new face.pg.Query('SELECT n FROM generate_series(1, 3) AS n'));
  query.on('row', (/** @type {any} */ row, /** @type {any} */ result) => {
    events.push(['row', row.n, result instanceof face.pg.Result]);
  });
  const [result] = await once(query, 'end');
  assert.deepEqual(
    events,
    [1, 2, 3].map((n) => ['row', n, true]),
  );
  assert.equal(result.command, 'SELECT');
  assert.equal(result.rowCount, 3);
});

fact('Query: with listeners of row the Result has no rows', async (_t, face) => {
  const client = await face.client();
  const query = client.query(new face.pg.Query('SELECT 1 AS one'));
  query.on('row', () => {});
  const [result] = await once(query, 'end');
  assert.deepEqual(result.rows, []);
});

fact('Query: without listeners of row the Result has the rows', async (_t, face) => {
  const client = await face.client();
  const [result] = await once(client.query(new face.pg.Query('SELECT 1 AS one')), 'end');
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('Query: with a callback both the events and the rows of the Result come', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const rows = [];
  const [error, result] = await called((callback) => {
    const query = client.query(new face.pg.Query('SELECT 1 AS one', callback));
    query.on('row', (/** @type {any} */ row) => rows.push(row));
  });
  assert.equal(error, null);
  assert.deepEqual(rows, [{ one: 1 }]);
  assert.deepEqual(result.rows, [{ one: 1 }]);
});

fact('Query: query() may be given the callback beside the Query', async (_t, face) => {
  const client = await face.client();
  const [, result] = await called((callback) => client.query(new face.pg.Query('SELECT 1 AS one'), callback));
  assert.deepEqual(result.rows, [{ one: 1 }]);
  const [, second] = await called((callback) => client.query(new face.pg.Query('SELECT 2 AS two'), [], callback));
  assert.deepEqual(second.rows, [{ two: 2 }]);
});

fact('Query: it emits the error of the server, and no end', async (_t, face) => {
  const client = await face.client();
  const query = client.query(new face.pg.Query('SELECT * FROM no_such_table'));
  query.on('end', () => assert.fail('there was an error'));
  const [error] = await once(query, 'error');
  assert.equal(error.code, '42P01');
  await client.query('SELECT 1');
});

fact('Query: with a callback an error is no event', async (_t, face) => {
  const client = await face.client();
  const [error] = await called((callback) => {
    const query = client.query(new face.pg.Query('SELECT * FROM no_such_table', callback));
    query.on('error', () => assert.fail('the callback has it'));
  });
  assert.equal(error.code, '42P01');
});

fact('Query: rowMode array gives arrays to row', async (_t, face) => {
  const client = await face.client();
  const query = client.query(new face.pg.Query({ text: 'SELECT 1 AS a, 2 AS b', rowMode: 'array' }));
  /** @type {any[]} */
  const rows = [];
  query.on('row', (/** @type {any} */ row) => rows.push(row));
  await once(query, 'end');
  assert.deepEqual(rows, [[1, 2]]);
});

fact('Query: an error after rows is emitted after the rows', async (_t, face) => {
  const client = await face.client();
  /** @type {any[]} */
  const events = [];
  const query = client.query(new face.pg.Query('SELECT 6 / (3 - n) AS q FROM generate_series(1, 5) AS n'));
  query.on('row', (/** @type {any} */ row) => events.push(row.q));
  const [error] = await once(query, 'error');
  assert.equal(error.code, '22012');
  assert.deepEqual(events, [3, 6]);
});
