'use strict';

module.exports = require('../../pg/utils.js');
