'use strict';

module.exports = require('../../pg/connection-parameters.js');
