'use strict';

// pg-protocol is used for two things: DatabaseError, for instanceof, which must be ours; and the protocol itself, for servers and
// proxies, which must be the one that is installed, if it is.

const { createRequire } = require('node:module');

const load = createRequire(__filename);
/** @type {string | undefined} */
let installed;

/** @param {() => string} find the file of the installed package; throws where it is not installed */
function rememberProtocol(find) {
  try {
    installed ??= find();
  } catch (error) {
    if (/** @type {any} */ (error).code !== 'MODULE_NOT_FOUND') throw error;
  }
}

/** @returns {Record<string, unknown>} */
const installedProtocol = () => (installed === undefined ? {} : load(installed));

module.exports = { installedProtocol, rememberProtocol };
