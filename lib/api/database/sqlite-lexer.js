'use strict';

// The tokens of SQLite, as far as placeholders and statements need them (sqlite.org: lang_comment.html, lang_expr.html, "Parameters",
// and tokenize.c of SQLite). It is not PostgreSQL's lexer (lib/core/sql-tokens.js): comments do not nest, a comment `--` ends at a
// newline alone, [a] and `a` are quoted names, and there are no escapes and no dollar quotes.

const { controlOf } = require('../../core/sql-tokens.js');

const TOKEN =
  /[ \t\n\r\f]+|--[^\n]*|\/\*|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\d[\w$\u0080-\uffff]*|\?\d*|::|[$@:#][\w$\u0080-\uffff]+|./sy;

/** What ends a token that begins with this. @type {Record<string, string>} */
const CLOSE = { "'": "'", '"': '"', '`': '`', '[': ']', '/*': '*/' };

class SqliteLexer {
  start = 0;
  end = 0;
  /** @type {'word' | 'sign' | 'quoted' | 'space' | 'variable'} */
  kind = 'space';

  /** @param {string} sql */
  constructor(sql) {
    this.sql = sql;
  }

  /** Goes to the next token; false: there is none. A doubled quote reads as two strings side by side. */
  next() {
    const { sql, end: start } = this;
    if (start >= sql.length) return false;
    TOKEN.lastIndex = start;
    const [token] = /** @type {RegExpExecArray} */ (TOKEN.exec(sql));
    const close = CLOSE[token];
    this.start = start;
    this.end = start + token.length;
    if (close !== undefined) {
      const closed = sql.indexOf(close, this.end);
      this.end = closed === -1 ? sql.length : closed + close.length;
    }
    this.kind = kindOf(token);
    return true;
  }
}

/** @param {string} token or its beginning */
function kindOf(token) {
  if (token === '/*' || token.startsWith('--') || /^[ \t\n\r\f]/.test(token)) return 'space';
  if (token in CLOSE) return 'quoted';
  if (/^[\w\u0080-\uffff]/.test(token)) return 'word';
  // PostgreSQL's cast, which SQLite refuses itself.
  if (token === '::') return 'sign';
  return token[0] === '?' || (token.length > 1 && /^[$@:#]/.test(token)) ? 'variable' : 'sign';
}

/**
 * @typedef {object} Outline what a script consists of
 * @property {number} statements
 * @property {string | null} control the first word of the first statement that begins or ends a transaction
 */

/**
 * Divides a script into its statements. The body of a trigger, BEGIN ... END, has semicolons of its own.
 * @param {string} sql
 * @returns {Outline}
 */
function outlineOf(sql) {
  const lexer = new SqliteLexer(sql);
  const outline = { statements: 0, control: /** @type {string | null} */ (null) };
  /** The first words of the statement. @type {string[]} */
  let words = [];
  let isEmpty = true;
  let depth = 0;
  const endStatement = () => {
    if (isEmpty) return;
    outline.statements++;
    const [first] = words;
    const isControl = controlOf(words) !== null || first === 'SAVEPOINT' || first === 'RELEASE' || first === 'ROLLBACK';
    if (isControl) outline.control ??= first;
    [words, isEmpty] = [[], true];
  };
  while (lexer.next()) {
    if (lexer.kind === 'space') continue;
    const token = sql.slice(lexer.start, lexer.end).toUpperCase();
    if (token === ';' && depth === 0) {
      endStatement();
      continue;
    }
    isEmpty = false;
    if (lexer.kind !== 'word') continue;
    if (words[0] === 'CREATE' && words.includes('TRIGGER')) {
      if (token === 'CASE' || (token === 'BEGIN' && depth === 0)) depth++;
      else if (token === 'END' && depth > 0) depth--;
    }
    if (words.length < 4) words.push(token);
  }
  endStatement();
  return outline;
}

module.exports = { SqliteLexer, outlineOf };
