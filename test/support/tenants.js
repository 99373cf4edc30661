'use strict';

// Tenants for plans.torture.test.js: schemas with a table, a view and a function of the same names, DDL at random that lets the
// statements be valid, and what a row must look like. Each value says its tenant, so that a row of another tenant is seen, and so
// is a value that was decoded by an outdated plan.
//
// The DDL lets no statement fail by itself. Each change is one transaction that first locks the view, then the table: in the order
// of the statements that read from the view. A statement that calls the function names the table, too, and first, because a
// function has no lock of its own: the server looks the function up when it has the lock of the table.

/** @typedef {import('../chaos/random').Random} Random */

const TENANTS = [1, 2, 3, 4, 5];
const EXTRAS = ['x1', 'x2', 'x3', 'x4'];
const KEY_TYPES = ['int', 'text', 'bigint'];

/** The value that a column beside id, v and tenant has, in SQL and in JavaScript, by its type. @type {Record<string, { sql: (tenant: number) => string, js: (tenant: number) => unknown, name: string }>} */
const EXTRA_TYPES = {
  int: { name: 'int4', sql: (tenant) => `${tenant * 1000 + 7}`, js: (tenant) => tenant * 1000 + 7 },
  text: { name: 'text', sql: (tenant) => `'extra ${tenant}'`, js: (tenant) => `extra ${tenant}` },
  bool: { name: 'bool', sql: (tenant) => `${tenant % 2 === 1}`, js: (tenant) => tenant % 2 === 1 },
  'int[]': { name: '_int4', sql: (tenant) => `'{${tenant},7}'::int[]`, js: (tenant) => [tenant, 7] },
};

/** The value of v in a row, which is a number or text in the table. @param {number} tenant @param {number} id */
const keyOf = (tenant, id) => `${tenant * 1_000_000 + id}`;

/** @param {number} rows how many rows each table has, from id 0 */
const setupScript = (rows) =>
  `${TENANTS.map(
    (tenant) => `
      CREATE TABLE S${tenant}.t (id int, v int, tenant int DEFAULT ${tenant});
      INSERT INTO S${tenant}.t (id, v) SELECT g, ${tenant * 1_000_000} + g FROM generate_series(0, ${rows - 1}) g;
      CREATE VIEW S${tenant}.seen AS SELECT * FROM S${tenant}.t;
      CREATE FUNCTION S${tenant}.found(n int) RETURNS SETOF S${tenant}.t LANGUAGE sql AS 'SELECT * FROM S${tenant}.t WHERE id = n';`,
  ).join('')}
  CREATE FUNCTION S.enter(tenant text) RETURNS void LANGUAGE plpgsql
    AS $$ BEGIN PERFORM set_config('search_path', tenant, true); END $$;`;

/** One tenant's table as the DDL has left it, and the next change of it. */
class Tenant {
  #random;
  #schema;
  /** The type of each column, in their order. @type {Map<string, string>} */
  #columns = new Map([
    ['id', 'int'],
    ['v', 'int'],
    ['tenant', 'int'],
  ]);

  /** @param {number} number @param {string} schema @param {Random} random */
  constructor(number, schema, random) {
    this.number = number;
    this.#schema = schema;
    this.#random = random;
  }

  /**
   * A change at random: its script, and what to call when it was committed.
   * @returns {{ kind: string, script: string, done: () => void }}
   */
  next() {
    const [kind, change] = this.#random.pick(Object.entries(CHANGES));
    const columns = new Map(this.#columns);
    const commands = change(new Draft(this.#schema, this.number, columns, this.#random));
    const table = this.#schema;
    const script = `
      BEGIN;
      SET LOCAL lock_timeout = '40ms';
      LOCK TABLE ${table}.seen IN ACCESS EXCLUSIVE MODE;
      DROP VIEW ${table}.seen;
      DROP FUNCTION ${table}.found(int);
      ${commands.map((command) => `${command};`).join('\n')}
      ${this.#view(columns)};
      ${this.#function(columns)};
      COMMIT`;
    return {
      kind,
      script,
      done: () => {
        this.#columns = columns;
      },
    };
  }

  /** Columns of the table at random, in any order; always id, v and tenant. @param {Map<string, string>} columns */
  #some(columns) {
    const kept = [...columns.keys()].filter((name) => !EXTRAS.includes(name) || this.#random.once(2));
    return this.#random.shuffled(kept);
  }

  /** @param {Map<string, string>} columns */
  #view(columns) {
    const list = this.#random.once(2) ? '*' : this.#some(columns).join(', ');
    return `CREATE VIEW ${this.#schema}.seen AS SELECT ${list} FROM ${this.#schema}.t`;
  }

  /** @param {Map<string, string>} columns */
  #function(columns) {
    const table = `${this.#schema}.t`;
    const create = `CREATE FUNCTION ${this.#schema}.found(n int) RETURNS`;
    if (this.#random.once(3)) {
      return `${create} SETOF ${table} LANGUAGE sql AS 'SELECT * FROM ${table} WHERE id = n'`;
    }
    const some = this.#some(columns);
    const types = some.map((name) => `${name} ${columns.get(name)}`).join(', ');
    const select = `SELECT ${some.map((name) => `t.${name}`).join(', ')} FROM ${table} t WHERE t.id = n`;
    if (this.#random.once(2)) return `${create} TABLE (${types}) LANGUAGE sql AS '${select}'`;
    return `${create} TABLE (${types}) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY ${select}; END'`;
  }
}

/** What a change has at hand: it changes `columns` and returns the commands. */
class Draft {
  /** @param {string} schema @param {number} tenant @param {Map<string, string>} columns @param {Random} random */
  constructor(schema, tenant, columns, random) {
    this.table = `${schema}.t`;
    this.tenant = tenant;
    this.columns = columns;
    this.random = random;
  }

  /** A name that no column has, if there is one. */
  free() {
    const names = EXTRAS.filter((name) => !this.columns.has(name));
    return names.length === 0 ? undefined : this.random.pick(names);
  }

  /** The name of a column that may come and go, if there is one. */
  extra() {
    const names = EXTRAS.filter((name) => this.columns.has(name));
    return names.length === 0 ? undefined : this.random.pick(names);
  }

  /** @param {string} name */
  add(name) {
    const type = this.random.pick(Object.keys(EXTRA_TYPES));
    this.columns.set(name, type);
    return `ALTER TABLE ${this.table} ADD COLUMN ${name} ${type} DEFAULT ${EXTRA_TYPES[type].sql(this.tenant)}`;
  }
}

/** @type {Record<string, (draft: Draft) => string[]>} */
const CHANGES = {
  'a column is added': (draft) => {
    const name = draft.free();
    return name === undefined ? [] : [draft.add(name)];
  },
  'a column is dropped': (draft) => {
    const name = draft.extra();
    if (name === undefined) return [];
    draft.columns.delete(name);
    return [`ALTER TABLE ${draft.table} DROP COLUMN ${name}`];
  },
  'a column is renamed': (draft) => {
    const [from, to] = [draft.extra(), draft.free()];
    if (from === undefined || to === undefined) return [];
    const entries = [...draft.columns].map(([name, type]) => [name === from ? to : name, type]);
    draft.columns.clear();
    for (const [name, type] of entries) draft.columns.set(name, type);
    return [`ALTER TABLE ${draft.table} RENAME COLUMN ${from} TO ${to}`];
  },
  'a column has another type': (draft) => {
    const { table, columns, tenant, random } = draft;
    const name = draft.extra();
    if (name === undefined) return [];
    const type = random.pick(Object.keys(EXTRA_TYPES));
    columns.set(name, type);
    const value = EXTRA_TYPES[type].sql(tenant);
    return [
      `ALTER TABLE ${table} ALTER COLUMN ${name} DROP DEFAULT`,
      `ALTER TABLE ${table} ALTER COLUMN ${name} TYPE ${type} USING ${value}`,
      `ALTER TABLE ${table} ALTER COLUMN ${name} SET DEFAULT ${value}`,
    ];
  },
  'v has another type': ({ table, columns, random }) => {
    const type = random.pick(KEY_TYPES);
    columns.set('v', type);
    return [`ALTER TABLE ${table} ALTER COLUMN v TYPE ${type} USING v::${type}`];
  },
  'the table is dropped and made anew': (draft) => {
    const { table, columns, tenant, random } = draft;
    for (const name of EXTRAS) columns.delete(name);
    const added = EXTRAS.filter(() => random.once(2)).map((name) => draft.add(name));
    return [
      `CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT id, v, tenant FROM ${table}`,
      `DROP TABLE ${table}`,
      `CREATE TABLE ${table} (id int, v ${columns.get('v')}, tenant int DEFAULT ${tenant})`,
      `INSERT INTO ${table} SELECT * FROM kept`,
      ...added,
    ];
  },
  'only the view and the function are made anew': () => [],
};

/**
 * What is wrong with rows of a tenant, or undefined.
 * @param {any} rows
 * @param {number} tenant
 * @param {readonly number[]} ids the ids that the rows must have, in their order
 */
function faultOf(rows, tenant, ids) {
  const names = rows.fields.map((/** @type {any} */ field) => field.name);
  const types = Object.fromEntries(rows.fields.map((/** @type {any} */ field) => [field.name, field.typeName]));
  const shown = () =>
    JSON.stringify({ tenant, ids, types, rows }, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  if (rows.length !== ids.length) return `${rows.length} rows: ${shown()}`;
  for (const name of ['id', 'v', 'tenant']) if (!names.includes(name)) return `no ${name}: ${shown()}`;
  for (const [i, row] of rows.entries()) {
    if (Object.keys(row).join() !== names.join()) return `the keys of row ${i}: ${shown()}`;
    if (row.id !== ids[i] || row.tenant !== tenant) return `row ${i} is another one: ${shown()}`;
    if (!isKey(row.v, types.v, keyOf(tenant, row.id))) return `v of row ${i}: ${shown()}`;
    for (const name of names) {
      if (['id', 'v', 'tenant'].includes(name)) continue;
      if (!EXTRAS.includes(name)) return `nobody made a column ${name}: ${shown()}`;
      const type = Object.values(EXTRA_TYPES).find((one) => one.name === types[name]);
      if (JSON.stringify(row[name]) !== JSON.stringify(type?.js(tenant))) return `${name} of row ${i}: ${shown()}`;
    }
  }
  return undefined;
}

/** @param {unknown} value @param {string} type @param {string} key */
function isKey(value, type, key) {
  const javascript = { int4: 'number', int8: 'bigint', text: 'string' }[type];
  return typeof value === javascript && String(value) === key;
}

module.exports = { TENANTS, Tenant, faultOf, keyOf, setupScript };
