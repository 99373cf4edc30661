'use strict';

// Where a run is shown: a terminal, redrawn in place, or a stream that gets plain lines.

/**
 * What is shown of a scene: a picture for a terminal, lines for a stream.
 * @template Scene
 * @typedef {object} View
 * @property {(scene: Scene, room: { columns: number, rows: number, paint: Paint }) => string[]} picture
 * @property {(scene: Scene) => string} plainLine
 * @property {(happening: Happening) => string} plainEvent
 */
/** @typedef {{ atMs: number, text: string }} Happening */
/** @typedef {(text: string) => string} Brush */
/** @typedef {{ bold: Brush, dim: Brush, warn: Brush, forState: (state: string, role: string) => Brush }} Paint */

/**
 * @template Scene
 * @typedef {object} Screen
 * @property {number} everyMs how often draw() wants to be called
 * @property {(scene: Scene) => void} draw
 * @property {(happening: Happening) => void} event
 * @property {() => void} end gives the terminal back; nothing is drawn after it
 */

const ESC = '\x1b[';
const SEQUENCE_OR_CHARACTER = new RegExp(`(${ESC.replace('[', '\\[')}[\\d;?]*[A-Za-z])|.`, 'gu');
const HIDE_CURSOR = `${ESC}?25l`;
const SHOW_CURSOR = `${ESC}?25h`;
const CLEAR_REST_OF_LINE = `${ESC}K`;
const CLEAR_BELOW = `${ESC}J`;

/** @param {number} code @returns {Brush} */
const sgr = (code) => (text) => (text === '' ? '' : `${ESC}${code}m${text}${ESC}0m`);

/** @param {boolean} colours @returns {Paint} */
function paintFor(colours) {
  if (!colours) {
    /** @type {Brush} */
    const plain = (text) => text;
    return { bold: plain, dim: plain, warn: plain, forState: () => plain };
  }
  const [bold, dim, red, green, yellow] = [1, 2, 31, 32, 33].map(sgr);
  /** @param {string} text */
  const none = (text) => text;
  const forState = (/** @type {string} */ state, /** @type {string} */ role) =>
    state === 'down' ? red : state === 'fenced' ? yellow : role === 'primary' ? green : none;
  return { bold, dim, warn: yellow, forState };
}

/**
 * The first `width` visible characters; escape sequences take no room.
 * @param {string} line
 * @param {number} width
 */
function cut(line, width) {
  let room = width;
  return line.replace(SEQUENCE_OR_CHARACTER, (found, sequence) => (sequence || room-- > 0 ? found : ''));
}

/**
 * @template Scene
 * @param {import('node:tty').WriteStream} out
 * @param {View<Scene>} view
 * @returns {Screen<Scene>}
 */
function terminal(out, { picture }) {
  const paint = paintFor(out.hasColors());
  let height = 0;
  let ended = false;
  out.write(HIDE_CURSOR);
  return {
    everyMs: 200,
    draw(scene) {
      if (ended) return;
      const { columns = 80, rows = 24 } = out;
      const lines = picture(scene, { columns, rows, paint }).slice(0, rows - 1);
      const up = height > 0 ? `${ESC}${height}F` : '';
      // One write for each picture; otherwise it flickers.
      out.write(up + lines.map((line) => `${cut(line, columns - 1)}${CLEAR_REST_OF_LINE}\n`).join('') + CLEAR_BELOW);
      height = lines.length;
    },
    event() {},
    end() {
      if (!ended) out.write(`${SHOW_CURSOR}\n`);
      ended = true;
    },
  };
}

/**
 * @template Scene
 * @param {NodeJS.WritableStream} out
 * @param {View<Scene>} view
 * @returns {Screen<Scene>}
 */
function lines(out, { plainLine, plainEvent }) {
  let ended = false;
  const write = (/** @type {string} */ line) => {
    if (!ended) out.write(`${line}\n`);
  };
  return {
    everyMs: 1000,
    draw: (scene) => write(plainLine(scene)),
    event: (happening) => write(plainEvent(happening)),
    end() {
      write('');
      ended = true;
    },
  };
}

/**
 * @template Scene
 * @param {import('node:tty').WriteStream} out
 * @param {View<Scene>} view
 */
function screenFor(out, view) {
  return out.isTTY && !process.env.CI ? terminal(out, view) : lines(out, view);
}

module.exports = { cut, paintFor, screenFor };
