'use strict';

// What a demo does when somebody presses Ctrl-C.

const { setTimeout: sleep } = require('node:timers/promises');

/** Ctrl-C restores the terminal and stops the servers; a second one does not wait for that. */
function interruptible() {
  /** @type {(() => unknown)[]} the last one first */
  const cleanUps = [];
  let interrupted = false;
  const interrupt = async (/** @type {NodeJS.Signals} */ signal) => {
    if (interrupted) process.exit(130);
    interrupted = true;
    for (const cleanUp of cleanUps.reverse()) await cleanUp();
    console.log(`${signal}: the servers are stopped and their files are removed.`);
    process.exit(130);
  };
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, interrupt);
  return {
    /** @param {() => unknown} cleanUp */
    onInterrupt: (cleanUp) => void cleanUps.push(cleanUp),
    /** Never resolves once an interrupt has been seen: its handler ends the process. */
    settled: () => (interrupted ? sleep(0x7fff_ffff) : undefined),
  };
}

module.exports = { interruptible };
