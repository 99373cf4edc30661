'use strict';

// The figures that several curves have.

/** @typedef {import('./types').Figure} Figure */

/** Of a point select. @type {Figure[]} */
const STATEMENT_CPU = [
  { key: 'cpuUsPerOp', head: 'CPU us', label: "us of the client's CPU a statement", chart: false },
  { key: 'serverUsPerOp', head: 'server us', label: "us of the server's CPU a statement", chart: false, knee: false },
];

/** @type {Figure} */
const STATEMENT_TIME = { key: 'usPerOp', head: 'us', label: 'us a statement' };

/** @type {Figure} */
const PEAK = { key: 'peakRssMb', head: 'peak MB', label: 'peak RSS, MB' };

/** @type {Figure} */
const GROWTH = { key: 'growthMb', head: 'growth MB', label: 'RSS above rest, MB', chart: false };

module.exports = { GROWTH, PEAK, STATEMENT_CPU, STATEMENT_TIME };
