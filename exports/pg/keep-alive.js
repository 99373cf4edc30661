'use strict';

// An open connection of pg keeps the process alive, until it is ended or unref() was called. The core's do so only while they work, so
// a timer stands for those that are open.

/** The longest that a timer takes. */
const LONG_MS = 2 ** 31 - 1;

let held = 0;
/** @type {any} */
let timer;

/** One connection more keeps the process alive. */
function hold() {
  if (++held > 1) return;
  if (timer === undefined) timer = setInterval(() => {}, LONG_MS);
  else timer.ref?.();
}

/** One less does. */
function letGo() {
  if (--held === 0) timer.unref?.();
}

module.exports = { hold, letGo };
