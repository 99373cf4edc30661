'use strict';

// SQL at random, made of the lexical pieces of each database (PostgreSQL docs, 4.1; sqlite.org/lang.html), with what its translation
// must be: each piece is made beside its translation, so that nothing has to be found in a text.

/** @typedef {import('../chaos/random.js').Random} Random */

/** What is put into strings, comments and names: all that could be taken for something else. */
const BAIT = [
  '?',
  '??',
  '$1',
  '$2',
  '?1',
  "'",
  '"',
  '`',
  '--',
  '/*',
  '*/',
  '$$',
  '$a$',
  '\\',
  ' ',
  'x',
  '[',
  ']',
  ';',
  ':',
  '@a',
  'é',
];

/** @param {Random} random @param {readonly string[]} [without] */
function bait(random, without = []) {
  const list = BAIT.filter((piece) => !without.some((part) => piece.includes(part)));
  return Array.from({ length: random.int(0, 6) }, () => random.pick(list)).join('');
}

/** @param {Random} random @param {string} quote */
const doubled = (random, quote) => bait(random).replaceAll(quote, quote + quote);

/** A comment of PostgreSQL, which nests. @param {Random} random @param {number} [depth] @returns {string} */
function nestedComment(random, depth = 0) {
  const inside = depth < 3 && random.once(2) ? nestedComment(random, depth + 1) : '';
  // No piece may end with a character that makes a comment sign with the next one.
  const text = () => bait(random, ['/', '*']);
  return `/*${text()} ${inside} ${text()}*/`;
}

/** The text of an E string, escaped in one of two ways. @param {Random} random */
function escaped(random) {
  return bait(random)
    .replaceAll('\\', '\\\\')
    .replace(/'/g, () => (random.once(2) ? "\\'" : "''"));
}

/** Literals and the like, as items of a SELECT list. @type {((random: Random) => string)[]} */
const POSTGRES_TEXTS = [
  (random) => `'${doubled(random, "'")}'`,
  (random) => `E'${escaped(random)}'`,
  (random) => `e'${escaped(random)}'${random.pick(['\n', ' \n ', " -- it's ?\n", '\r\n\t'])}'${escaped(random)}'`,
  (random) => `'${doubled(random, "'")}'\n'${doubled(random, "'")}'`,
  (random) => `U&'${doubled(random, "'").replaceAll('\\', '\\\\')}'`,
  (random) => `N'${doubled(random, "'")}'`,
  () => "B'0101'",
  () => "x'1F'",
  (random) => {
    const tag = random.pick(['', 'a', 'tag', 'é', 't1', '_']);
    const inside = `${bait(random, ['$'])}${random.pick(['', ' $1 ', ' $ ', ` $other$ `])}`;
    return `$${tag}$${tag === '' ? inside.replaceAll('$other$', '') : inside}$${tag}$`;
  },
  (random) => `1 AS "x${doubled(random, '"')}"`,
  (random) => `1 AS U&"x${doubled(random, '"').replaceAll('\\', '\\\\')}"`,
  (random) => `1 AS ${random.pick(['a$1', 'a$b$c', 'é$$', '_$2$', 'e$'])}`,
  (random) => `'{}'::jsonb ${random.pick(['||', '@>', '<@'])} '{}'`,
  () => '(ARRAY[1, 2])[1:2]',
  () => '1+-1',
  () => '2>-1',
];

/** Items with `#` for a placeholder, `##` for the operator of jsonb. */
const POSTGRES_PARAMETERS = [
  '#::text',
  '#::int-#::int',
  '-#::int',
  '1*#::int',
  '2>=#::int',
  '(ARRAY[1,2])[#]',
  '(ARRAY[1,2])[#:#]',
  "'{}'::jsonb##'a'",
  "'{}'::jsonb ##| ARRAY[#]",
  "'{}'::jsonb##&ARRAY[#::text]",
  "'{}'::jsonb @## '$.a'",
  "'{}'::jsonb###",
  '(SELECT 1 LIMIT#)',
  '(SELECT#::int)',
  "'{}'::jsonb##|ARRAY[#::text,#::text]",
  'CASE WHEN#THEN 1 ELSE 2 END',
  "coalesce(#,'?')",
];

/** White space and comments between pieces. @param {Random} random @param {() => string} comment */
const gap = (random, comment) => random.pick(['', ' ', '\n', '\t', () => comment(), () => ` --${bait(random)}\n`]);

/** @param {string | (() => string)} value */
const textOf = (value) => (typeof value === 'function' ? value() : value);

/**
 * The numbers of `count` placeholders, from 0: in their order, or drawn so that none is left out.
 * @param {Random} random
 * @param {number} count
 * @param {boolean} isNumbered
 */
function numbers(random, count, isNumbered) {
  const order = Array.from({ length: count }, (_, i) => i);
  if (!isNumbered || count === 0) return order;
  const highest = random.int(1, count);
  return random.shuffled(order.map((i) => (i < highest ? i : random.int(0, highest - 1))));
}

/**
 * A statement of PostgreSQL.
 * @param {Random} random
 * @returns {{ sql: string, text: string, count: number }}
 */
function postgresStatement(random) {
  const isNumbered = random.once(2);
  const parameters = isNumbered ? POSTGRES_PARAMETERS.filter((item) => !/#(?!#|::)/.test(item)) : POSTGRES_PARAMETERS;
  const items = Array.from({ length: random.int(1, 8) }, () => {
    const isText = random.once(2);
    return { isText, item: isText ? random.pick(POSTGRES_TEXTS)(random) : random.pick(parameters) };
  });
  const marked = items.filter(({ isText }) => !isText).map(({ item }) => item.replaceAll('##', ''));
  const count = marked.join('').split('#').length - 1;
  const order = numbers(random, count, isNumbered);
  let at = 0;
  const made = items.map(({ isText, item }) => {
    if (isText) return { sql: item, text: item };
    let sql = '';
    let text = '';
    for (const part of item.split(/(##|#)/)) {
      if (part === '##') {
        sql += '??';
        text += '?';
      } else if (part === '#') {
        const number = order[at++] + 1;
        const sign = isNumbered ? `${random.pick(['$', '?'])}${number}` : '?';
        // One that is used twice has one type: text, before it is cast to what the place needs.
        sql += isNumbered ? `${needsSpace(sql.at(-1))}${sign}::text` : sign;
        text += `${needsSpace(text.at(-1))}$${number}${isNumbered ? '::text' : ''}`;
      } else {
        const isTight = !isNumbered && text.endsWith(`$${order[at - 1] + 1}`) && /^[\w$]/.test(part);
        sql += part;
        text += (isTight ? ' ' : '') + part;
      }
    }
    return { sql, text };
  });
  const comma = () =>
    `${textOf(gap(random, () => nestedComment(random)))},${textOf(gap(random, () => nestedComment(random)))}`;
  let sql = 'SELECT ';
  let text = 'SELECT ';
  made.forEach((piece, i) => {
    const between = i === 0 ? '' : comma();
    sql += between + piece.sql;
    text += between + piece.text;
  });
  const end = random.pick(['', '\n', ' -- ? end', ` ${nestedComment(random)}`]);
  return { sql: sql + end, text: text + end, count: isNumbered ? new Set(order).size : count };
}

/** @param {string | undefined} before */
const needsSpace = (before) => (before !== undefined && /[\w$]/.test(before) ? ' ' : '');

/** @type {((random: Random) => string)[]} */
const SQLITE_TEXTS = [
  (random) => `'${doubled(random, "'")}'`,
  (random) => `1 AS "x${doubled(random, '"')}"`,
  (random) => `1 AS \`x${doubled(random, '`')}\``,
  (random) => `1 AS [x${bait(random, [']'])}]`,
  (random) => `1 AS ${random.pick(['a$1', 'a$b$c', 'é$$', '_$2$'])}`,
  () => "x'1F'",
  () => '1+-1',
  () => '0x1F',
];

/** A comment of SQLite, which does not nest. @param {Random} random */
const flatComment = (random) => `/*${random.pick(['', '/*', '/'])}${bait(random, ['/', '*'])} */`;

/**
 * A statement of SQLite, whose placeholders are its columns p0, p1, ...
 * @param {Random} random
 * @returns {{ sql: string, text: string, order: number[] }}
 */
function sqliteStatement(random) {
  const kinds = Array.from({ length: random.int(1, 8) }, () => random.once(2));
  const count = kinds.filter(Boolean).length;
  const isNumbered = random.once(2);
  const order = numbers(random, count, isNumbered);
  let at = 0;
  let sql = 'SELECT';
  let text = 'SELECT';
  kinds.forEach((isParameter, i) => {
    const comment = () => flatComment(random);
    const between = i === 0 ? ' ' : `${textOf(gap(random, comment))},${textOf(gap(random, comment))}`;
    const sign = isNumbered && isParameter ? `${random.pick(['$', '?'])}${order[at] + 1} ` : '?';
    const after = isNumbered ? ' ' : '';
    const item = isParameter ? '' : random.pick(SQLITE_TEXTS)(random);
    sql += between + (isParameter ? `${sign}AS p${at}` : item);
    text += between + (isParameter ? `?${after}AS p${at}` : item);
    if (isParameter) at++;
  });
  const end = random.pick(['', '\n', ' -- ? end', ` ${flatComment(random)}`, ' /* ? open']);
  return { sql: sql + end, text: text + end, order };
}

module.exports = { postgresStatement, sqliteStatement };
