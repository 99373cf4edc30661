'use strict';

const { installedProtocol } = require('../protocol.js');
const { DatabaseError } = require('../../pg/index.js');

const protocol = { ...installedProtocol(), DatabaseError };

module.exports = protocol;
