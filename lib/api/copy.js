'use strict';

// COPY: bulk load (copyFrom) and unload (copyTo).
//
// A load asks its source for rows only when the server is ready for them, writes them into pieces of about 64 KiB, and
// stops when enough pieces are on their way: the core grants more as the server takes them. Between slices of a
// millisecond the event loop runs. An unload is a Readable whose reader grants the pieces.

const { Readable } = require('node:stream');
const { setImmediate: nextTurn } = require('node:timers/promises');
const { isUint8Array } = require('node:util').types;
const { Call } = require('../core/core-link.js');
const { FLAG, OP } = require('../core/numbers.js');
const { ParameterError, located } = require('../errors.js');
const { normalizeOne } = require('../values/params.js');
const { FrameWriter } = require('../core/frame-writer.js');
const { underSignal } = require('../core/statement-runner.js');
const { tokens } = require('../core/statements.js');

/** Bytes after which a piece is sent. */
const PIECE = 64 << 10;
/** How long JavaScript may work on rows before the event loop has its turn. 3 doubles the stall, and is no faster. */
const SLICE_MS = 1;
/** A piece that waits for more this long is sent as it is: the server may have something to say of it. */
const IDLE_MS = 100;

const NAME = /"((?:[^"]|"")+)"|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/y;

/**
 * A target as the core takes it: SQL, or a table.
 * @typedef {{ sql: string } | { table: string, columns: string[] | null }} Target
 */

/** @param {string} name */
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/**
 * `schema.table (a, "B")`.
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
    // As the server has it: what is not quoted is folded to lower case, in ASCII.
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
  // The server's grammar takes either word for either direction.
  if (words[at] !== direction || !['STDIN', 'STDOUT'].includes(words[at + 1])) {
    const wanted = direction === 'FROM' ? 'COPY ... FROM STDIN' : 'COPY ... TO STDOUT';
    throw new ParameterError(`target: SQL must be ${wanted} (a table named "copy" needs quotes)`);
  }
  return { sql: target };
}

/** @param {Target} target */
function unloadSql(target) {
  if ('sql' in target) return target.sql;
  const list = target.columns === null ? '' : ` (${target.columns.map(quoted).join(', ')})`;
  return `COPY ${target.table}${list} TO STDOUT`;
}

/** What may be iterated: `next` is called with nothing. @typedef {Iterator<unknown> | AsyncIterator<unknown>} Source */

/**
 * @param {any} source
 * @param {boolean} isReady the data is ready as it is
 * @returns {() => { iterator: Source, isAsync: boolean }}
 */
function opener(source, isReady) {
  const isData = typeof source === 'string' || isUint8Array(source);
  if (isData && isReady) return () => ({ iterator: [source][Symbol.iterator](), isAsync: false });
  if (isData) throw new ParameterError('source: ready data needs a target like COPY ... FROM STDIN');
  const isAsync = typeof source?.[Symbol.asyncIterator] === 'function';
  if (!isAsync && typeof source?.[Symbol.iterator] !== 'function') {
    const things = isReady ? 'a Readable, a Buffer, a string or an iterable of these' : 'an iterable of rows';
    throw new ParameterError(`source must be ${things}`);
  }
  return () => ({ iterator: source[isAsync ? Symbol.asyncIterator : Symbol.iterator](), isAsync });
}

/**
 * @param {number} row
 * @param {string} reason
 * @param {string} [column]
 * @param {unknown} [cause]
 */
function invalidRow(row, reason, column, cause) {
  const message = `row ${row}${column === undefined ? ' ' : ', '}${reason}`;
  const error = new ParameterError(message, cause === undefined ? undefined : { cause });
  return Object.assign(error, { outcome: 'not-applied', row, column });
}

/**
 * Writes rows into pieces. Ordinary fields, as the FrameWriter has them: private ones are slow where a loop is not compiled.
 */
class Writer {
  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {boolean} takesAny further properties of a row do not matter: whoever lists columns has chosen
   */
  constructor(runner, takesAny) {
    this.pool = runner.pool;
    /** Its own, because the user's code runs while a frame is open. */
    this.frames = new FrameWriter((buffer, length) => runner.link.core.submit(buffer, length), PIECE * 2);
    this.takesAny = takesAny;
    this.isOpen = false;
    /** @type {string[]} */
    this.columns = [];
    /** Whether every object has such a property. @type {boolean[]} */
    this.inherited = [];
    /** Whether the column takes an object by its members. @type {boolean[]} */
    this.structures = [];
    /** What its values go through. @type {(((value: any) => unknown) | null)[]} */
    this.serializers = [];
    this.types = runner.types;
    this.rows = 0;
    this.rowsInPiece = 0;
    this.id = 0;
  }

  /**
   * @param {number} id of the load
   * @param {{ name: string, type: import('../values/types.js').Type, structure: boolean }[]} columns as the core describes them
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

  begin() {
    if (this.isOpen) return;
    this.isOpen = true;
    this.frames.open(OP.DATA, this.id, this.pool, 0, 0, 0, 0, 0);
  }

  /** Sends what was written; returns the rows of it. */
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
  write(row) {
    this.begin();
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
        // What every object inherits (`__proto__`) is not the row's.
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
    if (this.takesAny) return;
    // Where all columns are meant, one too many is a mistake.
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
   * Ready data.
   * @param {Uint8Array} bytes
   */
  writeBytes(bytes) {
    this.begin();
    this.frames.raw(bytes);
  }
}

/** An error of a stream that is not being read yet: reading tells it. */
const later = () => {};

class Load {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  #target;
  /** @type {any} */
  #source;
  /** @type {() => { iterator: Source, isAsync: boolean }} */
  #open;
  #options;
  /** @type {Call} */
  #call = /** @type {any} */ (undefined);
  /** @type {Source | undefined} */
  #iterator;
  /** The source has nothing more to give, or to be told. */
  #exhausted = false;
  /** Its next() has not answered yet. */
  #pending = false;
  /** Nobody waits for data any more. */
  #over = false;
  /** What the source, or a callback, threw. @type {{ error: unknown } | undefined} */
  #failure;
  #writer;
  #credit = 0;
  /** Rows of the pieces that are on their way. @type {number[]} */
  #sent = [];
  /** What the server has. */
  #done = { rows: 0, bytes: 0 };
  /** @type {(() => void) | undefined} */
  #wake;
  /** Sends what has waited too long. @type {NodeJS.Timeout | undefined} */
  #idle;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {Target} target
   * @param {unknown} source
   * @param {Record<string, any>} options checked
   */
  constructor(runner, target, source, options) {
    this.#runner = runner;
    this.#target = target;
    this.#source = source;
    this.#open = opener(source, this.#isReady);
    this.#options = options;
    this.#writer = new Writer(runner, 'columns' in target && target.columns !== null);
  }

  get #isReady() {
    return 'sql' in this.#target;
  }

  /** @param {number} transaction 0: one of its own */
  async run(transaction) {
    const { link, pool } = this.#runner;
    const { signal, timeoutMs = 0 } = this.#options;
    const isStream = this.#source instanceof Readable;
    if (isStream) this.#source.on('error', later);
    try {
      const call = await underSignal(
        link,
        pool,
        signal,
        (started) =>
          new Promise((resolve, reject) => {
            const call = new Call(resolve, reject);
            call.onGrant = (pieces, bytes, columns) => this.#granted(pieces, bytes, columns);
            const id = link.register(call);
            this.#call = call;
            const flags = signal === undefined ? 0 : FLAG.HAS_SIGNAL;
            link.tellText(OP.LOAD, id, pool, 0, transaction, flags, timeoutMs, JSON.stringify(this.#target));
            started(call);
          }),
      );
      return { rowCount: call.rowCount, bytes: this.#done.bytes };
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure.error;
      throw located(error);
    } finally {
      if (isStream && this.#iterator === undefined) this.#source.off('error', later);
      await this.#leave();
    }
  }

  /** The node that served it; -1: none did. */
  get node() {
    return this.#call?.node ?? -1;
  }

  /** Lets go of a source that has more to give. */
  async #leave() {
    this.#over = true;
    this.#wake?.();
    clearInterval(this.#idle);
    if (this.#iterator === undefined || this.#exhausted) return;
    const isStuck = this.#pending;
    if (isStuck && typeof this.#source.destroy === 'function') this.#source.destroy();
    try {
      const left = this.#iterator.return?.();
      if (isStuck) Promise.resolve(left).catch(() => {});
      else await left;
    } catch {
      // How the load ended is what counts.
    }
  }

  /**
   * The core takes more.
   * @param {number} pieces
   * @param {number} bytes that the server has
   * @param {string} columns JSON; the first time
   */
  #granted(pieces, bytes, columns) {
    this.#credit += pieces;
    this.#done.bytes = bytes;
    if (columns !== '') {
      this.#writer.start(this.#call.id, JSON.parse(columns));
      this.#pump();
      return;
    }
    // The last one grants nothing: it only tells the bytes.
    if (pieces > 0) {
      this.#done.rows += this.#sent.shift() ?? 0;
      try {
        this.#options.onProgress?.({ ...this.#done });
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#wake?.();
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#over || this.#call.id === 0) return;
    this.#over = true;
    this.#failure = { error };
    this.#end(FLAG.FAILED);
    this.#wake?.();
  }

  /** @param {number} flags */
  #end(flags) {
    const { link, pool } = this.#runner;
    if (this.#call.id !== 0) link.tellText(OP.END_DATA, this.#call.id, pool, 0, 0, flags, 0, '');
  }

  async #pump() {
    this.#idle = setInterval(() => {
      if (this.#pending && this.#credit > 0) this.#send();
    }, IDLE_MS);
    try {
      const { iterator, isAsync } = this.#open();
      this.#iterator = iterator;
      await this.#take(iterator, isAsync);
      this.#send();
      // Until then a progress callback may still stop it.
      while (this.#sent.length > 0 && !this.#over) await this.#granting();
      if (!this.#over) this.#end(0);
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * @param {any} iterator
   * @param {boolean} isAsync
   */
  async #take(iterator, isAsync) {
    const writer = this.#writer;
    const isReady = this.#isReady;
    let until = performance.now() + SLICE_MS;
    for (let turn = 1; !this.#over; turn++) {
      const step = isAsync ? await this.#next(iterator) : this.#nextNow(iterator);
      if (this.#over) return;
      if (step.done) {
        this.#exhausted = true;
        return;
      }
      if (isReady) await this.#writeBytes(step.value, turn);
      else writer.write(step.value);
      if (writer.isFull) {
        this.#send();
        while (this.#credit === 0 && !this.#over) {
          await this.#granting();
          until = performance.now() + SLICE_MS;
        }
      }
      // Chunks are large, rows are small.
      if ((isReady || (turn & 15) === 0) && performance.now() > until) {
        await nextTurn();
        until = performance.now() + SLICE_MS;
      }
    }
  }

  /** Sends what was written. */
  #send() {
    if (!this.#writer.isOpen || this.#call.id === 0) return;
    this.#sent.push(this.#writer.send());
    this.#credit--;
  }

  /** @param {AsyncIterator<unknown>} iterator */
  async #next(iterator) {
    this.#pending = true;
    try {
      return await iterator.next();
    } catch (error) {
      this.#exhausted = true;
      throw error;
    } finally {
      this.#pending = false;
    }
  }

  /** @param {Iterator<unknown>} iterator */
  #nextNow(iterator) {
    try {
      return iterator.next();
    } catch (error) {
      this.#exhausted = true;
      throw error;
    }
  }

  /** Resolves when the core grants more, or when it is over. @returns {Promise<void>} */
  #granting() {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  /**
   * Ready data, in pieces.
   * @param {any} chunk
   * @param {number} number
   */
  async #writeBytes(chunk, number) {
    if (typeof chunk !== 'string' && !isUint8Array(chunk)) {
      throw new ParameterError(`source: chunk ${number} must be a Buffer, a Uint8Array or a string`);
    }
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    for (let at = 0; at < bytes.length && !this.#over; at += PIECE) {
      while (this.#credit === 0 && !this.#over) await this.#granting();
      if (this.#over) return;
      this.#writer.writeBytes(bytes.subarray(at, at + PIECE));
      if (this.#writer.isFull) this.#send();
    }
  }
}

/**
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {number} transaction 0: one of its own
 * @param {unknown} target
 * @param {unknown} source
 * @param {Record<string, any>} options checked
 */
async function copyFrom(runner, transaction, target, source, options) {
  const load = new Load(runner, parseTarget(target, 'FROM'), source, options);
  return logged(runner, /** @type {string} */ (target), load, () => load.run(transaction));
}

/**
 * Runs `work` and tells the logger, if there is one.
 * @template {{ rowCount?: number } | void} T
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {string} sql
 * @param {{ node: number }} copy
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function logged(runner, sql, copy, work) {
  if (runner.logger === undefined) return work();
  const started = performance.now();
  const end = (/** @type {object} */ how) => runner.tell(sql, performance.now() - started, copy.node, how);
  try {
    const result = await work();
    end(result === undefined ? {} : { rowCount: result.rowCount });
    return result;
  } catch (error) {
    end({ error });
    throw error;
  }
}

class Unload extends Readable {
  /** @type {import('../core/statement-runner.js').StatementRunner} */
  #runner;
  #transaction;
  #sql;
  #options;
  /** @type {Call | undefined} */
  #call;
  /** Resolves when it has ended, however. @type {Promise<void> | undefined} */
  #settled;
  /** Pieces that have arrived and that the reader has not asked to follow. */
  #owed = 0;

  /**
   * @param {import('../core/statement-runner.js').StatementRunner} runner
   * @param {number} transaction
   * @param {string} sql
   * @param {Record<string, any>} options checked
   */
  constructor(runner, transaction, sql, options) {
    super(options.highWaterMark === undefined ? {} : { highWaterMark: options.highWaterMark });
    this.#runner = runner;
    this.#transaction = transaction;
    this.#sql = sql;
    this.#options = options;
  }

  /** The node that served it; -1: none did. */
  get node() {
    return this.#call?.node ?? -1;
  }

  _read() {
    if (this.#settled === undefined) {
      this.#settled = logged(this.#runner, this.#sql, this, () => this.#run()).then(
        () => void this.push(null),
        (error) => void this.destroy(error),
      );
    } else if (this.#owed > 0) {
      this.#grant(this.#owed);
      this.#owed = 0;
    }
  }

  async #run() {
    const { link, pool } = this.#runner;
    const { signal, timeoutMs = 0 } = this.#options;
    try {
      await underSignal(
        link,
        pool,
        signal,
        (started) =>
          new Promise((resolve, reject) => {
            const call = new Call(resolve, reject);
            call.onBytes = (bytes) => this.#take(bytes);
            const id = link.register(call);
            this.#call = call;
            // Its reader may leave at any time.
            const flags = FLAG.STREAM | FLAG.HAS_SIGNAL;
            link.tellText(OP.UNLOAD, id, pool, 0, this.#transaction, flags, timeoutMs, this.#sql);
            started(call);
          }),
      );
    } catch (error) {
      throw located(error);
    }
  }

  /** @param {Buffer} bytes */
  #take(bytes) {
    if (this.destroyed) return;
    if (this.push(bytes)) this.#grant(1);
    else this.#owed++;
  }

  /** @param {number} pieces */
  #grant(pieces) {
    const { link, pool } = this.#runner;
    if (this.#call === undefined || this.#call.id === 0) return;
    link.frames.open(OP.CREDIT, this.#call.id, pool, 0, 0, 0, 0, 0, pieces);
    link.frames.close();
    link.flushSoon();
  }

  /**
   * Leaves: cancels what still runs, and waits until its connection is free.
   * @param {Error | null} error
   * @param {(error?: Error | null) => void} callback
   */
  _destroy(error, callback) {
    const { link, pool } = this.#runner;
    if (this.#call !== undefined && this.#call.id !== 0) {
      link.tell(OP.CANCEL, this.#call.id, pool);
      this.#settled?.then(() => callback(error));
    } else {
      callback(error);
    }
  }
}

/**
 * @param {import('../core/statement-runner.js').StatementRunner} runner
 * @param {number} transaction 0: one of its own
 * @param {unknown} target
 * @param {Record<string, any>} options checked
 */
function copyTo(runner, transaction, target, options) {
  return new Unload(runner, transaction, unloadSql(parseTarget(target, 'TO')), options);
}

module.exports = { copyFrom, copyTo };
