'use strict';

module.exports = require('../../pg/index.js').Query;
