'use strict';

// What the module has: https://node-postgres.com/apis/utilities, /apis/client and /apis/types, and pg's own unit tests of its
// escapes and of its exports.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { fact } = require('../support.js');

fact('module: it has the names of pg', (_t, face) => {
  for (const name of ['Client', 'Pool', 'Query', 'Result', 'Connection', 'TypeOverrides', 'DatabaseError']) {
    assert.equal(typeof face.pg[name], 'function', name);
  }
  for (const name of ['escapeIdentifier', 'escapeLiteral']) assert.equal(typeof face.pg[name], 'function', name);
  for (const name of ['types', 'defaults', 'utils']) assert.equal(typeof face.pg[name], 'object', name);
});

fact('module: native is null where pg-native is not installed', (_t, face) => {
  assert.equal(face.pg.native, null);
  assert.equal(Object.keys(face.pg).includes('native'), false);
});

fact('module: its names can be imported as an ES module', async (_t, face) => {
  const file = face.name === 'pg' ? 'pg' : require.resolve('../../../exports/pg/index.js');
  const imported = await import(file);
  assert.equal(imported.default.Client, face.pg.Client);
});

fact('module: an ES module can import its names one by one', async (_t, face) => {
  const file = face.name === 'pg' ? 'pg' : require.resolve('../../../exports/pg/index.js');
  const imported = await import(file);
  for (const name of [
    'Client',
    'Pool',
    'Query',
    'Result',
    'DatabaseError',
    'TypeOverrides',
    'types',
    'defaults',
    'escapeLiteral',
  ]) {
    assert.equal(imported[name], face.pg[name], name);
  }
});

fact('module: Client and Query are classes that can be extended', (_t, face) => {
  class MyClient extends face.pg.Client {}
  class MyQuery extends face.pg.Query {}
  assert.ok(new MyClient() instanceof EventEmitter);
  assert.ok(new MyQuery('SELECT 1') instanceof face.pg.Query);
});

fact('module: a client without arguments takes the defaults', (_t, face) => {
  const client = new face.pg.Client();
  assert.equal(client.host, 'localhost');
  assert.equal(client.port, 5432);
});

const IDENTIFIERS = [
  ['hello', '"hello"'],
  ['', '""'],
  ['hello "world"', '"hello ""world"""'],
  ["it's", '"it\'s"'],
  ['back\\slash', '"back\\slash"'],
  ['MiXed ü€', '"MiXed ü€"'],
];

fact('escapeIdentifier: quotes and everything else', (_t, face) => {
  for (const [given, escaped] of IDENTIFIERS) assert.equal(face.pg.escapeIdentifier(given), escaped);
});

fact('escapeIdentifier: what it makes is the name for the server', async (_t, face) => {
  const client = await face.client();
  for (const [given] of IDENTIFIERS.filter(([name]) => name !== '')) {
    const { fields } = await client.query(`SELECT 1 AS ${face.pg.escapeIdentifier(given)}`);
    assert.equal(fields[0].name, given);
  }
});

const LITERALS = [
  ['hello', "'hello'"],
  ['', "''"],
  ["hello 'world'", "'hello ''world'''"],
  ['"', "'\"'"],
  ['back\\slash', " E'back\\\\slash'"],
  ["both ' and \\", " E'both '' and \\\\'"],
];

fact('escapeLiteral: quotes and backslashes', (_t, face) => {
  for (const [given, escaped] of LITERALS) assert.equal(face.pg.escapeLiteral(given), escaped);
});

fact('escapeLiteral: what is no string is empty', (_t, face) => {
  for (const given of [null, undefined, 1, {}]) assert.equal(face.pg.escapeLiteral(given), "''");
});

fact('escapeLiteral: what it makes is the text for the server', async (_t, face) => {
  const client = await face.client();
  for (const text of [...LITERALS.map(([given]) => given), 'ü€😀', 'new\nline', "'; DROP TABLE x; --"]) {
    const { rows } = await client.query(`SELECT ${face.pg.escapeLiteral(text)} AS text`);
    assert.equal(rows[0].text, text);
  }
});

fact('escape: a client has both as methods', (_t, face) => {
  const client = new face.pg.Client();
  assert.equal(client.escapeIdentifier('a"b'), '"a""b"');
  assert.equal(client.escapeLiteral("it's"), "'it''s'");
});

fact('escape: Client.prototype has both', (_t, face) => {
  assert.equal(face.pg.Client.prototype.escapeIdentifier('a'), '"a"');
  assert.equal(face.pg.Client.prototype.escapeLiteral('a'), "'a'");
});
