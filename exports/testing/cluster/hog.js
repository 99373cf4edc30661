'use strict';

// Takes every connection that a server has for a role, so that the next one is refused with 53300, and ends the role's other
// sessions.

const { Connection } = require('./connection.js');
const { TIMEOUT_MS } = require('./sql.js');
const { until } = require('./until.js');

/** @typedef {import('./sql.js').SqlNode} SqlNode */

const NAME = 'hyperion-hog';
const TOO_MANY = '53300';

/**
 * @param {SqlNode} server
 * @param {{ user: string, password: string, database?: string }} role not a superuser: some connections are kept for those
 * @param {() => void} [onThrow] called before somebody is thrown out
 * @returns {Promise<() => Promise<void>>} gives all back
 */
async function exhaust(server, role, onThrow) {
  /** @type {Connection[]} */
  const held = [];
  const release = async () => {
    await Promise.all(held.splice(0).map((connection) => connection.end()));
  };
  const fill = async () => {
    const before = held.length;
    // Several at a time: clients whose sessions were ended come back, and must be slower.
    while ((await Promise.all([1, 2, 3, 4].map(() => takeOne(server, role, held)))).some(Boolean));
    return held.length > before;
  };
  try {
    for (;;) {
      await fill();
      const others = "usename = $1 AND application_name <> $2 AND backend_type = 'client backend'";
      const names = [role.user, NAME];
      const [{ count }] = await asSuperuser(
        server,
        `SELECT count(*)::int FROM pg_stat_activity WHERE ${others}`,
        names,
      );
      if (count === 0) {
        // The place of a session that has just ended is free a moment later.
        if (!(await fill())) return release;
        continue;
      }
      onThrow?.();
      await asSuperuser(server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others}`, names);
    }
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * A client that is being refused takes a place meanwhile, even one that is kept for superusers.
 *
 * @param {SqlNode} server
 * @param {string} text
 * @param {unknown[]} params
 */
function asSuperuser(server, text, params) {
  return until('a superuser is let in', () => server.sql(text, params));
}

/** @param {SqlNode} server @param {object} role @param {Connection[]} held */
async function takeOne(server, role, held) {
  try {
    held.push(await Connection.open({ ...server.login, ...role }, NAME, TIMEOUT_MS));
    return true;
  } catch (error) {
    if (/** @type {any} */ (error).code === TOO_MANY) return false;
    throw error;
  }
}

exports.exhaust = exhaust;
