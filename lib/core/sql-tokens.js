'use strict';

// The words and signs of SQL texts, and what is recognised by them: statements that begin or end a transaction, and command tags.

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

module.exports = { commandOf, controlOf, leadingWords, scriptTokens, tokens, transactionControl };
