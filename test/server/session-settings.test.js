'use strict';

// Session settings against a real server: what createPool accepts arrives, and text of databases in other encodings.

const assert = require('node:assert/strict');
const { createPool } = require('../../client.js');
const { endings, failureOf, test, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1, synchronous: false });

/**
 * The setting of a session of a new pool; null: createPool or the server refuses it.
 * @param {string} name
 * @param {string} value
 */
async function settingOf(name, value) {
  let pool;
  try {
    pool = createPool(/** @type {any} */ (db.options({ poolSize: 1, monitor: false, options: { [name]: value } })));
  } catch (error) {
    assert.equal(/** @type {any} */ (error).code, 'ERR_INVALID_OPTION');
    return null;
  }
  const [{ value: rows, error }] = await endings([pool.query('SELECT current_setting($1) AS v', [name])]);
  await pool.end();
  if (error !== undefined) assert.equal(error.name, 'DatabaseError', `${name} ${value}: ${error.stack}`);
  return error === undefined ? rows[0].v : null;
}

test('session settings: each that createPool accepts arrives, or the server refuses it: none is ignored', async (t) => {
  const settings = await db
    .pool(t)
    .query(`SELECT name, vartype, enumvals, current_setting(name) AS "current" FROM pg_settings
    WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend') AND vartype IN ('bool', 'enum') ORDER BY name`);
  let arrived = 0;
  const check = async (/** @type {any} */ { name, vartype, enumvals, current }) => {
    const values = vartype === 'bool' ? [current === 'on' ? 'off' : 'on'] : enumvals;
    for (const value of values.filter((/** @type {string} */ one) => one !== current).slice(0, 2)) {
      const got = await settingOf(name, value);
      if (got === null) continue;
      assert.notEqual(got, current, `${name} = ${value}`);
      arrived++;
    }
  };
  const open = [...settings];
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (let one = open.pop(); one !== undefined; one = open.pop()) await check(one);
    }),
  );
  assert.ok(arrived > 100, `${arrived} settings arrived`);
});

test('session settings: what sessions cannot change fails the first statement with the error of the server', async (t) => {
  for (const [name, code] of [
    ['is_superuser', '55P02'],
    ['fsync', '55P02'],
    ['nonsense', '42704'],
  ]) {
    const error = await failureOf(db.pool(t, { options: { [name]: 'on' } }).query('SELECT 1'));
    assert.deepEqual([error.code, error.outcome], [code, 'not-applied'], `${name}: ${error.stack}`);
  }
});

test('session settings: a role, a search path and a setting of an extension work', async (t) => {
  await db.sql('CREATE ROLE seller; CREATE SCHEMA shop');
  const options = { role: 'seller', search_path: 'shop', 'my.own': 'a b\\c', TimeZone: 'Asia/Tokyo' };
  const rows = await db
    .pool(t, { options })
    .query(
      `SELECT current_user AS role, current_setting('search_path') AS path, current_setting('my.own') AS own, current_setting('TimeZone') AS zone`,
    );
  assert.deepStrictEqual(rows, [{ role: 'seller', path: 'shop', own: 'a b\\c', zone: 'Asia/Tokyo' }]);
});

test('encodings: text of LATIN1 and SQL_ASCII databases is what docs/configuration.md says', async (t) => {
  // Only from a database of this name other encodings can be made; the test clusters have none.
  await db.sql('CREATE DATABASE template0');
  for (const encoding of ['LATIN1', 'SQL_ASCII']) {
    await db.sql(
      `CREATE DATABASE in_${encoding} TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`,
    );
  }
  const latin = db.pool(t, { database: 'in_latin1' });
  await latin.query('CREATE TABLE words (word text)');
  await latin.query('INSERT INTO words VALUES ($1)', ['é']);
  assert.deepStrictEqual(
    await latin.query('SELECT word, octet_length(word) AS bytes FROM words WHERE word = $1', ['é']),
    [{ word: 'é', bytes: 1 }],
  );
  assert.equal((await failureOf(latin.query('INSERT INTO words VALUES ($1)', ['€']))).code, '22P05');

  const ascii = db.pool(t, { database: 'in_sql_ascii', options: { client_encoding: 'auto' } });
  assert.deepStrictEqual(await ascii.query('SELECT $1::text AS word', ['é€']), [{ word: 'é€' }]);
  await ascii.query('CREATE TABLE words (word text)');
  const bytes = Buffer.from('é\\x', 'latin1');
  await ascii.query("INSERT INTO words VALUES (convert_from($1::bytea, 'SQL_ASCII'))", [bytes]);
  assert.equal((await failureOf(ascii.query('SELECT word FROM words'))).code, '22021');
  const text = "convert_from(convert(convert_to(word, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'SQL_ASCII')";
  assert.deepStrictEqual(
    await ascii.query(
      `SELECT convert_to(word, 'SQL_ASCII') AS bytes, ${text} AS word FROM words WHERE word = convert_from($1::bytea, 'SQL_ASCII')`,
      [bytes],
    ),
    [{ bytes, word: 'é\\x' }],
  );
});
