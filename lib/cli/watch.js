'use strict';

// `watch`: the cluster live, as a table in a terminal, or as a line for each change where there is no terminal.

const { reportChanges } = require('./changes.js');
const { Screen } = require('./screen.js');
const { fittedTable } = require('./table.js');
const { exitCode, isSeen, verdict } = require('./topology.js');

/** @typedef {import('./topology.js').Node} Node */
/** @typedef {{ at: Date, text: string }} Change */
/** @typedef {{ input: NodeJS.ReadStream, out: import('node:tty').WriteStream, isScreen: boolean, colors: boolean }} Surroundings */

const RECENT = 8;
const HELP = 'q or Ctrl-C ends it';
/** In raw mode the terminal sends Ctrl-C as a character. */
const QUIT = ['q', 'Q', '\x03'];
const ESCAPE = '\x1b';
const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/**
 * Shows the nodes until the user ends it.
 * @param {import('../../client.js').Pool} pool
 * @param {import('./arguments.js').Arguments} asked
 * @param {Surroundings} surroundings
 * @returns {Promise<number>} the exit code of `status` at the end
 */
async function watchNodes(pool, { intervalMs }, { input, out, isScreen, colors }) {
  const stop = isScreen ? drawLive(pool, intervalMs, out, colors) : printChanges(pool, out);
  try {
    await untilStopped(isScreen ? input : undefined, out);
  } finally {
    pool.removeAllListeners();
    stop();
  }
  return exitCode(pool.nodes());
}

/**
 * Resolves at a key or a signal that ends the command, and when the terminal or the pipe was closed.
 * @param {NodeJS.ReadStream | undefined} keyboard
 * @param {NodeJS.WritableStream} out
 */
async function untilStopped(keyboard, out) {
  /** @type {() => void} */
  let end = () => {};
  const ended = new Promise((resolve) => {
    end = () => resolve(undefined);
  });
  const onKeys = (/** @type {Buffer} */ keys) => {
    // A function key is an escape and letters.
    const text = keys.toString('latin1');
    if (!text.startsWith(ESCAPE) && QUIT.some((key) => text.includes(key))) end();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  out.on('error', end);
  if (keyboard?.isTTY) {
    // A terminal that was closed emits an end or an error, perhaps later.
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
function drawLive(pool, intervalMs, out, colors) {
  const screen = new Screen(out);
  /** @type {Change[]} */
  const changes = [];
  const draw = () => screen.draw(picture(pool.nodes(), changes, new Date(), { ...sizeOf(screen), colors }));
  const report = (/** @type {string} */ text) => {
    changes.push({ at: new Date(), text });
    changes.splice(0, changes.length - RECENT);
    draw();
  };
  reportChanges(pool, report);
  const restoreWarnings = redirectWarnings(report);
  const timer = setInterval(draw, intervalMs);
  out.on('resize', draw);
  draw();
  return () => {
    clearInterval(timer);
    out.off('resize', draw);
    restoreWarnings();
    screen.end();
  };
}

/**
 * Reports warnings that Node would print across the picture, e.g. that others may read the password file.
 * @param {(text: string) => void} report
 */
function redirectWarnings(report) {
  const others = process.listeners('warning');
  process.removeAllListeners('warning').on('warning', ({ message }) => report(message));
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
function printChanges(pool, out) {
  reportChanges(pool, (text) => out.write(`${new Date().toISOString()}  ${text}\n`));
  // A pool without work in flight does not keep the process alive.
  const hold = setInterval(() => {}, 0x7fff_ffff);
  return () => clearInterval(hold);
}

/**
 * The lines of the picture, at most `rows`; the most important ones come first.
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

module.exports = { picture, watchNodes };
