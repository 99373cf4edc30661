'use strict';

// Programs at random on pg and on the face (traces.js, traces.pool.js): what they can see is the same. HYPERION_SEED repeats one
// program, HYPERION_ROUNDS says how many.

const assert = require('node:assert/strict');
const { loginOf, test, useCluster } = require('../support/helpers.js');
const { byStep, pipelinedProgramOf, programOf, recordOf } = require('./traces.js');
const { poolProgramOf, poolRecordOf } = require('./traces.pool.js');

const { HYPERION_FULL, HYPERION_ROUNDS, HYPERION_SEED } = process.env;
const FIRST = HYPERION_SEED === undefined ? 0 : Number(HYPERION_SEED);

/** @param {number} quick @param {number} full */
const roundsOf = (quick, full) => Number(HYPERION_ROUNDS ?? (HYPERION_FULL ? full : quick));

process.noDeprecation = true;
const db = useCluster({ nodes: 1 });

/**
 * @template Program
 * @param {number} rounds
 * @param {(seed: number) => Program} make
 * @param {(pg: any, config: any, program: Program) => Promise<unknown>} run
 */
async function compare(rounds, make, run) {
  const { hosts, ...login } = loginOf(db.cluster);
  const [host, port] = hosts[0].split(':');
  const config = { ...login, host, port: Number(port) };
  const [pg, face] = [require('pg'), require('../../exports/pg/index.js')];
  for (let seed = FIRST; seed < FIRST + rounds; seed += 1) {
    const program = make(seed);
    const [expected, found] = [await run(pg, config, program), await run(face, config, program)];
    if (JSON.stringify(expected) === JSON.stringify(found)) continue;
    console.log(`seed ${seed}`, program);
    assert.deepEqual(found, expected, `seed ${seed}`);
  }
}

const timeout = 600_000;

test('client: programs at random see the same on pg and on the face', { timeout }, () =>
  compare(roundsOf(60, 1000), programOf, recordOf),
);

test('client: pipelined programs at random see the same on pg and on the face', { timeout }, () =>
  compare(roundsOf(25, 500), pipelinedProgramOf, async (pg, config, program) => {
    const { lines, ...more } = await recordOf(pg, { ...config, pipeline: true }, program);
    return { lines: byStep(lines), ...more };
  }),
);

test('pool: programs at random see the same on pg and on the face', { timeout }, () =>
  compare(roundsOf(10, 200), poolProgramOf, poolRecordOf),
);
