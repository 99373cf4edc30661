'use strict';

// `Result` of pg: the answer to one statement.

const { types: processTypes } = require('./type-registry.js');

/** @typedef {(value: any) => any} Parser */
/** @typedef {{ getTypeParser(oid: number, format?: string): any }} Types */
/** As a session of the core gives it. @typedef {{ name: string, tableOid: number, columnNumber: number, typeOid: number, typeSize: number, typeModifier: number }} RawField */
/** @typedef {{ rows: any[], fields: readonly RawField[], tag: string }} RawResult */
/**
 * @typedef {object} Reading
 * @property {string} [rowMode] 'array': rows are arrays
 * @property {Types} [types] what the result asks for parsers
 * @property {((oid: number, format?: string) => Parser) | null} [parse] given: the values are what the server sent, not yet parsed
 * @property {boolean} [binary] whether the values are bytes in the binary format
 */

/** Command, and one or two numbers: `INSERT 0 5`, `SELECT 3`, `CREATE TABLE`. */
const TAG = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/;

/** A column, as pg describes it. */
class Field {
  /** @param {RawField} raw @param {string} format */
  constructor(raw, format) {
    this.name = raw.name;
    this.tableID = raw.tableOid;
    this.columnID = raw.columnNumber;
    this.dataTypeID = raw.typeOid;
    this.dataTypeSize = raw.typeSize;
    this.dataTypeModifier = raw.typeModifier;
    this.format = format;
  }
}

class Result {
  /**
   * @param {string} [rowMode] 'array': rows are arrays
   * @param {Types} [types]
   */
  constructor(rowMode, types) {
    /** @type {string | null} */
    this.command = null;
    /** @type {number | null} */
    this.rowCount = null;
    /** @type {number | null} */
    this.oid = null;
    /** @type {any[]} */
    this.rows = [];
    /** @type {Field[]} */
    this.fields = [];
    /** @type {Parser[] | undefined} */
    this._parsers = undefined;
    this._types = types;
    this.RowCtor = null;
    this.rowAsArray = rowMode === 'array';
    if (this.rowAsArray) this.parseRow = this._parseRowAsArray;
    /** @type {Record<string, null> | null} */
    this._prebuiltEmptyResultObject = null;
  }

  /** The end of the statement. @param {{ text?: string, command?: string }} message */
  addCommandComplete(message) {
    const [, command, first, second] = TAG.exec(message.text || /** @type {string} */ (message.command)) ?? [];
    if (command === undefined) return;
    this.command = command;
    if (second) this.oid = Number.parseInt(first, 10);
    if (first) this.rowCount = Number.parseInt(second || first, 10);
  }

  /** @param {(string | null)[]} values @returns {any[]} */
  _parseRowAsArray(values) {
    const parsers = this.#parsers();
    return values.map((value, index) => (value === null ? null : parsers[index](value)));
  }

  /** A row of what the server sent. @param {(string | null)[]} values @returns {any} */
  parseRow(values) {
    const parsers = this.#parsers();
    /** @type {Record<string, unknown>} */
    const row = { ...this._prebuiltEmptyResultObject };
    values.forEach((value, index) => {
      const { name, format } = this.fields[index];
      const given = format === 'binary' && value !== null ? Buffer.from(value) : value;
      row[name] = given === null ? null : parsers[index](given);
    });
    return row;
  }

  /** @param {any} row */
  addRow(row) {
    this.rows.push(row);
  }

  /** Sets the columns, instead of those before. @param {any[]} fields */
  addFields(fields) {
    this.fields = fields;
    const types = this._types || processTypes;
    const parsers = fields.map(({ dataTypeID, format }) => types.getTypeParser(dataTypeID, format || 'text'));
    if (fields.length > 0) this._parsers = parsers;
    // By fromEntries(), so that a column named __proto__ is one.
    this._prebuiltEmptyResultObject = Object.fromEntries(fields.map(({ name }) => [name, null]));
  }

  /** The parsers of the columns, which fill() does not look up: most results are never asked for them. */
  #parsers() {
    if (this._parsers === undefined) this.addFields(this.fields);
    return this._parsers ?? [];
  }

  /**
   * The columns, as pg describes them.
   * @param {readonly RawField[]} fields
   * @param {boolean} [isBinary]
   */
  static fieldsOf(fields, isBinary) {
    return fields.map((field) => new Field(field, isBinary ? 'binary' : 'text'));
  }

  /**
   * Parses values in place, where the core has not.
   * @param {any[]} rows
   * @param {readonly RawField[]} fields
   * @param {Reading} reading
   */
  static parseRows(rows, fields, { rowMode, types = processTypes, parse, binary }) {
    const parserOf = parse ?? (binary ? types.getTypeParser.bind(types) : null);
    if (parserOf === null || rows.length === 0) return rows;
    const format = binary ? 'binary' : 'text';
    // Of two columns with one name the last one is in the row.
    /** @type {Map<string | number, Parser>} */
    const parsers = new Map(
      fields.map(({ name, typeOid }, index) => [rowMode === 'array' ? index : name, parserOf(typeOid, format)]),
    );
    for (const row of rows) {
      for (const [key, parser] of parsers) {
        if (row[key] !== null) row[key] = parser(row[key]);
      }
    }
    return rows;
  }

  /**
   * The Result of what a session of the core gave.
   * @param {RawResult} raw
   * @param {Reading} [reading]
   */
  static fill(raw, reading = {}) {
    return new Result(reading.rowMode, reading.types).fill(raw, reading);
  }

  /**
   * @param {RawResult} raw
   * @param {Reading} [reading]
   */
  fill(raw, reading = {}) {
    this.fields = Result.fieldsOf(raw.fields, reading.binary);
    this.rows = Result.parseRows(raw.rows, raw.fields, reading);
    if (raw.tag !== '') this.addCommandComplete({ text: raw.tag });
    return this;
  }
}

module.exports = Result;
