'use strict';

// Makes row objects of packed slots.
//
// The core describes each row shape once (names and kinds of its columns), and refers to it by a number from then on. For each
// shape a constructor is compiled: a function that reads the slots of n rows into object literals, so that all rows of a shape
// share one hidden class. Where code generation from strings is forbidden, a plain loop is used.
//
// A row is ceil(columns / 64) words of null mask (64 bits each), then one 8-byte slot a column; see src/codec/pack.rs.

const { HyperionError } = require('../errors.js');
const json = require('./json.js');
const { parserOf } = require('./types.js');

/** The kinds of slots; the numbers are a contract with src/codec/pack.rs. */
const KIND = {
  BOOL: 0,
  INT: 1,
  FLOAT: 2,
  BIGINT: 3,
  TEXT: 4,
  BYTES: 5,
  JSON: 6,
  DATE: 7,
  VOID: 8,
  ARRAY: 9,
  RECORD: 10,
};

/** Wider rows are read by the plain loop: the engine gives up optimising huge functions. */
const WIDEST_COMPILED = 256;

/** @typedef {json.Place} Place */
/**
 * How slots of a type are read (Decoder::describe in src/codec/decode/decoder.rs).
 * @typedef {object} Read
 * @property {number} kind
 * @property {Read} [of] of an array's elements
 * @property {(Read & { name: string })[]} [fields] of a composite
 * @property {number} [parser] the number of the user's parser, which gets the text
 */
/**
 * @typedef {object} Column
 * @property {string} name
 * @property {Read} read
 * @property {number} typeOid
 * @property {string} typeName
 */
/** @typedef {(place: Place, slot: number) => unknown} Reader */

/** @param {number} ms */
const toDate = (ms) => (Number.isFinite(ms) ? new Date(ms) : ms);

/**
 * Copies the bytes: the next batch overwrites the buffer.
 * @param {Place} place
 * @param {number} slot
 */
function copyBytes({ i32, bytes, binAt }, slot) {
  return Buffer.from(bytes.subarray(binAt + i32[slot * 2], binAt + i32[slot * 2 + 1]));
}

/**
 * @param {Place} place
 * @param {number} slot
 */
function cutText({ i32, text, textAt }, slot) {
  return text.slice(textAt + i32[slot * 2], textAt + i32[slot * 2 + 1]);
}

/** The readers of the kinds that have no parts. @type {Reader[]} */
const READ = [];
READ[KIND.BOOL] = (place, slot) => place.i32[slot * 2] === 1;
READ[KIND.INT] = (place, slot) => place.i32[slot * 2];
READ[KIND.FLOAT] = (place, slot) => place.f64[slot];
READ[KIND.BIGINT] = (place, slot) => place.i64[slot];
READ[KIND.TEXT] = cutText;
READ[KIND.BYTES] = copyBytes;
READ[KIND.JSON] = json.readDocument;
READ[KIND.DATE] = (place, slot) => toDate(place.f64[slot]);
READ[KIND.VOID] = () => null;

/**
 * The function that reads slots of a type.
 * @param {Read} read
 * @returns {Reader}
 */
function readerOf({ kind, of, fields, parser }) {
  if (parser !== undefined) {
    const parse = parserOf(parser);
    if (parse === undefined) throw new HyperionError('internal error: unknown parser', 'ERR_INTERNAL');
    return (place, slot) => parse(cutText(place, slot));
  }
  if (of !== undefined) {
    const element = readerOf(of);
    return (place, slot) => readArray(place, place.aux + place.i32[slot * 2], element);
  }
  if (fields !== undefined) {
    const members = fields.map((field) => ({ name: field.name, read: readerOf(field) }));
    return (place, slot) => readRecord(place, place.aux + place.i32[slot * 2], members);
  }
  return READ[kind];
}

/** @param {Read} read @returns {boolean} */
const isParsed = ({ of, fields, parser }) =>
  parser !== undefined || (of !== undefined && isParsed(of)) || (fields?.some(isParsed) ?? false);

/**
 * The function that reads the slots of a column. An error of the user's parser gets the name of the column.
 * @param {Column} column
 * @returns {Reader}
 */
function columnReader({ name, read, typeName }) {
  const reader = readerOf(read);
  if (!isParsed(read)) return reader;
  return (place, slot) => {
    try {
      return reader(place, slot);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const error = new HyperionError(`column "${name}": the parser for ${typeName} failed: ${why}`, 'ERR_PARSER', {
        cause,
      });
      // The statement itself ran to its end.
      throw Object.assign(error, { outcome: 'applied' });
    }
  };
}

/**
 * Reads a record block: null mask, then a slot for each attribute.
 * @param {Place} place
 * @param {number} at
 * @param {{ name: string, read: Reader }[]} members
 */
function readRecord(place, at, members) {
  const first = at + Math.ceil(members.length / 64);
  /** @type {Record<string, unknown>} */
  const object = {};
  for (let i = 0; i < members.length; i++) {
    const isNull = place.i32[at * 2 + (i >> 5)] & (1 << (i & 31));
    json.setProperty(object, members[i].name, isNull ? null : members[i].read(place, first + i));
  }
  return object;
}

/**
 * Reads an array block: number of dimensions, their lengths, null mask, elements row by row.
 * @param {Place} place
 * @param {number} at
 * @param {Reader} read of an element
 */
function readArray(place, at, read) {
  const { i32 } = place;
  const dimensions = i32[at * 2];
  if (dimensions === 0) return [];
  let total = 1;
  for (let i = 1; i <= dimensions; i++) total *= i32[(at + i) * 2];
  const mask = (at + 1 + dimensions) * 2;
  const first = at + 1 + dimensions + Math.ceil(total / 64);
  let next = 0;
  /** @param {number} dimension @returns {unknown[]} */
  const level = (dimension) => {
    const length = i32[(at + dimension) * 2];
    const values = new Array(length);
    for (let i = 0; i < length; i++) {
      if (dimension < dimensions) {
        values[i] = level(dimension + 1);
      } else {
        const isNull = i32[mask + (next >> 5)] & (1 << (next & 31));
        values[i] = isNull ? null : read(place, first + next);
        next++;
      }
    }
    return values;
  };
  return level(1);
}

/**
 * The expression that reads column `index` in compiled code; `s` is the row's first slot.
 * @param {Column} column
 * @param {number} index
 */
function expression({ read: { kind, parser } }, index) {
  const slot = `s + ${index}`;
  const low = `i32[(${slot}) * 2]`;
  const high = `i32[(${slot}) * 2 + 1]`;
  switch (parser === undefined ? kind : undefined) {
    case KIND.BOOL:
      return `${low} === 1`;
    case KIND.INT:
      return low;
    case KIND.FLOAT:
      return `f64[${slot}]`;
    case KIND.BIGINT:
      return `i64[${slot}]`;
    case KIND.TEXT:
      return `text.slice(textAt + ${low}, textAt + ${high})`;
    case KIND.JSON:
      return json.documentExpression(slot);
    case KIND.VOID:
      return 'null';
    default:
      return `readers[${index}](place, ${slot})`;
  }
}

/**
 * @param {Column[]} columns
 * @param {Reader[]} readers
 */
function compile(columns, readers) {
  const words = Math.ceil(columns.length / 64);
  const masks = Array.from({ length: Math.ceil(columns.length / 32) }, (_, i) => i);
  const cells = columns.map(expression);
  const literal = columns.map((column, i) => `${json.key(column.name)}: ${cells[i]}`).join(', ');
  const nullable = columns
    .map((column, i) => `${json.key(column.name)}: m${i >> 5} & ${1 << (i & 31)} ? null : ${cells[i]}`)
    .join(', ');
  const body = `
    const { i32, f64, i64, text, textAt, aux, objects } = place;
    let o = place.slots;
    let high = 0;
    for (let row = 0; row < count; row++, o += ${words + columns.length}) {
      ${masks.map((i) => `const m${i} = i32[o * 2 + ${i}];`).join('\n      ')}
      const s = o + ${words};
      const made = (${masks.map((i) => `m${i}`).join(' | ')}) === 0 ? { ${literal} } : { ${nullable} };
      // push() makes room for 17 rows at the first.
      if (count === 1 && rows.length === 0) return [made];
      rows.push(made);
    }
    return rows;`;
  return new Function('readers', 'json', `return function readRows(place, count, rows) {${body}\n}`)(readers, json);
}

/**
 * @param {Column[]} columns
 * @param {Reader[]} readers
 */
function interpret(columns, readers) {
  const words = Math.ceil(columns.length / 64);
  /** @param {Place} place @param {number} count @param {object[]} rows */
  return function readRows(place, count, rows) {
    const { i32 } = place;
    let o = place.slots;
    for (let row = 0; row < count; row++, o += words + columns.length) {
      /** @type {Record<string, unknown>} */
      const object = {};
      for (let i = 0; i < columns.length; i++) {
        const isNull = i32[o * 2 + (i >> 5)] & (1 << (i & 31));
        json.setProperty(object, columns[i].name, isNull ? null : readers[i](place, o + words + i));
      }
      rows.push(object);
    }
    return rows;
  };
}

/**
 * @param {Column[]} columns
 * @param {Reader[]} readers
 */
function constructorFor(columns, readers) {
  if (columns.length === 0) {
    // A SELECT without columns: its rows are empty.
    return /** @param {Place} _ @param {number} count @param {object[]} rows */ (_, count, rows) => {
      for (let row = 0; row < count; row++) rows.push({});
      return rows;
    };
  }
  if (columns.length > WIDEST_COMPILED) return interpret(columns, readers);
  try {
    return compile(columns, readers);
  } catch (error) {
    if (error instanceof EvalError) return interpret(columns, readers);
    throw error;
  }
}

/** How many shapes are kept for other statements that have the same columns. */
const MOST_KEPT = 256;

/** By what the core says of them. @type {Map<string, Shape>} */
const kept = new Map();

/** The columns of a result, and how to read its rows. */
class Shape {
  /**
   * The shape that the core describes. To compile the reader of its rows takes longer than a small statement, and programs with values in
   * their texts have many statements with the same columns. Not those with parsers of the user, which live as long as their options.
   * @param {string} described
   */
  static of(described) {
    const known = kept.get(described);
    if (known !== undefined) return known;
    const shape = new Shape(JSON.parse(described));
    if (described.includes('"parser":')) return shape;
    if (kept.size >= MOST_KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
    kept.set(described, shape);
    return shape;
  }

  /** @param {(Column & Record<string, unknown>)[]} columns as src/pool/prepared.rs describes them */
  constructor(columns) {
    /** The public `fields`. */
    this.fields = Object.freeze(columns.map(({ read: _read, ...field }) => Object.freeze({ ...field })));
    this.readers = columns.map(columnReader);
    this.read = constructorFor(columns, this.readers);
  }

  /**
   * Reads rows as arrays of values, for `rowMode: 'array'`.
   * @param {Place} place
   * @param {number} count
   * @param {unknown[][]} rows
   */
  readArrays(place, count, rows) {
    const { readers } = this;
    const words = Math.ceil(readers.length / 64);
    const { i32 } = place;
    let o = place.slots;
    for (let row = 0; row < count; row++, o += words + readers.length) {
      const values = new Array(readers.length);
      for (let i = 0; i < readers.length; i++) {
        const isNull = i32[o * 2 + (i >> 5)] & (1 << (i & 31));
        values[i] = isNull ? null : readers[i](place, o + words + i);
      }
      rows.push(values);
    }
    return rows;
  }
}

module.exports = { Shape };
