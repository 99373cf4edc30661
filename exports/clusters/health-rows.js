'use strict';

// The options of the health checks: members of the option `cluster` of MultiClusterPostgres.

const client = /** @type {any} */ (require('../../client.js'));

const { count, ms } = client[Symbol.for('hyperiondb-client.options')];

/** More would be no limit. */
const MOST_FAILURES = 1_000_000;

const HEALTH = {
  healthCheckIntervalMs: {
    type: 'number',
    value: 5_000,
    check: ms(0),
    text: 'the time between two health checks of a cluster; 0: only healthCheck() looks',
    more: 'A check that has not ended when the next one is due takes its place.',
  },
  healthTimeoutMs: {
    type: 'number',
    value: 3_000,
    check: ms(1),
    text: 'a primary that has not answered a health check after this time has failed it',
    more: 'Waiting for a connection counts.',
  },
  maxFailuresBeforeMarkDown: {
    type: 'number',
    value: 3,
    check: count(1, MOST_FAILURES),
    text: 'after so many failed health checks in a row, those by healthCheck() included, a cluster is down',
    more: 'The event `clusterDown` tells of it once, and `clusterRecovered` of the first check that succeeds.',
  },
};

module.exports = { HEALTH };
