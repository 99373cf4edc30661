'use strict';

// The statements of a pool. The text of a statement is sent to the core once, and from then on stands for a small number. The least
// recently used statements are forgotten on both sides.

const { ParameterError } = require('../errors.js');

// Strings and quoted names are not matched as a whole: a long one would overflow the stack of the regular expression.
const TOKEN =
  /\s+|--[^\r\n]*|\/\*|[Ee]'|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|./gsy;

/**
 * The end of a comment that begins before `from`. PostgreSQL's comments nest.
 * @param {string} sql
 * @param {number} from
 */
function commentEnd(sql, from) {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  for (let depth = 1; depth > 0; ) {
    const found = edge.exec(sql);
    if (found === null) return sql.length;
    depth += found[0] === '/*' ? 1 : -1;
  }
  return edge.lastIndex;
}

/**
 * The end of a string or a quoted name that begins before `from`. A doubled quote reads as two strings side by side.
 * @param {string} sql
 * @param {number} from
 * @param {string} quote
 * @param {boolean} escapes whether a backslash escapes the next character
 */
function quoteEnd(sql, from, quote, escapes) {
  let end = sql.indexOf(quote, from);
  if (escapes) {
    const edge = /['\\]/g;
    edge.lastIndex = from;
    let found = edge.exec(sql);
    while (found?.[0] === '\\') {
      edge.lastIndex++;
      found = edge.exec(sql);
    }
    end = found === null ? -1 : found.index;
  }
  return end === -1 ? sql.length : end + 1;
}

/**
 * The words, in upper case, and signs of a script, without white space, comments, strings and quoted names.
 * @param {string} sql
 */
function* scriptTokens(sql) {
  for (let at = 0; at < sql.length; ) {
    TOKEN.lastIndex = at;
    const [token] = /** @type {RegExpExecArray} */ (TOKEN.exec(sql));
    at += token.length;
    if (token === '/*') {
      at = commentEnd(sql, at);
    } else if (/^[Ee]?['"]$/.test(token)) {
      // A string that follows E'...' immediately continues it.
      const escapes = token.length > 1;
      do at = quoteEnd(sql, at, token.slice(-1), escapes);
      while (escapes && sql[at] === "'" && ++at);
    } else if (/^\$.*\$$/s.test(token)) {
      // A dollar-quoted string.
      const end = sql.indexOf(token, at);
      at = end === -1 ? sql.length : end + token.length;
    } else if (/^[A-Za-z_\u0080-\uffff]/.test(token)) {
      yield token.toUpperCase();
    } else if (token.length === 1 && !/\s/.test(token)) {
      yield token;
    }
  }
}

/**
 * The words and signs of one statement, without semicolons.
 * @param {string} sql
 */
function* tokens(sql) {
  for (const token of scriptTokens(sql)) if (token !== ';') yield token;
}

/**
 * The first words of a statement, at most `count`.
 * @param {string} sql
 * @param {number} count
 */
function leadingWords(sql, count) {
  const words = [];
  for (const token of tokens(sql)) {
    if (!/^[A-Z_]/.test(token)) break;
    if (words.push(token) === count) break;
  }
  return words;
}

/**
 * Why query() refuses a statement: it would begin or end a transaction without the knowledge of the pool; else null. As for the
 * server, only the leading words count.
 * @param {string} sql
 */
function transactionControl(sql) {
  return controlOf(leadingWords(sql, 4));
}

/** The advice for a statement that begins or ends a transaction; else null. @param {string[]} words the first four */
function controlOf([first, second, third, fourth]) {
  switch (first) {
    case 'BEGIN':
      return 'use begin() or transaction()';
    case 'START':
      return second === 'TRANSACTION' ? 'use begin() or transaction()' : null;
    case 'COMMIT':
    case 'END':
    case 'ABORT':
      return second === 'PREPARED' ? null : 'use commit() or rollback() of the transaction';
    case 'ROLLBACK': {
      const afterWork = second === 'WORK' || second === 'TRANSACTION' ? third : second;
      if (second === 'PREPARED' || afterWork === 'TO' || fourth === 'TO') return null;
      return 'use rollback() of the transaction';
    }
    default:
      return null;
  }
}

/** The command tags of statements whose tag is not their first word. @type {Record<string, string>} */
const TAGS = { VALUES: 'SELECT', TABLE: 'SELECT', END: 'COMMIT', ABORT: 'ROLLBACK' };

const AFTER_WITH = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'VALUES', 'TABLE']);

/**
 * The word of the command tag of a statement (`SELECT`, `INSERT`, ...). tokio-postgres keeps only the count of the tag, so the word
 * is taken from the text; after WITH, it is the first of AFTER_WITH outside parentheses.
 * @param {string} sql
 */
function commandOf(sql) {
  let depth = 0;
  let afterWith = false;
  for (const token of tokens(sql)) {
    if (token === '(') {
      if (!afterWith) return 'SELECT';
      depth++;
    } else if (token === ')') {
      depth--;
    } else if (!afterWith) {
      if (token !== 'WITH') return TAGS[token] ?? token;
      afterWith = true;
    } else if (depth === 0 && AFTER_WITH.has(token)) {
      return TAGS[token] ?? token;
    }
  }
  return afterWith ? 'SELECT' : '';
}

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

  /** The key in the table of statements. */
  get key() {
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

class Statements {
  /**
   * @param {number} capacity
   * @param {{ define(statement: Statement): void, forget(statement: Statement): void }} core
   */
  constructor(capacity, core) {
    this.capacity = capacity;
    this.core = core;
    /** By their keys. @type {Map<string, Statement>} */
    this.bySql = new Map();
    this.uses = 0;
    this.lastId = 0;
  }

  /**
   * The statement of a text; a new one is made known to the core.
   * @param {string} sql
   * @param {import('../values/types.js').Types} [types]
   */
  get(sql, types) {
    const statement = this.bySql.get(types === undefined ? sql : `${types.core}\0${sql}`) ?? this.add(sql, types);
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
    if (sql.includes('\0')) throw new ParameterError('sql contains a NUL character, which PostgreSQL text cannot hold');
    if (!sql.isWellFormed()) throw new ParameterError('sql contains an unpaired surrogate, which UTF-8 cannot hold');
    const control = transactionControl(sql);
    if (control !== null)
      throw new ParameterError(`sql: ${leadingWords(sql, 1)[0]} cannot be sent by query(): ${control}`);
    if (this.bySql.size >= this.capacity) this.forgetOldest();
    this.lastId = (this.lastId % 0x7fff_ffff) + 1;
    const statement = new Statement(this.lastId, sql, types);
    this.core.define(statement);
    this.bySql.set(statement.key, statement);
    return statement;
  }

  /** Forgets the least recently used tenth. */
  forgetOldest() {
    const oldest = [...this.bySql.values()].sort((a, b) => a.used - b.used);
    for (const statement of oldest.slice(0, Math.ceil(this.capacity / 10))) {
      this.bySql.delete(statement.key);
      this.core.forget(statement);
    }
  }
}

module.exports = { Statements, Statement, controlOf, scriptTokens, tokens };
