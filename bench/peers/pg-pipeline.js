'use strict';

// node-postgres with `pipeline: true`, for loads with several statements in flight.

const { Client } = require('pg');
const { openLanes } = require('./lanes.js');

exports.version = () => require('../package.json').devDependencies.pg;

/** @type {import('../types').Peer['open']} */
exports.open = (opening) => openLanes(Client, opening);
