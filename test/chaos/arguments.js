'use strict';

// The command lines of soak.js and switchover.js. A mistake in one is printed as a line, without a stack.

const { parseArgs } = require('node:util');
const { seedFrom } = require('./random');

/** Exit code for a wrong command line; exit code 1 is for violations. */
const USAGE = 2;

/** A mistake in the command line. */
class ArgumentError extends Error {}

/**
 * @template T
 * @param {string} usage
 * @param {string[]} names of options; each takes a value
 * @param {(values: Record<string, string | undefined>) => T} read throws an ArgumentError
 * @returns {T}
 */
function readArguments(usage, names, read) {
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: /** @type {const} */ ('string') }]));
    return read(/** @type {any} */ (parseArgs({ options }).values));
  } catch (error) {
    const { code, message } = /** @type {any} */ (error);
    if (!(error instanceof ArgumentError) && !String(code).startsWith('ERR_PARSE_ARGS')) throw error;
    console.error(`${message}\nusage: ${usage}`);
    process.exit(USAGE);
  }
}

/**
 * @param {string} name
 * @param {string | undefined} text
 * @param {{ usual: number, least: number, most: number, whole?: boolean }} range
 */
function numberOf(name, text, { usual, least, most, whole = true }) {
  if (text === undefined) return usual;
  const number = Number(text);
  if (text.trim() === '' || !(number >= least && number <= most) || (whole && !Number.isInteger(number))) {
    throw new ArgumentError(
      `--${name} must be a${whole ? ' whole' : ''} number from ${least} to ${most}, not '${text}'`,
    );
  }
  return number;
}

/**
 * @template {string} T
 * @param {string} name
 * @param {string | undefined} text
 * @param {readonly T[]} known the first is the usual one
 */
function oneOf(name, text, known) {
  if (text === undefined) return known[0];
  const found = known.find((each) => each === text);
  if (found === undefined) throw new ArgumentError(`--${name} must be one of ${known.join(', ')}, not '${text}'`);
  return found;
}

/**
 * The faults that are named, separated by semicolons.
 * @template {{ name: string }} T
 * @param {string} name
 * @param {string | undefined} text
 * @param {readonly T[]} known
 * @returns {readonly T[]}
 */
function someOf(name, text, known) {
  if (text === undefined) return known;
  return text.split(';').map((each) => {
    const found = known.find((one) => one.name === each.trim());
    if (found === undefined) throw new ArgumentError(`--${name}: there is no '${each.trim()}'`);
    return found;
  });
}

/** @param {string | undefined} text of --seed */
function seedOf(text) {
  try {
    return seedFrom(text, '--seed');
  } catch (error) {
    throw new ArgumentError(/** @type {Error} */ (error).message);
  }
}

module.exports = { numberOf, oneOf, readArguments, seedOf, someOf };
