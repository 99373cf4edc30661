'use strict';

// The text of an array, with the values of postgres-array 2.0.0, which pg uses: lower bounds are dropped, an unquoted NULL is null and is
// not given to the transformation of elements.

const [QUOTE, COMMA, BACKSLASH, OPEN, CLOSE] = ['"', ',', '\\', '{', '}'].map((sign) => sign.charCodeAt(0));

/** @param {number} code */
const isStructure = (code) => code === COMMA || code === CLOSE || code === QUOTE || code === OPEN || code === BACKSLASH;

/** @param {string} text */
const same = (text) => text;

class ArrayReader {
  #source;
  #transform;
  #at;

  /** @param {string} source @param {(text: string) => unknown} transform */
  constructor(source, transform) {
    this.#source = source;
    this.#transform = transform;
    // Bounds: `[2:3]={...}`.
    this.#at = source[0] === '[' ? source.indexOf('=') + 1 : 0;
  }

  read() {
    return this.#source.charCodeAt(this.#at++) === OPEN ? this.#level() : [];
  }

  /** The elements up to the closing brace. @returns {unknown[]} */
  #level() {
    const source = this.#source;
    const entries = [];
    let word = '';
    while (this.#at < source.length) {
      const code = source.charCodeAt(this.#at);
      if (code === COMMA || code === CLOSE) {
        this.#at++;
        if (word !== '') entries.push(word === 'NULL' ? null : this.#transform(word));
        word = '';
        if (code === CLOSE) return entries;
      } else if (code === OPEN) {
        this.#at++;
        entries.push(this.#level());
      } else if (code === QUOTE) {
        entries.push(this.#transform(word + this.#quoted()));
        word = '';
      } else if (code === BACKSLASH) {
        word += source.charAt(this.#at + 1);
        this.#at += 2;
      } else {
        word += this.#word();
      }
    }
    throw new Error('array dimension not balanced');
  }

  /** What stands before the next character with a meaning. */
  #word() {
    const source = this.#source;
    let end = this.#at + 1;
    while (end < source.length && !isStructure(source.charCodeAt(end))) end++;
    const word = source.slice(this.#at, end);
    this.#at = end;
    return word;
  }

  /** The text in quotes, without its backslashes. */
  #quoted() {
    const source = this.#source;
    let text = '';
    let from = this.#at + 1;
    for (let at = from; at < source.length; at++) {
      const code = source.charCodeAt(at);
      if (code === QUOTE) {
        this.#at = at + 1;
        return text + source.slice(from, at);
      }
      if (code === BACKSLASH) {
        text += source.slice(from, at);
        from = ++at;
      }
    }
    throw new Error('array dimension not balanced');
  }
}

/**
 * @param {string} source
 * @param {(text: string) => unknown} [transform]
 */
const parseArray = (source, transform = same) => new ArrayReader(source, transform).read();

/**
 * A parser of arrays whose elements `element` parses.
 * @param {(text: string) => unknown} [element]
 */
const arrayOf = (element) => (/** @type {string} */ text) => (text ? parseArray(text, element) : null);

/** `types.arrayParser` of pg. */
const arrayParser = {
  /** @param {string} source @param {(text: string) => unknown} [transform] */
  create: (source, transform) => ({ parse: () => parseArray(source, transform) }),
};

module.exports = { arrayOf, arrayParser };
