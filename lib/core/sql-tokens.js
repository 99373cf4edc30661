'use strict';

// The words and signs of SQL texts, and what is recognised by them: statements that begin or end a transaction, COPY of
// the client, and command tags.

// Strings and quoted names are not matched as a whole: a long one would overflow the stack of the regular expression. White space is
// what the server's lexer takes for it: a no-break space is a letter there.
const TOKEN =
  /[ \t\n\r\f\v]+|--[^\r\n]*|\/\*|[Ee]'|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|./sy;

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
 */
function quoteEnd(sql, from, quote) {
  const end = sql.indexOf(quote, from);
  return end === -1 ? sql.length : end + 1;
}

/**
 * Where the string that has ended before `from` goes on: after a doubled quote, or after white space with a newline in it (PostgreSQL
 * docs, 4.1.2.1); -1: it does not.
 * @param {string} sql
 * @param {number} from
 */
function continuation(sql, from) {
  if (sql[from] === "'") return from + 1;
  const space = /[ \t\f\v]+|[\n\r]|--[^\n\r]*/y;
  let hasNewline = false;
  let at = from;
  for (space.lastIndex = at; ; at = space.lastIndex) {
    const found = space.exec(sql);
    if (found === null) return hasNewline && sql[at] === "'" ? at + 1 : -1;
    hasNewline ||= /^[\n\r]/.test(found[0]);
  }
}

/**
 * The end of an E'...' that begins before `from`: a backslash escapes the next character.
 * @param {string} sql
 * @param {number} from
 */
function escapeStringEnd(sql, from) {
  const edge = /['\\]/g;
  for (let at = from; ; ) {
    edge.lastIndex = at;
    const found = edge.exec(sql);
    if (found === null) return sql.length;
    if (found[0] === '\\') {
      at = edge.lastIndex + 1;
      continue;
    }
    at = continuation(sql, edge.lastIndex);
    if (at === -1) return edge.lastIndex;
  }
}

/** Goes through the tokens of a script, as the server's lexer divides it with standard_conforming_strings. */
class Lexer {
  /** Where the token begins and ends. */
  start = 0;
  end = 0;
  /** `quoted`: a string or a quoted name; `space`: white space or a comment. @type {'word' | 'sign' | 'quoted' | 'space'} */
  kind = 'space';

  /** @param {string} sql */
  constructor(sql) {
    this.sql = sql;
  }

  /** Goes to the next token; false: there is none. */
  next() {
    const { sql, end: start } = this;
    if (start >= sql.length) return false;
    TOKEN.lastIndex = start;
    const [token] = /** @type {RegExpExecArray} */ (TOKEN.exec(sql));
    this.start = start;
    this.#take(token, start + token.length);
    return true;
  }

  /** @param {string} token @param {number} end */
  #take(token, end) {
    const { sql } = this;
    const first = token[0];
    this.end = end;
    if (first === "'" || first === '"') {
      this.kind = 'quoted';
      this.end = quoteEnd(sql, end, first);
    } else if (token.length > 1 && token[1] === "'") {
      this.kind = 'quoted';
      this.end = escapeStringEnd(sql, end);
    } else if (token.length > 1 && first === '$') {
      this.kind = 'quoted';
      const close = sql.indexOf(token, end);
      this.end = close === -1 ? sql.length : close + token.length;
    } else if (token === '/*') {
      this.kind = 'space';
      this.end = commentEnd(sql, end);
    } else if (/^[A-Za-z_\u0080-\uffff]/.test(first)) {
      this.kind = 'word';
    } else {
      this.kind = token.length === 1 && !/[ \t\n\r\f\v]/.test(first) ? 'sign' : 'space';
    }
  }
}

/**
 * The words, in upper case, and signs of a script, without white space, comments, strings and quoted names.
 * @param {string} sql
 */
function* scriptTokens(sql) {
  const lexer = new Lexer(sql);
  while (lexer.next()) {
    if (lexer.kind === 'word') yield sql.slice(lexer.start, lexer.end).toUpperCase();
    else if (lexer.kind === 'sign') yield sql[lexer.start];
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

/**
 * Why query() refuses a COPY whose data come from the client or go to it: nothing of query() could send or take them, and the connection
 * would be lost. Else null. STDIN and STDOUT mean the same to the server's parser.
 * @param {string} sql
 */
function clientCopy(sql) {
  let depth = 0;
  let before = '';
  for (const token of tokens(sql)) {
    if (before === '' && token !== 'COPY') return null;
    if (token === '(') depth++;
    else if (token === ')') depth--;
    else if (depth === 0 && (token === 'STDIN' || token === 'STDOUT')) {
      if (before === 'FROM') return 'use copyFrom()';
      if (before === 'TO') return 'use copyTo()';
    }
    before = token;
  }
  return null;
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

module.exports = { Lexer, clientCopy, commandOf, controlOf, leadingWords, scriptTokens, tokens, transactionControl };
