'use strict';

// `TypeOverrides` of pg: the parsers of one client, in front of those of another object with getTypeParser(), by default `types`.

const { types } = require('./type-registry.js');

/** @typedef {(value: any) => any} Parser */

/**
 * A function, as in pg: classes of before ES6 inherit from it.
 * @constructor
 * @param {{ getTypeParser(oid: number, format?: string): any }} [userTypes]
 */
function TypeOverrides(userTypes) {
  this._types = userTypes || types;
  /** @type {Record<number, Parser>} */
  this.text = {};
  /** @type {Record<number, Parser>} */
  this.binary = {};
}

/** @param {string} [format] @returns {Record<number, Parser>} */
TypeOverrides.prototype.getOverrides = function (format) {
  return format === 'text' ? this.text : format === 'binary' ? this.binary : {};
};

/** @param {number} oid @param {string | Parser} format left out: 'text' @param {Parser} [parse] */
TypeOverrides.prototype.setTypeParser = function (oid, format, parse) {
  if (typeof format === 'function') this.getOverrides('text')[oid] = format;
  else this.getOverrides(format)[oid] = /** @type {Parser} */ (parse);
};

/** @param {number} oid @param {string} [format] @returns {Parser} */
TypeOverrides.prototype.getTypeParser = function (oid, format = 'text') {
  const name = format || 'text';
  return this.getOverrides(name)[oid] || this._types.getTypeParser(oid, name);
};

module.exports = TypeOverrides;
