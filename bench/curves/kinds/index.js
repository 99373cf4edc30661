'use strict';

// The curves, in the order in which they are measured.

/** @type {import('../types').Curve[]} */
const CURVES = [
  require('./rows.js'),
  require('./connections.js'),
  require('./in-flight.js'),
  require('./nodes.js'),
  require('./texts.js'),
];

module.exports = { CURVES };
