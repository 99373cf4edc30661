'use strict';

// What spans say of a statement: its text without what may be secret, the summary, and the operation.
//
// "Sanitization of db.query.text" in opentelemetry.io/docs/specs/semconv/db/database-spans: in a text without parameters every literal
// becomes a question mark; a text with parameters stays as it is.

const client = /** @type {any} */ (require('../../client.js'));
const { SummaryReader } = require('./summary.js');

const { Lexer } = client[Symbol.for('hyperiondb-client.options')];

/** The convention: "MAY truncate the sanitized value for performance considerations". */
const LONGEST_TEXT = 16_384;
/** A text with parameters is read for its summary alone. What stands behind these tokens is a long list of values. */
const MOST_TOKENS = 2_000;
/** Texts that are kept with what was read of them. */
const MOST_KEPT = 1_000;
/** Longer ones are not kept: they would fill the memory, and reading them is limited. */
const LONGEST_KEPT = 10_000;

const NUMBER =
  /0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?/y;
const PARAMETER = /\$\d+/y;
/** E'...', U&'...', B'...' and the like: the letters belong to the literal. */
const PREFIX = /(?<![\w$\u0080-\uffff])(?:[BbEeNnXx]|[Uu]&)$/;

/**
 * @typedef {object} TextFacts
 * @property {string} text for `db.query.text`
 * @property {string} summary
 * @property {string} operation as the text writes it; empty: none, or several
 * @property {boolean} returns whether there is a RETURNING
 */

/** The end of what `pattern` finds at a place; -1: nothing. @param {RegExp} pattern @param {string} sql @param {number} from */
function endOf(pattern, sql, from) {
  pattern.lastIndex = from;
  return pattern.test(sql) ? pattern.lastIndex : -1;
}

/**
 * The kind of a token for the summary and for the text. A sign may be the beginning of a number or of a parameter, which is then taken
 * to its end.
 * @param {any} lexer
 * @param {string} sql
 * @returns {'space' | 'word' | 'sign' | 'name' | 'literal' | 'parameter'}
 */
function kindOf(lexer, sql) {
  const { kind, start } = lexer;
  if (kind === 'quoted') return sql[start] === '"' ? 'name' : 'literal';
  if (kind === 'word') return /^(?:true|false)$/i.test(sql.slice(start, lexer.end)) ? 'literal' : 'word';
  if (kind !== 'sign') return 'space';
  const number = endOf(NUMBER, sql, start);
  if (number !== -1) lexer.end = number;
  const parameter = endOf(PARAMETER, sql, start);
  if (parameter !== -1) lexer.end = parameter;
  if (number !== -1) return 'literal';
  return parameter === -1 ? 'sign' : 'parameter';
}

/**
 * Adds a token to a text without literals.
 * @param {string} text
 * @param {string} kind
 * @param {string} token
 * @param {string} before the kind of the token before
 */
function withToken(text, kind, token, before) {
  // A comment may have literals in it that were once a part of the statement.
  if (kind === 'space') return before === 'space' ? text : `${text} `;
  if (kind !== 'literal') return text + token;
  // The lexer reads 'it''s' as two strings.
  if (before === 'literal') return text;
  const [prefix = ''] = PREFIX.exec(text.slice(-3)) ?? [];
  return `${text.slice(0, text.length - prefix.length)}?`;
}

/**
 * Reads a text.
 * @param {string} sql
 * @param {boolean} hasParameters whether it was sent with parameters, so that its text is kept as it is
 * @returns {TextFacts}
 */
function readText(sql, hasParameters) {
  const lexer = new Lexer(sql);
  const reader = new SummaryReader();
  let text = '';
  let isCut = false;
  let before = '';
  for (let count = 0; lexer.next(); count++) {
    if (hasParameters ? reader.isFull || count >= MOST_TOKENS : text.length >= LONGEST_TEXT) {
      isCut = true;
      break;
    }
    const kind = kindOf(lexer, sql);
    const token = sql.slice(lexer.start, lexer.end);
    if (kind === 'word') reader.word(token);
    else if (kind === 'name') reader.quotedName(token);
    else if (kind === 'sign') reader.sign(token);
    else if (kind !== 'space') reader.value();
    if (!hasParameters) text = withToken(text, kind, token, before);
    before = kind;
  }
  reader.end();
  const { summary, operation, returns, statements } = reader;
  const sanitized = isCut ? `${text}...` : text.trim();
  return { text: hasParameters ? sql : sanitized, summary, operation: statements === 1 ? operation : '', returns };
}

/** Remembers what was read of texts. */
class QueryTexts {
  /** By texts with parameters, and without. */
  #kept = [new Map(), new Map()];

  /** @param {string} sql @param {boolean} hasParameters @returns {TextFacts} */
  read(sql, hasParameters) {
    const kept = this.#kept[hasParameters ? 0 : 1];
    const known = kept.get(sql);
    if (known !== undefined) return known;
    const facts = readText(sql, hasParameters);
    if (sql.length > LONGEST_KEPT) return facts;
    if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value);
    kept.set(sql, facts);
    return facts;
  }
}

module.exports = { QueryTexts };
