'use strict';

/** The command line is wrong; the message is for whoever wrote it. */
class UsageError extends Error {}

/**
 * Whether the message says all, and no stack is wanted. util.parseArgs throws errors of its own.
 * @param {any} error
 */
const isUsage = (error) =>
  error instanceof UsageError || (error instanceof Error && /^ERR_PARSE_ARGS/.test(/** @type {any} */ (error).code));

module.exports = { UsageError, isUsage };
