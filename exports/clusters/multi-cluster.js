'use strict';

// Many clusters as one database: which cluster and which node a statement goes to.

const { EventEmitter } = require('node:events');

class MultiClusterPostgres extends EventEmitter {}

module.exports = { MultiClusterPostgres };
