'use strict';

// torture.js in short: some thousands of probes, and 100,000 with HYPERION_FULL.

const assert = require('node:assert/strict');
const { test } = require('../support/helpers');
const { torture } = require('./torture');

const FULL = process.env.HYPERION_FULL === '1';
/** For 100,000 probes on a slow machine; what hangs ends earlier, because no probe ends. */
const timeout = 1_200_000;

/** Runs it, and shows what happened if the test fails. @param {import('node:test').TestContext} t @param {any} options */
const played = (t, options) => torture(options, (line) => t.diagnostic(line));

for (const user of ['superuser', 'app']) {
  test(`torture: no read misses the write before it, through late standbys and a failover (as ${user})`, {
    timeout,
  }, async (t) => {
    const wanted = FULL && user === 'superuser' ? 100_000 : 5_000;
    const probes = await played(t, { probes: wanted, user });
    assert.deepEqual(
      { stale: probes.stale, failed: probes.failed },
      { stale: 0, failed: 0 },
      probes.details.join('\n'),
    );
    assert.ok(probes.done >= wanted);
    if (user === 'superuser') {
      assert.ok(probes.onPrimary < probes.done / 2, `the primary answered ${probes.onPrimary} of ${probes.done}`);
    }
    assert.ok(Object.keys(probes.byNode).length >= 3, 'several standbys have answered');
  });
}

test('torture: without tokens and sessions reads miss writes', { timeout }, async (t) => {
  const probes = await played(t, { probes: 2_000, follows: false });
  assert.ok(probes.stale > 0, `of ${probes.done} probes none was stale`);
  assert.equal(probes.failed, 0, probes.details.join('\n'));
});
