'use strict';

// The target of a load or an unload: COPY statements as they are, or a table with its columns.

const { ParameterError } = require('../../errors.js');
const { tokens } = require('../../core/sql-tokens.js');

const NAME = /"((?:[^"]|"")+)"|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/y;

/**
 * A target as the core takes it: SQL, or a table.
 * @typedef {{ sql: string } | { table: string, columns: string[] | null }} Target
 */

/** @param {string} name */
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/**
 * Reads `schema.table (a, "B")`.
 * @param {string} text
 * @returns {Target}
 */
function parseTable(text) {
  let at = 0;
  const skip = () => {
    while (/\s/.test(text.charAt(at))) at++;
    return text.charAt(at);
  };
  const name = () => {
    skip();
    NAME.lastIndex = at;
    const found = NAME.exec(text);
    if (found === null) throw new ParameterError("target must be 'table', 'schema.table (a, b)' or COPY ...");
    at = NAME.lastIndex;
    // The server, too, folds names without quotes to lower case, in ASCII.
    return found[1]?.replaceAll('""', '"') ?? found[2].replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  };
  /** @param {string} separator */
  const names = (separator) => {
    const list = [name()];
    while (skip() === separator) {
      at++;
      list.push(name());
    }
    return list;
  };
  const table = names('.').map(quoted).join('.');
  let columns = null;
  if (skip() === '(') {
    at++;
    columns = names(',');
    if (skip() !== ')') throw new ParameterError(`target: ')' is missing after the columns`);
    at++;
  }
  if (skip() !== '') throw new ParameterError(`target: '${text.slice(at, at + 20)}' was not expected`);
  return { table, columns };
}

/**
 * Reads and checks a target.
 * @param {unknown} target
 * @param {'FROM' | 'TO'} direction
 * @returns {Target}
 */
function parseTarget(target, direction) {
  if (typeof target !== 'string') {
    throw new ParameterError(`target must be a string, not ${target === null ? 'null' : typeof target}`);
  }
  if (target.includes('\0')) throw new ParameterError('target contains a NUL character');
  if (!target.isWellFormed()) throw new ParameterError('target contains an unpaired surrogate');
  const words = [...tokens(target)];
  if (words[0] !== 'COPY') return parseTable(target);
  let depth = 0;
  const at = words.findIndex((word) => {
    if (word === '(') depth++;
    else if (word === ')') depth--;
    return depth === 0 && (word === 'FROM' || word === 'TO');
  });
  // The server's grammar accepts STDIN and STDOUT for both directions.
  if (words[at] !== direction || !['STDIN', 'STDOUT'].includes(words[at + 1])) {
    const wanted = direction === 'FROM' ? 'COPY ... FROM STDIN' : 'COPY ... TO STDOUT';
    throw new ParameterError(`target: SQL must be ${wanted} (a table named "copy" needs quotes)`);
  }
  return { sql: target };
}

/** The COPY statement of an unload. @param {Target} target */
function unloadSql(target) {
  if ('sql' in target) return target.sql;
  const list = target.columns === null ? '' : ` (${target.columns.map(quoted).join(', ')})`;
  return `COPY ${target.table}${list} TO STDOUT`;
}

module.exports = { parseTarget, quoted, unloadSql };
