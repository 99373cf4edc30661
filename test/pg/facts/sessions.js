'use strict';

// What facts do to the sessions of others.

/** Ends a session from outside, as an administrator does. @param {import('../support.js').Face} face @param {number} pid */
const terminate = (face, pid) => face.server.sql('SELECT pg_terminate_backend($1)', [pid]);

module.exports = { terminate };
