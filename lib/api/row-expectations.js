'use strict';

// one(), maybeOne(), many() and value() of a pool and of a transaction: how many rows the caller expects. When another number of
// rows arrives, the statement has run all the same.

const { NoRowsError, TooManyRowsError, located } = require('../errors.js');

/** @typedef {any[] & { fields: readonly { name: string }[] }} Result */

/** Throws if there are several rows. @param {Result} rows */
function checkAtMostOne(rows) {
  if (rows.length > 1) throw new TooManyRowsError(`expected one row, the statement returned ${rows.length}`);
}

/** The only row. @param {Result} rows */
function one(rows) {
  checkAtMostOne(rows);
  if (rows.length === 0) throw new NoRowsError('expected one row, the statement returned none');
  return rows[0];
}

/** The only row, or null. @param {Result} rows */
function maybeOne(rows) {
  checkAtMostOne(rows);
  return rows.length === 0 ? null : rows[0];
}

/** At least one row. @param {Result} rows */
function many(rows) {
  if (rows.length === 0) throw new NoRowsError('expected at least one row, the statement returned none');
  return rows;
}

/** The only value of the only row. @param {Result} rows */
function value(rows) {
  const row = one(rows);
  const { length } = rows.fields;
  if (length !== 1)
    throw new TooManyRowsError(`expected one column, the statement returned ${length}`, 'ERR_TOO_MANY_COLUMNS');
  return Array.isArray(row) ? row[0] : row[rows.fields[0].name];
}

/**
 * Adds one(), maybeOne(), many() and value() to a class that has query().
 * @param {{ prototype: { query(...given: any[]): Promise<any> } }} Class
 * @param {(method: string, options: unknown) => void} [checkOptions] refuses what only query() takes
 */
function addRowExpectations({ prototype }, checkOptions = () => {}) {
  for (const [name, check] of Object.entries({ one, maybeOne, many, value })) {
    /** @this {typeof prototype} @param {...any} given as query() takes it */
    const method = async function (...given) {
      try {
        checkOptions(name, given[2]);
        return check(await this.query(...given));
      } catch (error) {
        throw located(error);
      }
    };
    Object.defineProperty(prototype, name, { value: method, writable: true, configurable: true });
  }
}

module.exports = { addRowExpectations };
