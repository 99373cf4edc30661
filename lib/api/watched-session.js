'use strict';

// What a pinned session (pinned-session.js) tells those who watch of portals and loads, which take several calls.

/** @typedef {import('./copy/handed-load.js').HandedLoad} HandedLoad */
/** @typedef {import('../core/observer.js').Observer} Observer */
/** @typedef {import('./flight.js').FlightText} FlightText */
/** @typedef {{ rows: any[], fields: readonly any[], tag: string | null }} Part of a portal; with a tag it is the last one */
/** @typedef {{ read(rows: number, sent?: (call: any) => void): Promise<Part>, close(): Promise<void> }} Cursor */

/**
 * A flight with the text that is to be sent. That of a statement with a name is the same each time, or the name would mean two.
 * @param {FlightText} flight
 * @param {{ text: string }} watched
 */
const withText = (flight, { text }) =>
  text === flight.text || flight.name !== undefined ? flight : { ...flight, text };

/** The rows that a command tag tells of: those of 'INSERT 0 1'. @param {string} tag */
const rowsOf = (tag) => Number(/\d+$/.exec(tag)?.[0] ?? 0);

/**
 * A portal that is told of as one statement, from its first read() to its last row or close().
 * @param {Observer} observer
 * @param {string} node
 * @param {FlightText} flight
 * @param {(flight: FlightText) => Cursor} open
 * @returns {Cursor}
 */
function watchedCursor(observer, node, flight, open) {
  /** @type {Cursor | undefined} */
  let cursor;
  let rowCount = 0;
  let resolve = () => {};
  /** @type {(error: unknown) => void} */
  let reject = () => {};
  const begin = (/** @type {number} */ rows) => {
    /** @type {Promise<Part> | undefined} */
    let part;
    const over = new Promise((...settlers) => {
      [resolve, reject] = /** @type {any} */ (settlers);
    });
    const run = async (/** @type {import('../core/observer.js').Watched} */ watched) => {
      watched.node = node;
      cursor = open(withText(flight, watched));
      part = cursor.read(rows, watched.sent);
      await over;
      watched.rowCount = rowCount;
    };
    // The reader gets the error with its part.
    observer.run('stream', flight.text, flight.values, 0, run).catch(() => {});
    return /** @type {any} */ (part);
  };
  const read = async (/** @type {number} */ rows) => {
    try {
      const part = await (cursor === undefined ? begin(rows) : cursor.read(rows));
      rowCount += part.rows.length;
      if (part.tag !== null) resolve();
      return part;
    } catch (error) {
      reject(error);
      throw error;
    }
  };
  const close = async () => {
    resolve();
    await cursor?.close();
  };
  return { read, close };
}

/**
 * A load that is handed in.
 * @param {Observer} observer
 * @param {string} node
 * @param {string} sql
 * @param {() => HandedLoad} open
 * @returns {HandedLoad}
 */
function watchedLoad(observer, node, sql, open) {
  /** @type {HandedLoad | undefined} */
  let load;
  const run = async (/** @type {import('../core/observer.js').Watched} */ watched) => {
    watched.node = node;
    load = open();
    watched.sent(load.call);
    return load.done;
  };
  // Who hands in the data gets the error.
  observer.run('copyFrom', sql, undefined, 0, run).catch(() => {});
  return /** @type {HandedLoad} */ (load);
}

module.exports = { rowsOf, watchedCursor, watchedLoad, withText };
