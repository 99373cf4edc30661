'use strict';

// node-postgres, pure JavaScript.

const { Pool } = require('pg');
const { openOn } = require('./on-pg.js');

exports.version = () => require('../package.json').devDependencies.pg;

/** @param {import('../types').Opening} opening */
exports.open = (opening) => openOn({ Pool, Cursor: /** @type {any} */ (require('pg-cursor')) }, opening);
