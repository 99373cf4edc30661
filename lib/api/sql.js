'use strict';

// Safe SQL from template literals: an interpolated value becomes a parameter, never text.
//
// The parts of a template are text, values and fragments. The text of a template without fragments is built once and kept by the
// array of its strings, which the engine makes once for each place in the source. The pool's cache of statements goes by the text,
// so it finds equal texts of different places, too.

const { ParameterError } = require('../errors.js');
const { scriptTokens } = require('../core/sql-tokens.js');

/** The protocol counts parameters in 16 bits. */
const MOST_PARAMETERS = 65_535;
/** NAMEDATALEN - 1: the server would truncate a longer name silently. */
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
   * @param {string} [text] of chunks, if it is known
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

  /** Does not show the values: they may be secrets. */
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

/** Builds a fragment of text and parts. */
class Builder {
  constructor() {
    this.chunks = [''];
    /** @type {unknown[]} */
    this.values = [];
  }

  /** @param {string} text */
  addText(text) {
    this.chunks[this.chunks.length - 1] += text;
    return this;
  }

  /** Adds a fragment or a value. @param {unknown} part @param {string} name for the error */
  addPart(part, name) {
    if (part instanceof Sql) {
      const { chunks, values } = Sql.parts(part);
      this.addText(chunks[0]);
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

  /** Adds fragments or values with something between them. @param {readonly unknown[]} parts @param {string} name @param {Sql} between */
  addList(parts, name, between = COMMA) {
    for (let i = 0; i < parts.length; i++) {
      if (i > 0) this.addPart(between, '');
      this.addPart(parts[i], `${name}[${i}]`);
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

/** The text of each template of the source, by its strings. @type {WeakMap<readonly string[], { text: string }>} */
const templates = new WeakMap();

/**
 * The text of a template. Its strings are checked once.
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
  // A $1 of the author would be taken for the first interpolated value. In strings, comments and names it is only text.
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
 * Makes a fragment of a template: text with parameters.
 * @param {readonly string[]} strings
 * @param {...unknown} parts
 */
function tag(strings, ...parts) {
  const { text } = template(strings);
  if (parts.some((part) => part instanceof Sql)) {
    const builder = new Builder().addText(strings[0]);
    for (let i = 0; i < parts.length; i++)
      builder.addPart(parts[i], `sql: interpolation ${i + 1}`).addText(strings[i + 1]);
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

/** A quoted name, after the names that qualify it: `id('schema', 'table')`. @param {...string} names */
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
  return new Builder().addList(parts, 'sql.join', separator).end();
}

/** @param {unknown} value */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Rows for an INSERT. Arrays: `($1, $2), ($3, $4)`. Objects: `("a", "b") values ($1, $2), ($3, $4)`, with the columns that are
 * given, or else those of the first row.
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
      addRow(builder, row, index);
    }
    return builder.end();
  }
  if (!isObject(rows[0])) throw new ParameterError('sql.values: row 0 is neither an array nor an object');
  const names = columns ?? Object.keys(rows[0]);
  if (!Array.isArray(names) || names.length === 0) throw new ParameterError('sql.values: there are no columns');
  builder.addText(`(${names.map(quoted).join(', ')}) values `);
  for (const [index, row] of rows.entries()) {
    if (!isObject(row)) throw new ParameterError(`sql.values: row ${index} is no object, as row 0 is`);
    for (const name of names) {
      if (!Object.hasOwn(row, name))
        throw new ParameterError(`sql.values: row ${index} has no ${JSON.stringify(name)}`);
    }
    // Without chosen columns, a property that the first row does not have is a mistake.
    const extra = columns === undefined ? Object.keys(row).find((key) => !names.includes(key)) : undefined;
    if (extra !== undefined) {
      throw new ParameterError(`sql.values: row ${index} has ${JSON.stringify(extra)}, row 0 has not`);
    }
    addRow(
      builder,
      names.map((name) => row[name]),
      index,
    );
  }
  return builder.end();
}

/** @param {Builder} builder @param {readonly unknown[]} row @param {number} index */
function addRow(builder, row, index) {
  builder
    .addText(index === 0 ? '(' : ', (')
    .addList(row, `sql.values: row ${index}`)
    .addText(')');
}

/** `"a" = $1, "b" = $2`, for an UPDATE. @param {Record<string, unknown>} object */
function set(object) {
  if (!isObject(object)) throw new ParameterError('sql.set needs an object');
  const entries = Object.entries(object);
  if (entries.length === 0) throw new ParameterError('sql.set: the object has no properties');
  const builder = new Builder();
  for (const [index, [name, value]] of entries.entries()) {
    builder.addText(`${index > 0 ? ', ' : ''}${quoted(name)} = `).addPart(value, `sql.set: ${JSON.stringify(name)}`);
  }
  return builder.end();
}

/** A fragment of text that is not escaped. @param {string} text */
function raw(text) {
  if (typeof text !== 'string') throw new ParameterError('sql.raw needs a string');
  return fixed(text);
}

const HELPERS = Object.freeze({ id, join, values, set, raw });
const sql = Object.freeze(Object.assign(tag, HELPERS));

/**
 * The tag of a pool or a transaction: runs its template. It has the helpers of `sql`.
 * @param {(fragment: Sql) => Promise<any>} run
 */
function runner(run) {
  const runTag = async (/** @type {readonly string[]} */ strings, /** @type {unknown[]} */ ...parts) =>
    run(tag(strings, ...parts));
  return Object.freeze(Object.assign(runTag, HELPERS));
}

/**
 * The text and the parameters of a statement: of a fragment its own, else those that were given beside the text.
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
