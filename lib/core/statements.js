'use strict';

// The statements of a pool. The text of a statement is sent to the core once, and from then on stands for a small number. The least
// recently used statements are forgotten on both sides.

const { ParameterError } = require('../errors.js');
const { clientCopy, commandOf, leadingWords, transactionControl } = require('./sql-tokens.js');

class Statement {
  /**
   * @param {number} id
   * @param {string} sql
   * @param {import('../values/types.js').Types | undefined} types if others than those of the pool
   */
  constructor(id, sql, types) {
    this.id = id;
    this.sql = sql;
    this.types = types;
    this.used = 0;
    /** Whether a parameter takes an object by its members; undefined before the first result. @type {boolean | undefined} */
    this.takesStructure = undefined;
    /** The serializers of its parameters; undefined before their types were asked for. @type {(((value: any) => unknown) | null)[] | undefined} */
    this.serializers = undefined;
    /** @type {string | null} */
    this.tag = null;
  }

  /** What the core is told of it. */
  get definition() {
    return this.types === undefined ? this.sql : `${this.types.core}\0${this.sql}`;
  }

  /** Forgets what was learned of its parameters, which may be out of date. */
  forgetParameters() {
    this.takesStructure = undefined;
    this.serializers = undefined;
  }

  get command() {
    this.tag ??= commandOf(this.sql);
    return this.tag;
  }
}

/** @param {string} sql */
function refuseControl(sql) {
  const advice = transactionControl(sql) ?? clientCopy(sql);
  if (advice !== null) throw new ParameterError(`sql: ${leadingWords(sql, 1)[0]} cannot be sent by query(): ${advice}`);
}

class Statements {
  /**
   * @param {number} capacity
   * @param {{ define(statement: Statement): void, forget(statement: Statement): void }} core
   */
  constructor(capacity, core) {
    this.capacity = capacity;
    this.core = core;
    /** By what the core knows of their types, and then by their texts. @type {Map<string | undefined, Map<string, Statement>>} */
    this.tables = new Map();
    this.size = 0;
    this.uses = 0;
    this.lastId = 0;
  }

  /**
   * The statement of a text; a new one is made known to the core.
   * @param {string} sql
   * @param {import('../values/types.js').Types} [types]
   */
  get(sql, types) {
    const statement = this.tables.get(types?.core)?.get(sql) ?? this.add(sql, types);
    statement.used = ++this.uses;
    return statement;
  }

  /**
   * Like get(), for a session whose caller has it to itself, and may begin transactions. `types` are others than those of get(), so
   * that no statement is found by both.
   * @param {string} sql
   * @param {import('../values/types.js').Types} types
   */
  getUnchecked(sql, types) {
    const statement = this.tables.get(types.core)?.get(sql) ?? this.define(sql, types);
    statement.used = ++this.uses;
    return statement;
  }

  /**
   * @param {string} sql
   * @param {import('../values/types.js').Types} [types]
   */
  add(sql, types) {
    if (typeof sql !== 'string')
      throw new ParameterError(`sql must be a string, not ${sql === null ? 'null' : typeof sql}`);
    refuseControl(sql);
    return this.define(sql, types);
  }

  /**
   * The statement with another text, as which it is sent once: with a comment of its trace. What is known of the statement holds of it,
   * and it is in no table: no other run has its text, and it would push out another one. To be forgotten when it is sent.
   * @param {Statement} statement
   * @param {string} text
   */
  once({ sql, types }, text) {
    if (!text.startsWith(sql)) refuseControl(text);
    return this.number(text, types);
  }

  /**
   * @param {string} sql
   * @param {import('../values/types.js').Types} [types]
   */
  define(sql, types) {
    const statement = this.number(sql, types);
    if (this.size >= this.capacity) this.forgetOldest();
    const table = this.tables.get(types?.core);
    if (table === undefined) this.tables.set(types?.core, new Map([[sql, statement]]));
    else table.set(sql, statement);
    this.size += 1;
    return statement;
  }

  /**
   * Makes a text known to the core.
   * @param {string} sql
   * @param {import('../values/types.js').Types} [types]
   */
  number(sql, types) {
    if (sql.includes('\0')) throw new ParameterError('sql contains a NUL character, which PostgreSQL text cannot hold');
    if (!sql.isWellFormed()) throw new ParameterError('sql contains an unpaired surrogate, which UTF-8 cannot hold');
    this.lastId = (this.lastId % 0x7fff_ffff) + 1;
    const statement = new Statement(this.lastId, sql, types);
    this.core.define(statement);
    return statement;
  }

  /** @param {Statement} statement of once() */
  forget(statement) {
    this.core.forget(statement);
  }

  /** Forgets the least recently used tenth. */
  forgetOldest() {
    const all = [...this.tables.values()].flatMap((table) => [...table.values()]).sort((a, b) => a.used - b.used);
    for (const statement of all.slice(0, Math.ceil(this.capacity / 10))) {
      const key = statement.types?.core;
      const table = /** @type {Map<string, Statement>} */ (this.tables.get(key));
      table.delete(statement.sql);
      if (table.size === 0) this.tables.delete(key);
      this.size -= 1;
      this.core.forget(statement);
    }
  }
}

module.exports = { Statement, Statements };
