'use strict';

// Safe SQL out of template literals: what is interpolated is a parameter, never text.
//
// A template's parts are text, values and fragments. The text of a template without fragments is put together once and kept
// by its strings, which the engine makes once for each place in the source; equal texts are equal strings anyway, so the
// statement cache of the pool finds them.

const { ParameterError } = require('../errors.js');
const { scriptTokens } = require('../core/statements.js');

/** What the protocol can count. */
const MOST_PARAMETERS = 65_535;
/** NAMEDATALEN - 1: the server would cut the rest off and say nothing. */
const LONGEST_NAME = 63;

/** Pieces of SQL around values: `chunks[0] value chunks[1] value ... chunks[n]`. Immutable. */
class Sql {
  #chunks;
  #values;
  /** @type {string | undefined} */
  #text;

  /**
   * @param {readonly string[]} chunks one more than there are values
   * @param {readonly unknown[]} values
   * @param {string} [text] if it is known
   */
  constructor(chunks, values, text) {
    this.#chunks = chunks;
    this.#values = values;
    this.#text = text;
    Object.freeze(this);
  }

  /** The SQL with `$1`, `$2`, ... for the values. */
  get text() {
    this.#text ??= textOf(this.#chunks);
    return this.#text;
  }

  /** The values, in the order of their numbers. */
  get values() {
    return [...this.#values];
  }

  /** @param {Sql} sql */
  static parts(sql) {
    return { chunks: sql.#chunks, values: sql.#values };
  }

  /** Shows no values: they may be secrets. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `Sql(${JSON.stringify(this.text)}, ${this.#values.length} values)`;
  }
}

/** @param {readonly string[]} chunks */
function textOf(chunks) {
  let text = chunks[0];
  for (let i = 1; i < chunks.length; i++) text += `$${i}${chunks[i]}`;
  return text;
}

/** Collects text and values. */
class Builder {
  constructor() {
    this.chunks = [''];
    /** @type {unknown[]} */
    this.values = [];
  }

  /** @param {string} text */
  text(text) {
    this.chunks[this.chunks.length - 1] += text;
    return this;
  }

  /** A fragment or a value. @param {unknown} part @param {string} name for the error */
  add(part, name) {
    if (part instanceof Sql) {
      const { chunks, values } = Sql.parts(part);
      this.text(chunks[0]);
      for (let i = 0; i < values.length; i++) {
        this.values.push(values[i]);
        this.chunks.push(chunks[i + 1]);
      }
    } else {
      this.values.push(checkValue(part, name));
      this.chunks.push('');
    }
    return this;
  }

  /** A list of them. @param {readonly unknown[]} parts @param {string} name @param {Sql} between */
  list(parts, name, between = COMMA) {
    for (let i = 0; i < parts.length; i++) {
      if (i > 0) this.add(between, '');
      this.add(parts[i], `${name}[${i}]`);
    }
    return this;
  }

  end() {
    if (this.values.length > MOST_PARAMETERS) {
      throw new ParameterError(`sql: ${this.values.length} values: a statement takes at most ${MOST_PARAMETERS}`);
    }
    return new Sql(this.chunks, this.values);
  }
}

/**
 * @param {any} value
 * @param {string} name
 */
function checkValue(value, name) {
  const kind = typeof value;
  if (kind === 'function' || kind === 'symbol') throw new ParameterError(`${name}: a ${kind} is no value`);
  if (kind === 'object' && typeof value?.then === 'function') {
    throw new ParameterError(`${name}: a promise is no value: await it first`);
  }
  return value;
}

/** What is known of a place in the source. @type {WeakMap<readonly string[], { text: string }>} */
const templates = new WeakMap();

/**
 * The strings of a template, checked once.
 * @param {any} strings
 */
function template(strings) {
  const known = templates.get(strings);
  if (known !== undefined) return known;
  if (!Array.isArray(strings) || !Array.isArray(/** @type {any} */ (strings).raw)) {
    throw new ParameterError('sql is a tag: write sql`select 1`, or sql.raw(text) for text that is safe');
  }
  for (const [index, part] of strings.entries()) {
    if (part === undefined) throw new ParameterError(`sql: an invalid escape in part ${index} of the template`);
  }
  // Placeholders of the author's own would be taken for ours. In strings, comments and names they are only text.
  let before = '';
  for (const token of scriptTokens(strings.join(' ? '))) {
    if (before === '$' && /^\d$/.test(token)) {
      throw new ParameterError(`sql: write \${value} instead of $${token}: the parameters are numbered here`);
    }
    before = token;
  }
  const made = { text: textOf(strings) };
  templates.set(strings, made);
  return made;
}

/**
 * A fragment: text with parameters.
 * @param {readonly string[]} strings
 * @param {...unknown} parts
 */
function tag(strings, ...parts) {
  const { text } = template(strings);
  if (parts.some((part) => part instanceof Sql)) {
    const builder = new Builder().text(strings[0]);
    for (let i = 0; i < parts.length; i++) builder.add(parts[i], `sql: interpolation ${i + 1}`).text(strings[i + 1]);
    return builder.end();
  }
  for (let i = 0; i < parts.length; i++) checkValue(parts[i], `sql: interpolation ${i + 1}`);
  return new Sql(strings, parts, text);
}

/**
 * A name in double quotes.
 * @param {unknown} name
 */
function quoted(name) {
  if (typeof name !== 'string') throw new ParameterError(`sql: a name must be a string, not ${typeof name}`);
  if (name === '') throw new ParameterError('sql: a name must not be empty');
  if (name.includes('\0')) throw new ParameterError('sql: a name contains a NUL character');
  if (!name.isWellFormed()) throw new ParameterError('sql: a name contains an unpaired surrogate');
  if (Buffer.byteLength(name) > LONGEST_NAME) {
    throw new ParameterError(`sql: the name ${JSON.stringify(name)} has more than ${LONGEST_NAME} bytes`);
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** @param {string} text */
const fixed = (text) => new Sql([text], []);
const COMMA = fixed(', ');

/** A name, with those it is in ahead of it: `id('schema', 'table')`. @param {...string} names */
function id(...names) {
  if (names.length === 0) throw new ParameterError('sql.id needs a name');
  return fixed(names.map(quoted).join('.'));
}

/**
 * Fragments or values with something between them.
 * @param {readonly unknown[]} parts
 * @param {Sql} [separator]
 */
function join(parts, separator = COMMA) {
  if (!Array.isArray(parts)) throw new ParameterError('sql.join needs an array');
  if (parts.length === 0) throw new ParameterError('sql.join: the array is empty');
  if (!(separator instanceof Sql))
    throw new ParameterError('sql.join: the separator must be a fragment, as sql` and `');
  return new Builder().list(parts, 'sql.join', separator).end();
}

/** @param {unknown} value */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Rows for an INSERT. Arrays: `($1, $2), ($3, $4)`. Objects: `("a", "b") values ($1, $2), ($3, $4)`, with the columns
 * named, or those of the first row.
 * @param {readonly any[]} rows
 * @param {readonly string[]} [columns]
 */
function values(rows, columns) {
  if (!Array.isArray(rows)) throw new ParameterError('sql.values needs an array of rows');
  if (rows.length === 0) throw new ParameterError('sql.values: there are no rows');
  const builder = new Builder();
  if (Array.isArray(rows[0])) {
    if (columns !== undefined) throw new ParameterError('sql.values: columns belong to rows that are objects');
    const { length } = rows[0];
    if (length === 0) throw new ParameterError('sql.values: row 0 is empty');
    for (const [index, row] of rows.entries()) {
      if (!Array.isArray(row)) throw new ParameterError(`sql.values: row ${index} is no array, as row 0 is`);
      if (row.length !== length) {
        throw new ParameterError(`sql.values: row ${index} has ${row.length} values, row 0 has ${length}`);
      }
      putRow(builder, row, index);
    }
    return builder.end();
  }
  if (!isObject(rows[0])) throw new ParameterError('sql.values: row 0 is neither an array nor an object');
  const names = columns ?? Object.keys(rows[0]);
  if (!Array.isArray(names) || names.length === 0) throw new ParameterError('sql.values: there are no columns');
  builder.text(`(${names.map(quoted).join(', ')}) values `);
  for (const [index, row] of rows.entries()) {
    if (!isObject(row)) throw new ParameterError(`sql.values: row ${index} is no object, as row 0 is`);
    for (const name of names) {
      if (!Object.hasOwn(row, name))
        throw new ParameterError(`sql.values: row ${index} has no ${JSON.stringify(name)}`);
    }
    // Whoever names columns has chosen; else one too many is a mistake.
    const extra = columns === undefined ? Object.keys(row).find((key) => !names.includes(key)) : undefined;
    if (extra !== undefined) {
      throw new ParameterError(`sql.values: row ${index} has ${JSON.stringify(extra)}, row 0 has not`);
    }
    putRow(
      builder,
      names.map((name) => row[name]),
      index,
    );
  }
  return builder.end();
}

/** @param {Builder} builder @param {readonly unknown[]} row @param {number} index */
function putRow(builder, row, index) {
  builder
    .text(index === 0 ? '(' : ', (')
    .list(row, `sql.values: row ${index}`)
    .text(')');
}

/** `"a" = $1, "b" = $2`, for an UPDATE. @param {Record<string, unknown>} object */
function set(object) {
  if (!isObject(object)) throw new ParameterError('sql.set needs an object');
  const entries = Object.entries(object);
  if (entries.length === 0) throw new ParameterError('sql.set: the object has no properties');
  const builder = new Builder();
  for (const [index, [name, value]] of entries.entries()) {
    builder.text(`${index > 0 ? ', ' : ''}${quoted(name)} = `).add(value, `sql.set: ${JSON.stringify(name)}`);
  }
  return builder.end();
}

/** Text as it is: nothing in it is escaped. @param {string} text */
function raw(text) {
  if (typeof text !== 'string') throw new ParameterError('sql.raw needs a string');
  return fixed(text);
}

const HELPERS = Object.freeze({ id, join, values, set, raw });
const sql = Object.freeze(Object.assign(tag, HELPERS));

/**
 * The tag of a pool or a transaction, which runs what it is given; with the helpers.
 * @param {(fragment: Sql) => Promise<any>} run
 */
function runner(run) {
  const runTag = async (/** @type {readonly string[]} */ strings, /** @type {unknown[]} */ ...parts) =>
    run(tag(strings, ...parts));
  return Object.freeze(Object.assign(runTag, HELPERS));
}

/**
 * The text and the parameters of what a method was given: a text, or a fragment, which brings its own.
 * @param {unknown} given
 * @param {unknown} params
 * @returns {[sql: any, params: any]}
 */
function unfold(given, params) {
  if (!(given instanceof Sql)) return [given, params];
  if (params !== undefined && params !== null) {
    throw new ParameterError('params: a fragment brings its own parameters');
  }
  return [given.text, Sql.parts(given).values];
}

module.exports = { Sql, runner, sql, unfold };
