'use strict';

// Programs at random on pg and on the face (traces.js): what they can see is the same. HYPERION_SEED repeats one program,
// HYPERION_ROUNDS says how many.

const assert = require('node:assert/strict');
const { loginOf, test, useCluster } = require('../support/helpers.js');
const { programOf, recordOf } = require('./traces.js');

const { HYPERION_FULL, HYPERION_ROUNDS, HYPERION_SEED } = process.env;
const ROUNDS = Number(HYPERION_ROUNDS ?? (HYPERION_FULL ? 3000 : 100));
const FIRST = HYPERION_SEED === undefined ? 0 : Number(HYPERION_SEED);

process.noDeprecation = true;
const db = useCluster({ nodes: 1 });

test('client: programs at random see the same on pg and on the face', { timeout: 600_000 }, async () => {
  const { hosts, ...login } = loginOf(db.cluster);
  const [host, port] = hosts[0].split(':');
  const config = { ...login, host, port: Number(port) };
  const [pg, face] = [require('pg'), require('../../exports/pg/index.js')];
  for (let seed = FIRST; seed < FIRST + ROUNDS; seed += 1) {
    const program = programOf(seed);
    const [expected, found] = [await recordOf(pg, config, program), await recordOf(face, config, program)];
    if (JSON.stringify(expected) === JSON.stringify(found)) continue;
    console.log(`seed ${seed}`, program);
    assert.deepEqual(found, expected, `seed ${seed}`);
  }
});
