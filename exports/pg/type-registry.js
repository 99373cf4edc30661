'use strict';

// `types` of pg: the parsers of the whole process, which setTypeParser() changes. The object has the four names of pg-types.

const builtins = require('./builtins.js');
const { arrayParser } = require('./parsers/arrays.js');
const { BINARY } = require('./parsers/binary.js');
const { TEXT } = require('./parsers/text.js');

/** @typedef {(value: any) => any} Parser */

/** @type {Record<string, Record<number, Parser>>} */
const parsers = { text: { ...TEXT }, binary: { ...BINARY } };

/** How often setTypeParser() was called: whoever keeps what is made of the parsers looks at it. */
const changes = { count: 0 };

/** What has no parser. @param {unknown} value */
const noParse = (value) => String(value);

/**
 * @param {number} oid
 * @param {string} [format] 'text' or 'binary'
 * @returns {Parser}
 */
function getTypeParser(oid, format) {
  return parsers[format || 'text']?.[oid] || noParse;
}

/**
 * @param {number} oid
 * @param {string | Parser} format 'text' or 'binary'; left out: 'text'
 * @param {Parser} [parse]
 */
function setTypeParser(oid, format, parse) {
  if (typeof format === 'function') parsers.text[oid] = format;
  else parsers[format][oid] = /** @type {Parser} */ (parse);
  changes.count++;
}

const types = { getTypeParser, setTypeParser, arrayParser, builtins };

module.exports = { changes, getTypeParser, textParsers: parsers.text, types };
