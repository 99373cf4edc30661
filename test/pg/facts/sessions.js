'use strict';

// What facts ask the server about the sessions of others.

const { until } = require('../../support/helpers.js');

/** Waits until no session has this process id. @param {import('../support.js').Face} face @param {number} pid */
const untilGone = (face, pid) =>
  until(
    'its session is gone',
    async () => (await face.server.sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0,
  );

/** Ends a session from outside, as an administrator does. @param {import('../support.js').Face} face @param {number} pid */
const terminate = (face, pid) => face.server.sql('SELECT pg_terminate_backend($1)', [pid]);

module.exports = { terminate, untilGone };
