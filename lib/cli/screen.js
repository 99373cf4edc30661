'use strict';

// A picture in a terminal, drawn anew in its place. What stood above it stays.

const { stripVTControlCharacters } = require('node:util');
const { shortened } = require('./table.js');

const ESC = '\x1b';
const HIDE_CURSOR = `${ESC}[?25l`;
const SHOW_CURSOR = `${ESC}[?25h`;
const CLEAR_REST_OF_LINE = `${ESC}[K`;
const CLEAR_BELOW = `${ESC}[J`;

/** @param {string} line characters that are seen */
const lengthOf = (line) => stripVTControlCharacters(line).length;

class Screen {
  #out;
  /** The lengths of the lines that are there. @type {number[]} */
  #drawn = [];
  #width = 0;
  #ended = false;
  #restore = () => this.end();

  /** @param {import('node:tty').WriteStream} out */
  constructor(out) {
    this.#out = out;
    out.write(HIDE_CURSOR);
    // Whatever ends the process, the cursor comes back.
    process.once('exit', this.#restore);
  }

  get columns() {
    // The last column stays free: a character there would make some terminals wrap.
    return (this.#out.columns || 80) - 1;
  }

  get rows() {
    // The cursor has the last line.
    return Math.max(1, (this.#out.rows || 24) - 1);
  }

  /** @param {string[]} lines */
  draw(lines) {
    if (this.#ended) return;
    const shown = lines.slice(0, this.rows).map((line) => this.#fitted(line));
    // A terminal that has become narrower has wrapped what was there, and one that becomes wider joins such lines again
    // unless they were erased.
    const height = this.#drawn.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / (this.columns + 1))), 0);
    const up = Math.min(height, this.rows);
    const start = (up > 0 ? `${ESC}[${up}F` : '') + (this.#width === this.columns ? '' : CLEAR_BELOW);
    this.#drawn = shown.map(lengthOf);
    this.#width = this.columns;
    // One write a picture, or it flickers.
    this.#out.write(start + shown.map((line) => `${line}${CLEAR_REST_OF_LINE}\n`).join('') + CLEAR_BELOW);
  }

  /** The width of other characters is anybody's guess, so only ASCII is shown. @param {string} line */
  #fitted(line) {
    const plain = line.replaceAll(/[^ -~]/gu, (character) => (character === ESC ? character : '?'));
    return lengthOf(plain) <= this.columns ? plain : shortened(stripVTControlCharacters(plain), this.columns);
  }

  /** The last picture stays. */
  end() {
    if (this.#ended) return;
    this.#ended = true;
    process.off('exit', this.#restore);
    this.#out.write(SHOW_CURSOR);
  }
}

module.exports = { Screen };
