'use strict';

// @opentelemetry/api, an optional peer: who does not trace does not install it.

const client = /** @type {any} */ (require('../../client.js'));

// @ts-expect-error: the checker resolves no JSON.
const { version } = require('../../package.json');

/** @typedef {typeof import('@opentelemetry/api')} Api */

/** What tracers and meters are asked for by: spans and metrics say who made them. @type {[name: string, version: string]} */
const SCOPE = ['hyperiondb-client', version];

/** @returns {Api} */
function loadApi() {
  try {
    return require('@opentelemetry/api');
  } catch (error) {
    // Anything else is a mistake in the package, or its own missing dependency.
    const isMissing =
      /** @type {any} */ (error)?.code === 'MODULE_NOT_FOUND' && String(error).includes("'@opentelemetry/api'");
    if (!isMissing) throw error;
    throw new client.OptionError(
      'instrument() needs the package @opentelemetry/api, which is not installed: npm install @opentelemetry/api',
    );
  }
}

module.exports = { SCOPE, loadApi };
