'use strict';

// Every type of the server, selected as itself and as the server prints it. The value of the first, printed by the tests' own
// printer (oracle/print.js), must be the second; and sent back as a parameter it must be the same value.
//
// The types are read from pg_type, so a new one fails the test until it has values: give it a line in oracle/values.js. A type
// that is not the server's text in JavaScript needs a line in oracle/print.js as well. HYPERION_SEED repeats a run.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const util = require('node:util');
const { Random, seedFrom } = require('../chaos/random');
const { test, useCluster } = require('../support/helpers');
const { print } = require('./oracle/print');
const { SOURCES } = require('./oracle/values');

/** @typedef {import('./oracle/print').Type} Type */

const db = useCluster({ nodes: 1 });
const seed = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');
/** Random values of each type, and of each array type. */
const DRAWN = 150;
const ARRAYS = 40;

const SETUP = `
  CREATE TYPE "odd Enum" AS ENUM ('', 'a b', 'it''s', '"', 'NULL', 'é😀');
  CREATE TABLE "odd Table" (a int);
  CREATE DOMAIN counts AS int4 CHECK (VALUE > 0);
  CREATE DOMAIN list AS int4[];
  CREATE DOMAIN label AS text;
  CREATE TYPE pair AS (a int4, "b ""C"" " text, m "odd Enum", t timestamptz, "__proto__" float8);
  CREATE DOMAIN checked AS pair;
  CREATE TYPE deep AS (p pair, ps pair[], c checked, l list, ls list[], r int4range, b bytea, n numeric[], x "char", bo box[]);
  CREATE TYPE nothing AS ();
  CREATE TYPE narrow AS (a text, gone int, z int2);
  CREATE TYPE named AS (r regclass, p pair, d date, ts timestamp[], f float4, i8 int8, bt bytea, bo bool);
  CREATE TYPE frange AS RANGE (subtype = float8);
  CREATE TYPE trange AS RANGE (subtype = text);
  CREATE TYPE prange AS RANGE (subtype = pair);
  CREATE TABLE stats (a int, b int, c text);
  INSERT INTO stats SELECT i % 10, i % 5, 'x' || i % 3 FROM generate_series(1, 1000) i;
  CREATE STATISTICS st1 (ndistinct) ON a, b FROM stats;
  CREATE STATISTICS st2 (dependencies) ON a, b FROM stats;
  CREATE STATISTICS st3 (mcv) ON a, c FROM stats;
  ANALYZE stats;
  CREATE FUNCTION reads(x text, t text) RETURNS bool LANGUAGE plpgsql AS $$
    BEGIN EXECUTE format('SELECT format(''%%s'', %L::%s)', x, t); RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END $$;`;
const EXTENSIONS = ['citext', 'hstore', 'ltree', 'cube', 'seg', 'isn'];

const TYPES = `
  SELECT t.oid::int8::text AS oid, format_type(t.oid, NULL) AS name, t.typname::text AS typname, t.typtype::text AS kind,
    t.typdelim::text AS delimiter, t.typelem::int8::text AS element, t.typlen AS len, t.typbasetype::int8::text AS base,
    coalesce(r.rngsubtype, 0)::int8::text AS subtype, n.nspname::text AS schema, t.typrelid::int8::text AS relation
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_range r ON r.rngtypid = t.oid
  LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typtype <> 'p' AND t.typisdefined AND n.nspname !~ '^pg_toast'
    AND (t.typtype <> 'c' OR c.relkind = 'c' OR c.relname IN ('pg_namespace', 'pg_class', 'pg_index'))
    AND (t.typcategory <> 'A' OR NOT EXISTS (SELECT FROM pg_type e LEFT JOIN pg_class k ON k.oid = e.typrelid
      WHERE e.oid = t.typelem AND (e.typtype = 'p' OR (e.typtype = 'c' AND k.relkind <> 'c' AND k.relname NOT IN ('pg_namespace', 'pg_class', 'pg_index')))))
  ORDER BY t.oid`;

/** @type {any} */
let pool;
/** @type {Map<string, Type & { oid: string, subtype?: Type, labels?: string[], known?: string[] }>} */
const types = new Map();

/** Reads the types of the server. */
async function readTypes() {
  const rows = await pool.query(TYPES);
  const attributes =
    await pool.query(`SELECT attrelid::int8::text AS relation, attname::text AS name, atttypid::int8::text AS type
    FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum`);
  const labels = await pool.query(
    'SELECT enumtypid::int8::text AS oid, enumlabel::text AS label FROM pg_enum ORDER BY enumsortorder',
  );
  for (const { oid, name, typname, kind, delimiter, element, len } of rows) {
    const isArray = kind === 'b' && element !== '0' && len === -1 && !['int2vector', 'oidvector'].includes(typname);
    const sorts = { b: 'base', e: 'enum', d: 'domain', c: 'composite', r: 'range', m: 'range' };
    types.set(
      oid,
      /** @type {any} */ ({
        oid,
        name,
        typname,
        delimiter,
        sort: isArray ? 'array' : sorts[/** @type {'b'} */ (kind)],
      }),
    );
  }
  for (const { oid, base, element, subtype, relation, kind } of rows) {
    const type = /** @type {any} */ (types.get(oid));
    if (type.sort === 'array') type.of = types.get(element);
    if (kind === 'd') type.of = types.get(base);
    if (kind === 'r') type.subtype = types.get(subtype);
    if (kind === 'e')
      type.labels = labels
        .filter((/** @type {any} */ one) => one.oid === oid)
        .map((/** @type {any} */ one) => one.label);
    if (kind === 'c') {
      const own = attributes.filter((/** @type {any} */ one) => one.relation === relation);
      type.fields = own.map((/** @type {any} */ one) => ({ name: one.name, type: types.get(one.type) }));
    }
  }
}

/** The type below a domain, or below domains over domains. @param {any} type @returns {any} */
const baseOf = (type) => (type.sort === 'domain' ? baseOf(type.of) : type);

/** The range type of a multirange. @param {any} type */
const rangeOf = (type) =>
  [...types.values()].find(
    (other) => other.subtype !== undefined && `${other.typname}s` === type.typname.replace('multirange', 'ranges'),
  );

/** The literals of a type that the server accepts. @param {any} type @param {Random} random @returns {Promise<string[]>} */
async function known(type, random) {
  if (type.known !== undefined) return type.known;
  const range = type.sort === 'range' && type.subtype === undefined ? rangeOf(type) : undefined;
  const fields = (type.fields ?? []).map((/** @type {any} */ field) => field.type);
  for (const part of [type.of, type.subtype, range, ...fields]) if (part !== undefined) await known(part, random);
  const given = [...new Set(literals(type, random.fork(type.name), type.sort === 'array' ? ARRAYS : DRAWN))];
  const read = await pool.query(
    'SELECT x FROM unnest($1::text[]) WITH ORDINALITY u(x, n) WHERE reads(x, $2) ORDER BY n',
    [given, type.name],
  );
  type.known = read.map((/** @type {any} */ row) => row.x);
  const bad = given.find((text) => !type.known.includes(text));
  if (type.sort === 'base' && given.length > 2)
    assert.ok(type.known.length > given.length / 8, `${type.name}: the server reads few literals, not ${bad}`);
  return type.known;
}

/** Literals of a type, some of which the server may refuse. @param {any} type @param {Random} random @param {number} drawn @returns {string[]} */
function literals(type, random, drawn) {
  const many = (/** @type {() => string} */ make) => Array.from({ length: drawn }, make);
  const short = (/** @type {any} */ of) =>
    of.known.filter((/** @type {string} */ text) => text.length < 500 && !text.startsWith('[0:'));
  const one = (/** @type {any} */ of) => random.pick(short(of));
  const quoted = (/** @type {string} */ text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
  switch (type.sort) {
    case 'enum':
      return type.labels;
    case 'domain':
      return SOURCES[type.typname]?.picked ?? literals(type.of, random, drawn);
    case 'array': {
      const { delimiter } = type;
      if (short(type.of).length === 0) return ['{}', '{NULL}'];
      const element = () => (random.once(6) ? 'NULL' : quoted(one(type.of)));
      const list = (/** @type {number} */ length) => `{${Array.from({ length }, element).join(delimiter)}}`;
      return [
        '{}',
        '{NULL}',
        `{${short(type.of).slice(0, 30).map(quoted).join(delimiter)}}`,
        ...many(() => {
          if (random.once(3) && baseOf(type.of).sort !== 'array')
            return `{${[2, 2].map(() => `{${[1, 2].map(() => list(2)).join(delimiter)}}`).join(delimiter)}}`;
          return `${random.once(5) ? '[0:2]=' : ''}${list(random.once(2) ? 3 : random.int(1, 6))}`;
        }),
      ];
    }
    case 'composite': {
      const row = () =>
        `(${type.fields.map((/** @type {any} */ field) => (random.once(5) ? '' : quoted(one(field.type) ?? ''))).join(',')})`;
      return [`(${type.fields.map(() => '').join(',')})`, ...many(row)];
    }
    case 'range': {
      if (type.subtype === undefined) {
        // A multirange has ranges of its range type.
        const base = rangeOf(type);
        const ranges = () => Array.from({ length: random.int(0, 3) }, () => one(base)).join(',');
        return ['{}', '{empty}', '{(,)}', ...many(() => `{${ranges()}}`)];
      }
      const bound = () => (random.once(6) ? '' : quoted(one(type.subtype)));
      const range = () => `${random.pick(['[', '('])}${bound()},${bound()}${random.pick([']', ')'])}`;
      return ['empty', '(,)', ...many(range), ...many(range)];
    }
    default: {
      const source = SOURCES[type.typname];
      assert.ok(source, `the type ${type.name} has no values: give it some in oracle/values.js`);
      const { picked, draw } = source;
      return draw === undefined ? picked : [...picked, ...many(() => draw(random))];
    }
  }
}

/** Whether the value contains JSON, whose text need not be that of the server. @param {any} type @returns {boolean} */
const hasJson = (type) => /^jsonb?$|^hstore$/.test(type.typname) || (type.of !== undefined && hasJson(type.of));

/** The meaning of an hstore as the server prints it, or of JSON. @param {any} type @param {string} text */
function meaning(type, text) {
  if (type.typname !== 'hstore') return JSON.parse(text);
  const object = {};
  for (const [, key, , value] of text.matchAll(/"((?:[^"\\]|\\.)*)"=>(NULL|"((?:[^"\\]|\\.)*)")/gs)) {
    const plain = (/** @type {string | undefined} */ escaped) => escaped?.replaceAll(/\\(.)/gs, '$1') ?? null;
    Object.defineProperty(object, /** @type {string} */ (plain(key)), {
      value: plain(value),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return object;
}

/** @param {string} text */
const quote = (text) => `'${text.replaceAll("'", "''")}'`;

describe('every type of the server, compared with its own text', () => {
  /** @type {string[]} */
  const mismatches = [];
  let compared = 0;
  /** Records a difference, with the place where the two texts part. @param {any} type @param {string} what @param {string} got @param {string} expected */
  function tell(type, what, got, expected) {
    let at = 0;
    while (at < got.length && got[at] === expected[at]) at++;
    const around = (/** @type {string} */ text) => JSON.stringify(text.slice(Math.max(0, at - 40), at + 80));
    mismatches.push(
      `${type.name} ${what}: got ${around(got)}, expected ${around(expected)} at ${at} of ${expected.length}`,
    );
  }

  before(async () => {
    await db.sql(SETUP);
    await db.sql('ALTER TYPE narrow DROP ATTRIBUTE gone');
    for (const extension of EXTENSIONS) await db.sql(`CREATE EXTENSION IF NOT EXISTS ${extension}`).catch(() => {});
    pool = (await import('../../client.js')).createPool(db.options({ options: { TimeZone: 'UTC' } }));
    await readTypes();
  });

  /** Compares one value. @param {any} type @param {any} v @param {string} t */
  function compare(type, v, t) {
    compared++;
    let got;
    let expected = t;
    try {
      if (hasJson(type)) {
        got = util.inspect(v, { depth: null });
        expected = util.inspect(meaning(type, t), { depth: null });
      } else {
        got = print(v, type);
        // JavaScript arrays do not have lower bounds other than 1.
        if (baseOf(type).sort === 'array') expected = t.replace(/^(\[-?\d+:-?\d+\])+=/, '');
      }
    } catch (error) {
      got = String(error);
    }
    if (got !== expected) tell(type, 'to JavaScript', got, expected);
  }

  /** The parameter for a value: a string would be read as JSON. @param {any} type @param {any} v */
  const back = (type, v) => (/^jsonb?$/.test(type.typname) ? JSON.stringify(v) : v);

  /**
   * Leaves out what the server prints and does not read: the last year of timestamps rounded up.
   * @param {any} type @param {{ v: any, t: string }[]} rows
   */
  async function readable(type, rows) {
    const all = await pool.query(
      'SELECT reads(x, $2) AS ok FROM unnest($1::text[]) WITH ORDINALITY u(x, n) ORDER BY n',
      [rows.map(({ t }) => t), type.name],
    );
    return rows.filter((_, index) => all[index].ok);
  }

  /** Sends the values back to the server. @param {any} type @param {{ v: any, t: string }[]} rows */
  async function sendBack(type, rows) {
    const equal = type.typname === 'jsonb' ? '$1::jsonb = $2::jsonb' : `format('%s', $1::${type.name}) = $2`;
    await Promise.all(
      rows.map(async ({ v, t }) => {
        // JSON.stringify has no -0 and no infinity.
        if (type.typname === 'json' && !util.isDeepStrictEqual(JSON.parse(JSON.stringify(v)), v)) return;
        compared++;
        try {
          // Lower bounds are lost, and JSON and hstore may be written in another way.
          if (
            type.typname === 'json' ||
            type.typname === 'hstore' ||
            (baseOf(type).sort === 'array' && t.startsWith('['))
          ) {
            const [[again]] = await pool.query(`SELECT $1::${type.name}`, [back(type, v)], { rowMode: 'array' });
            assert.deepStrictEqual(again, v);
          } else {
            const [[same, got]] = await pool.query(
              `SELECT ${equal}, format('%s', $1::${type.name})`,
              [back(type, v), t],
              { rowMode: 'array' },
            );
            if (!same) tell(type, 'to the server', got, t);
          }
        } catch (error) {
          tell(type, 'to the server', /** @type {Error} */ (error).message, t);
        }
      }),
    );
  }

  test('oracle: every type is read and sent as the text of the server says', { timeout: 240_000 }, async (t) => {
    const random = new Random(seed);
    const covered = new Set();
    for (const type of types.values()) {
      const texts = await known(type, random);
      const source = type.sort === 'base' ? SOURCES[type.typname] : undefined;
      const rows = [];
      if (source?.from !== undefined)
        rows.push(...(await pool.query(`SELECT v, format('%s', v) AS t FROM (${source.from}) s WHERE v IS NOT NULL`)));
      // As literals, because for some types a cast of a text value is another function.
      const values = texts.map((text) => `(${quote(text)}::${type.name})`);
      if (values.length > 0) {
        rows.push(
          ...(await pool.query(
            `SELECT v, ${hasJson(type) && type.sort === 'array' ? 'to_json(v)::text' : "format('%s', v)"} AS t FROM (VALUES ${values.join(', ')}) u(v)`,
          )),
        );
      }
      for (const { v, t: text } of rows) compare(type, v, text);
      assert.deepStrictEqual(await pool.query(`SELECT NULL::${type.name} AS v`), [{ v: null }]);
      compared++;
      // In an array of JSON a JavaScript array counts as a dimension: such a value cannot be sent back.
      if (source?.from === undefined && !(hasJson(type) && type.sort === 'array'))
        await sendBack(type, await readable(type, rows));
      if (rows.length > 0 || source?.picked.length === 0) covered.add(type.oid);
    }
    const server = await pool.value("SELECT current_setting('server_version')");
    t.diagnostic(
      `PostgreSQL ${server}, seed ${seed}: ${covered.size} of ${types.size} types covered, ${compared} values compared, ${mismatches.length} mismatches`,
    );
    assert.deepStrictEqual(mismatches.slice(0, 20), [], `${mismatches.length} mismatches, seed ${seed}`);
    assert.equal(covered.size, types.size);
    assert.ok(compared > 20_000, String(compared));
  });

  test('oracle: a statement that returns all types at once is decoded', async () => {
    const random = new Random(seed);
    const all = [...types.values()];
    const columns = await Promise.all(
      all.map(async (type, index) => {
        const first = (await known(type, random)).find((text) => text.length < 500);
        const literal = first === undefined ? 'NULL' : quote(first);
        return `${literal}::${type.name} AS c${index}`;
      }),
    );
    const [row] = await pool.query(`SELECT ${columns.join(', ')}`);
    assert.equal(Object.keys(row).length, all.length);
    const texts = await pool.query(
      `SELECT ${all
        .map((_, index) => `format('%s', c${index})`)
        .slice(0, 90)
        .join(', ')} FROM (SELECT ${columns.join(', ')}) s`,
      [],
      { rowMode: 'array' },
    );
    for (const [index, text] of texts[0].entries()) {
      const isTold = !(hasJson(all[index]) && all[index].sort === 'array');
      if (isTold && row[`c${index}`] !== null) compare(all[index], row[`c${index}`], text);
    }
    const nulls = await pool.query(`SELECT ${all.map((type, index) => `NULL::${type.name} AS c${index}`).join(', ')}`);
    assert.ok(Object.values(nulls[0]).every((value) => value === null));
    assert.deepStrictEqual(mismatches, []);
    await pool.end();
  });
});
