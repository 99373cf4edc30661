'use strict';

// The cluster live: a picture in a terminal, or a line a change where there is none.

const { tellChanges } = require('./changes.js');
const { Screen } = require('./screen.js');
const { fittedTable } = require('./table.js');
const { exitCode, isSeen, verdict } = require('./topology.js');

/** @typedef {import('./topology.js').Node} Node */
/** @typedef {{ at: Date, text: string }} Change */
/** @typedef {{ input: NodeJS.ReadStream, out: import('node:tty').WriteStream, isScreen: boolean, colors: boolean }} Surroundings */

const RECENT = 8;
const HELP = 'q or Ctrl-C ends it';
/** Ctrl-C is a character like any other while the terminal is raw. */
const QUIT = ['q', 'Q', '\x03'];
const ESCAPE = '\x1b';
const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/**
 * @param {import('../../client.js').Pool} pool
 * @param {import('./arguments.js').Arguments} asked
 * @param {Surroundings} surroundings
 * @returns {Promise<number>} the exit code, as status would have it at the end
 */
async function look(pool, { intervalMs }, { input, out, isScreen, colors }) {
  const stop = isScreen ? live(pool, intervalMs, out, colors) : log(pool, out);
  try {
    await toldToEnd(isScreen ? input : undefined, out);
  } finally {
    pool.removeAllListeners();
    stop();
  }
  return exitCode(pool.nodes());
}

/**
 * Resolves at the first sign that nobody wants to see more.
 * @param {NodeJS.ReadStream | undefined} keyboard
 * @param {NodeJS.WritableStream} out
 */
async function toldToEnd(keyboard, out) {
  /** @type {() => void} */
  let end = () => {};
  const ended = new Promise((resolve) => {
    end = () => resolve(undefined);
  });
  const onKeys = (/** @type {Buffer} */ keys) => {
    // Function keys come as an escape and letters.
    const text = keys.toString('latin1');
    if (!text.startsWith(ESCAPE) && QUIT.some((key) => text.includes(key))) end();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  out.on('error', end);
  if (keyboard?.isTTY) {
    // A terminal that was closed reads as an end or as an error, also later.
    keyboard.on('error', end).once('end', end);
    keyboard.setRawMode(true).on('data', onKeys);
  }
  await ended;
  if (keyboard?.isTTY) keyboard.off('data', onKeys).setRawMode(false).pause();
  out.off('error', end);
  for (const signal of SIGNALS) process.off(signal, end);
}

/**
 * @param {import('../../client.js').Pool} pool
 * @param {number} intervalMs
 * @param {import('node:tty').WriteStream} out
 * @param {boolean} colors
 */
function live(pool, intervalMs, out, colors) {
  const screen = new Screen(out);
  /** @type {Change[]} */
  const changes = [];
  const draw = () => screen.draw(picture(pool.nodes(), changes, new Date(), { ...sizeOf(screen), colors }));
  const tell = (/** @type {string} */ text) => {
    changes.push({ at: new Date(), text });
    changes.splice(0, changes.length - RECENT);
    draw();
  };
  tellChanges(pool, tell);
  const giveWarningsBack = takeWarnings(tell);
  const timer = setInterval(draw, intervalMs);
  out.on('resize', draw);
  draw();
  return () => {
    clearInterval(timer);
    out.off('resize', draw);
    giveWarningsBack();
    screen.end();
  };
}

/**
 * What Node would print across the picture, e.g. that others may read the password file.
 * @param {(text: string) => void} tell
 */
function takeWarnings(tell) {
  const others = process.listeners('warning');
  process.removeAllListeners('warning').on('warning', ({ message }) => tell(message));
  return () => {
    process.removeAllListeners('warning');
    for (const other of others) process.on('warning', other);
  };
}

/** @param {Screen} screen */
const sizeOf = ({ columns, rows }) => ({ columns, rows });

/**
 * @param {import('../../client.js').Pool} pool
 * @param {NodeJS.WritableStream} out
 */
function log(pool, out) {
  tellChanges(pool, (text) => out.write(`${new Date().toISOString()}  ${text}\n`));
  // A pool with nothing in flight does not keep the process alive.
  const hold = setInterval(() => {}, 0x7fff_ffff);
  return () => clearInterval(hold);
}

/**
 * The picture, no more than `rows` lines of it; what matters most stands first.
 * @param {Node[]} nodes
 * @param {Change[]} changes
 * @param {Date} now
 * @param {{ columns: number, rows: number, colors: boolean }} room
 */
function picture(nodes, changes, now, { columns, rows, colors }) {
  const clock = timeOf(now);
  const title = columns < 40 ? 'hyperiondb' : 'hyperiondb-client';
  const help = columns < 60 ? '' : `  (${HELP})`;
  const isLooking = exitCode(nodes) === 1 && !nodes.every(isSeen);
  const top = [
    `${title}${help}`.padEnd(columns - clock.length) + clock,
    isLooking ? 'Looking at the nodes ...' : verdict(nodes),
    '',
    ...fittedTable(nodes, columns, colors),
  ];
  if (top.length > rows) return [...top.slice(0, rows - 1), `.. and ${top.length - rows + 1} more lines`];
  const room = rows - top.length - 1;
  const recent = room > 0 ? changes.slice(-room).map(({ at, text }) => `${timeOf(at)}  ${text}`) : [];
  return [...top, ...(recent.length > 0 ? ['', ...recent] : [])];
}

/** @param {Date} date */
const timeOf = (date) => date.toTimeString().slice(0, 8);

module.exports = { look, picture };
