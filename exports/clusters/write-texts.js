'use strict';

// What standbys have said to the texts of statements: "the server decides", not a parser.
//
// A text that nobody has tried is tried by one caller; others that come with it meanwhile go to the primary, where every statement is
// right. So no text is refused twice.

const { createHash } = require('node:crypto');

/** A service has hundreds of texts. One that puts values into them has any number. */
const MOST_TEXTS = 10_000;
/** A longer text is remembered by its hash. */
const LONGEST_TEXT = 512;

/** @param {string} sql */
const keyOf = (sql) => (sql.length <= LONGEST_TEXT ? sql : createHash('sha256').update(sql).digest('base64'));

class WriteTexts {
  /** By the key of the text: true, a standby has refused it; false, one has answered. The oldest are forgotten. @type {Map<string, boolean>} */
  #known = new Map();
  /** Texts that are tried just now. @type {Set<string>} */
  #trials = new Set();

  /** @param {string} key @param {boolean} isWrite */
  #remember(key, isWrite) {
    this.#known.set(key, isWrite);
    if (this.#known.size > MOST_TEXTS) this.#known.delete(/** @type {string} */ (this.#known.keys().next().value));
  }

  /** Whether the text is known to be a read. @param {string} sql */
  isRead(sql) {
    return this.#known.get(keyOf(sql)) === false;
  }

  /** A read that was known has been refused: a function may write only now and then. @param {string} sql */
  refused(sql) {
    this.#remember(keyOf(sql), true);
  }

  /**
   * Reads, or writes where the reading is refused.
   * @template T
   * @param {string} sql
   * @param {() => Promise<T>} read where nothing can be written
   * @param {() => Promise<T>} write on the primary
   * @param {(error: unknown) => boolean} isRefusal whether the error says that the statement belongs on the primary
   * @returns {Promise<T>}
   */
  async run(sql, read, write, isRefusal) {
    const key = keyOf(sql);
    const known = this.#known.get(key);
    if (known === true || (known === undefined && this.#trials.has(key))) return write();
    if (known === undefined) this.#trials.add(key);
    try {
      const result = await read();
      if (known === undefined) this.#remember(key, false);
      return result;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // Also of a text that was answered before: a function may write only now and then.
      this.#remember(key, true);
    } finally {
      if (known === undefined) this.#trials.delete(key);
    }
    return write();
  }
}

module.exports = { WriteTexts };
