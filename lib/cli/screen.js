'use strict';

// Draws lines in a terminal, each time over the last ones. What stands above them stays.

const { stripVTControlCharacters } = require('node:util');
const { shortened } = require('./table.js');

const ESC = '\x1b';
const HIDE_CURSOR = `${ESC}[?25l`;
const SHOW_CURSOR = `${ESC}[?25h`;
const CLEAR_REST_OF_LINE = `${ESC}[K`;
const CLEAR_BELOW = `${ESC}[J`;

/** The number of visible characters. @param {string} line */
const lengthOf = (line) => stripVTControlCharacters(line).length;

class Screen {
  #out;
  /** The lengths of the lines that were drawn last. @type {number[]} */
  #drawn = [];
  #width = 0;
  #ended = false;
  #restore = () => this.end();

  /** @param {import('node:tty').WriteStream} out */
  constructor(out) {
    this.#out = out;
    out.write(HIDE_CURSOR);
    // The cursor is shown again, however the process ends.
    process.once('exit', this.#restore);
  }

  get columns() {
    // The last column stays free: some terminals wrap after a character there.
    return (this.#out.columns || 80) - 1;
  }

  get rows() {
    // The cursor stands on the last line.
    return Math.max(1, (this.#out.rows || 24) - 1);
  }

  /** @param {string[]} lines */
  draw(lines) {
    if (this.#ended) return;
    const shown = lines.slice(0, this.rows).map((line) => this.#fitLine(line));
    // A terminal that became narrower has wrapped the lines. One that becomes wider joins them again, unless they were erased.
    const height = this.#drawn.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / (this.columns + 1))), 0);
    const up = Math.min(height, this.rows);
    const start = (up > 0 ? `${ESC}[${up}F` : '') + (this.#width === this.columns ? '' : CLEAR_BELOW);
    this.#drawn = shown.map(lengthOf);
    this.#width = this.columns;
    // One write for all lines, or the terminal flickers.
    this.#out.write(start + shown.map((line) => `${line}${CLEAR_REST_OF_LINE}\n`).join('') + CLEAR_BELOW);
  }

  /** A line of ASCII that fits: the width of other characters depends on the terminal. @param {string} line */
  #fitLine(line) {
    const plain = line.replaceAll(/[^ -~]/gu, (character) => (character === ESC ? character : '?'));
    return lengthOf(plain) <= this.columns ? plain : shortened(stripVTControlCharacters(plain), this.columns);
  }

  /** Shows the cursor again; the last lines stay. */
  end() {
    if (this.#ended) return;
    this.#ended = true;
    process.off('exit', this.#restore);
    this.#out.write(SHOW_CURSOR);
  }
}

module.exports = { Screen };
