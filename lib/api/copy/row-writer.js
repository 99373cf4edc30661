'use strict';

// Writes the rows of a load, or its ready data, into pieces for the core.

const { isMap, isSet, isUint8Array } = require('node:util').types;
const { FrameWriter } = require('../../core/frame-writer.js');
const { OP } = require('../../core/numbers.js');
const { ParameterError } = require('../../errors.js');
const { normalizeOne } = require('../../values/params.js');
const { quoted } = require('./target.js');

/** Bytes after which a piece is sent. */
const PIECE = 64 << 10;

/**
 * The error of a row that cannot be loaded.
 * @param {number} row counted from 1
 * @param {string} reason
 * @param {string} [column]
 * @param {unknown} [cause]
 */
function invalidRow(row, reason, column, cause) {
  const message = `row ${row}${column === undefined ? ' ' : ', '}${reason}`;
  const error = new ParameterError(message, cause === undefined ? undefined : { cause });
  return Object.assign(error, { outcome: 'not-applied', row, column });
}

/** Its fields are not private, as those of FrameWriter: private fields are slow in code that the engine has not compiled. */
class RowWriter {
  /**
   * @param {import('../../core/statement-runner.js').StatementRunner} runner
   * @param {boolean} takesAny whether a row may have further properties: the caller has chosen columns
   */
  constructor(runner, takesAny) {
    this.pool = runner.pool;
    /** Not the link's writer, because the user's code runs while a frame is open. */
    this.frames = new FrameWriter((buffer, length) => runner.link.core.submit(buffer, length), PIECE * 2);
    this.takesAny = takesAny;
    this.isOpen = false;
    /** @type {string[]} */
    this.columns = [];
    /** Whether every object inherits a property of the name of the column. @type {boolean[]} */
    this.inherited = [];
    /** Whether the column takes an object by its members. @type {boolean[]} */
    this.structures = [];
    /** The serializers of the columns. @type {(((value: any) => unknown) | null)[]} */
    this.serializers = [];
    this.types = runner.types;
    this.rows = 0;
    this.rowsInPiece = 0;
    this.id = 0;
  }

  /**
   * @param {number} id of the load
   * @param {{ name: string, type: import('../../values/types.js').Type, structure: boolean }[]} columns as the core describes them
   */
  start(id, columns) {
    this.id = id;
    this.columns = columns.map(({ name }) => name);
    this.inherited = this.columns.map((name) => name in Object.prototype);
    this.structures = columns.map(({ structure }) => structure);
    this.serializers = columns.map(({ type }) => this.types.serializer(type));
  }

  get isFull() {
    return this.frames.at >= PIECE;
  }

  openPiece() {
    if (this.isOpen) return;
    this.isOpen = true;
    this.frames.open(OP.DATA, this.id, this.pool, 0, 0, 0, 0, 0);
  }

  /** Sends what was written; returns the number of its rows. */
  send() {
    const { frames, rowsInPiece } = this;
    this.isOpen = false;
    this.rowsInPiece = 0;
    frames.setCount(rowsInPiece);
    frames.close();
    frames.flush();
    return rowsInPiece;
  }

  /** @param {any} row */
  writeRow(row) {
    this.openPiece();
    const { columns } = this;
    const { length } = columns;
    if (Array.isArray(row)) {
      if (row.length !== length) {
        throw invalidRow(this.rows + 1, `has ${row.length} values for ${length} columns`);
      }
      for (let i = 0; i < length; i++) this.writeValue(row[i], i);
    } else {
      this.checkObject(row);
      for (let i = 0; i < length; i++) {
        const name = columns[i];
        const value = row[name];
        // A property that every object inherits (`__proto__`) is no value of the row.
        if (value === undefined ? !(name in row) : this.inherited[i] && !Object.hasOwn(row, name)) {
          throw invalidRow(this.rows + 1, `has no property ${quoted(name)} (null is NULL)`);
        }
        this.writeValue(value, i);
      }
    }
    this.rows++;
    this.rowsInPiece++;
  }

  /** @param {any} row */
  checkObject(row) {
    const number = this.rows + 1;
    if (typeof row !== 'object' || row === null || isUint8Array(row)) {
      const kind = row === null ? 'null' : isUint8Array(row) ? 'a Buffer' : `a ${typeof row}`;
      throw invalidRow(number, `is ${kind}: a row is an array or an object`);
    }
    // Their properties (`size`) are no columns.
    if (Object.getPrototypeOf(row) !== Object.prototype && (isMap(row) || isSet(row))) {
      throw invalidRow(number, `is a ${isMap(row) ? 'Map' : 'Set'}: a row is an array or an object`);
    }
    if (this.takesAny) return;
    // Without chosen columns, a property that is no column is a mistake.
    const { columns } = this;
    const keys = Object.keys(row);
    if (keys.length > columns.length || keys.some((key, at) => key !== columns[at])) {
      const unknown = keys.find((key) => !columns.includes(key));
      if (unknown !== undefined) throw invalidRow(number, `has ${quoted(unknown)}, which is no column`);
    }
  }

  /**
   * @param {unknown} value
   * @param {number} column
   */
  writeValue(value, column) {
    try {
      const serializer = this.serializers[column];
      const sent = serializer === null || value === null || value === undefined ? value : serializer(value);
      const isObject = typeof sent === 'object' && sent !== null;
      this.frames.value(isObject ? normalizeOne(sent, 0, this.structures[column]) : sent, 0);
    } catch (error) {
      if (!(error instanceof ParameterError)) throw error;
      const name = this.columns[column];
      throw invalidRow(this.rows + 1, error.message.replace('parameter $0', `column "${name}"`), name, error.cause);
    }
  }

  /**
   * Writes ready data.
   * @param {Uint8Array} bytes
   */
  writeBytes(bytes) {
    this.openPiece();
    this.frames.raw(bytes);
  }
}

module.exports = { PIECE, RowWriter };
