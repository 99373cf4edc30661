'use strict';

// One round of one part, in a process of its own: gets a job from bench/reads.js, answers, ends.

const path = require('node:path');

/** @typedef {import('./types').Job} Job */

/** @param {Job} job @returns {Promise<import('./types').Answer<unknown>>} */
async function execute({ part: id, opening, ...time }) {
  /** @type {import('./types').Part<unknown>} */
  const part = require(path.join(__dirname, `${id}.js`));
  const round = await part.execute(opening, time);
  const versions = Object.fromEntries(
    ['hyperion', 'pg', 'postgres'].map((name) => [name, require(`../peers/${name}.js`).version()]),
  );
  return { library: require('../peers/hyperion.js').library(), versions, round };
}

process.once('message', async (job) => {
  const answer = await execute(/** @type {Job} */ (job)).catch((error) => ({ error: String(error.stack) }));
  process.send?.(answer, () => process.disconnect());
});
process.on('disconnect', () => process.exit());
