'use strict';

// A measurement in a process of its own (child.js).

const { fork } = require('node:child_process');
const path = require('node:path');

/** @typedef {import('./types').Answer} Answer */
/** @typedef {import('./types').Job} Job */

/**
 * @param {Job} job
 * @returns {Promise<Answer>}
 */
function inChild(job) {
  const child = fork(path.join(__dirname, 'child.js'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    const failed = (/** @type {unknown} */ why) => reject(new Error(String(why)));
    /** @type {Answer | undefined} */
    let answered;
    child.once('message', (/** @type {any} */ answer) => {
      if ('error' in answer) failed(answer.error);
      else answered = answer;
    });
    child.once('error', failed);
    // Not before it has ended: nobody is measured beside somebody's farewell.
    child.once('exit', (code, signal) => {
      if (answered) resolve(answered);
      else failed(`ended without an answer (${signal ?? code})`);
    });
    child.send(job);
  });
}

module.exports = { inChild };
