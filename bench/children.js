'use strict';

// A measurement in a process of its own.

const { fork } = require('node:child_process');
const path = require('node:path');

/** @typedef {import('./types').Answer} Answer */
/** @typedef {import('./types').Job} Job */

/**
 * @template {object} J
 * @template T
 * @param {J} job
 * @param {string} program takes the job as a message, and answers by one
 * @param {string[]} [execArgv] flags of Node.js
 * @returns {Promise<T>}
 */
function answerOf(job, program, execArgv = process.execArgv) {
  const child = fork(program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv });
  return new Promise((resolve, reject) => {
    const failed = (/** @type {unknown} */ why) => reject(new Error(String(why)));
    /** @type {T | undefined} */
    let answered;
    child.once('message', (/** @type {any} */ answer) => {
      if ('error' in answer) failed(answer.error);
      else answered = answer;
    });
    child.once('error', failed);
    // The next client is not measured before this process has ended.
    child.once('exit', (code, signal) => {
      if (answered) resolve(answered);
      else failed(`ended without an answer (${signal ?? code})`);
    });
    child.send(job);
  });
}

/** One client under one load. @param {Job} job @param {string[]} [execArgv] @returns {Promise<Answer>} */
const inChild = (job, execArgv) => answerOf(job, path.join(__dirname, 'child.js'), execArgv);

module.exports = { answerOf, inChild };
