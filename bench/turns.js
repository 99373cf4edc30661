'use strict';

// One client under one load, without TLS and with it by turns, in a process of its own: gets a job from tls.js, answers,
// ends. Both ways have their connections open all the time; the one whose turn it is not has nothing to do.

const { LOADS } = require('./loads.js');
const { steady } = require('./measure.js');

/** @typedef {import('./types').Measurement} Measurement */
/** @typedef {import('./types').Opening} Opening */
/** @typedef {{ plain: Measurement, tls: Measurement }} Pair */
/** @typedef {{ peer: string, load: string, openings: { plain: Opening, tls: Opening }, turns: number, seconds: number }} Job */
/** @typedef {{ pairs: Pair[], library: string | undefined }} Answer */

/** Before the first turn, and before each. */
const WARMUP_SECONDS = 0.7;
const START_SECONDS = 0.03;

/** @param {Job} job @returns {Promise<Answer>} */
async function execute({ peer: name, load: id, openings, turns, seconds }) {
  /** @type {import('./types').Peer} */
  const peer = require(`./peers/${name}.js`);
  const load = LOADS.find((each) => each.id === id);
  if (load?.way.kind !== 'steady') throw new Error(`no load ${id} that goes on`);
  const { inFlight } = load.way;
  const { connections } = load;
  const plain = await peer.open({ ...openings.plain, connections });
  const tls = await peer.open({ ...openings.tls, connections });
  try {
    const operations = { plain: load.open(plain), tls: load.open(tls) };
    const measure = (/** @type {'plain' | 'tls'} */ way, warmupSeconds = START_SECONDS) =>
      steady(operations[way], load, { inFlight, seconds, warmupSeconds });
    await measure('plain', WARMUP_SECONDS);
    await measure('tls', WARMUP_SECONDS);
    /** @type {Pair[]} */
    const pairs = [];
    for (let turn = 0; turn < turns; turn++) {
      // Nobody is always the first.
      if (turn % 2 === 0) pairs.push({ plain: await measure('plain'), tls: await measure('tls') });
      else pairs.push({ tls: await measure('tls'), plain: await measure('plain') });
    }
    return { pairs, library: peer.library?.() };
  } finally {
    await plain.close();
    await tls.close();
  }
}

process.once('message', async (job) => {
  const answer = await execute(/** @type {Job} */ (job)).catch((error) => ({ error: String(error.stack) }));
  process.send?.(answer, () => process.disconnect());
});
process.on('disconnect', () => process.exit());
