'use strict';

// hyperiondb-client/pg, used as node-postgres is.

const { Cursor, Pool } = require('../../exports/pg/index.js');
const { openOn } = require('./on-pg.js');

exports.version = () => require('../../package.json').version;

/** The native library in use: a debug build would be slower. */
exports.library = () => Object.keys(require.cache).find((file) => file.endsWith('.node'));

/** @param {import('../types').Opening} opening */
exports.open = (opening) => openOn({ Pool, Cursor }, opening);
