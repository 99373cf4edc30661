'use strict';

module.exports = require('../../pg/index.js').Result;
