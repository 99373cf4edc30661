'use strict';

// The command line of `npm run bench`, and its help.

const { parseArgs } = require('node:util');
const { didYouMean } = require('../lib/options/did-you-mean.js');
const { LOADS } = require('./loads.js');
const { PARTICIPANTS } = require('./peers');
const { UsageError } = require('./usage-error.js');

/** @typedef {import('./types').Load} Load */
/** @typedef {import('./peers').Participant} Participant */
/** @typedef {{ help: boolean, rounds: number, seconds: number, loads: Load[], participants: Participant[] }} Options */

/** @type {Record<string, { type: 'string' | 'boolean', short?: string, value?: string, help: string }>} */
const OPTIONS = {
  rounds: { type: 'string', value: 'N', help: 'rounds; each peer has its turn in each (default: 5)' },
  seconds: { type: 'string', value: 'S', help: 'how long a turn is measured, beside 0.7 s of warm-up (default: 1)' },
  only: {
    type: 'string',
    value: 'LOADS',
    help: 'loads by name, separated by commas; W2 is W2-64,W2-1000 (default: all)',
  },
  peers: { type: 'string', value: 'PEERS', help: 'peers by name, separated by commas (default: all)' },
  help: { type: 'boolean', short: 'h', help: 'this text' },
};

const NAMES = Object.keys(OPTIONS);
const ids = LOADS.map(({ id }) => id);
const peers = PARTICIPANTS.map(({ name }) => name);

/** @param {readonly [string, string][]} lines */
function twoColumns(lines) {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join('\n');
}

const HELP = `This client beside its peers, each in a process of its own, on a server that the benchmark starts.

Usage: npm run bench -- [options]
       npm run bench -- --curves --help    how costs grow with rows, connections, statements in flight, nodes and texts

Options:
${twoColumns(
  Object.entries(OPTIONS).map(([name, { short, value, help }]) => [
    `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`,
    help,
  ]),
)}

Loads:
${twoColumns(LOADS.map(({ id, title }) => [id, title]))}

Peers (ours, other clients, and limits, which are no clients):
${twoColumns(PARTICIPANTS.map(({ name, kind, title }) => [name, `${kind}: ${title}`]))}

Examples:
  npm run bench                                                 all of it
  npm run bench -- --only W2,W7 --rounds 3                      W2-64, W2-1000 and W7
  npm run bench -- --only W4 --peers hyperion,tokio-postgres,floor  one load, without other clients

All figures go to bench/results/ (JSON, and a chart). What they mean: docs/internals/performance.md.
Environment: HYPERION_HOSTS names a server to be measured in place of one that is started, HYPERION_PG_BIN the folder of
pgbench.`;

/** @param {string} option @param {string | undefined} given @param {number} otherwise */
function positive(option, given, otherwise) {
  if (given === undefined) return otherwise;
  const value = Number(given);
  if (given.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new UsageError(`--${option} must be a number greater than 0, not '${given}'`);
  return value;
}

/**
 * Names, or the beginnings of names before a '-': W2 is W2-64 and W2-1000. A whole name is only itself.
 * @param {string} option
 * @param {string | undefined} list
 * @param {string[]} known
 */
function chosen(option, list, known) {
  if (list === undefined) return known;
  const found = list.split(',').flatMap((given) => {
    const name = given.trim();
    const those = known.includes(name)
      ? [name]
      : known.filter((each) => option === 'only' && each.startsWith(`${name}-`));
    if (name === '' || those.length === 0)
      throw new UsageError(`--${option}: '${name}' is none of ${known.join(', ')}`);
    return those;
  });
  return known.filter((name) => found.includes(name));
}

/**
 * @param {string[]} args
 * @returns {Record<string, string | undefined>} a flag is ''
 */
function given(args) {
  const { tokens } = parseArgs({ args, options: OPTIONS, strict: false, allowPositionals: true, tokens: true });
  /** @type {Record<string, string | undefined>} */
  const values = {};
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional')
      throw new UsageError(`unexpected '${token.value}': options begin with --, as in --only W2`);
    const { name, rawName, value, inlineValue } = token;
    if (!NAMES.includes(name))
      throw new UsageError(`unknown option '${rawName}'${didYouMean(name, [...NAMES, 'curves'], {}, '--')}`);
    if (name in values) throw new UsageError(`--${name} is given twice`);
    if (OPTIONS[name].type === 'boolean' && value !== undefined)
      throw new UsageError(`--${name} takes no value, but has '${value}'`);
    // What looks like the next option is no value, unless it is joined by =.
    if (OPTIONS[name].type === 'string' && (value === undefined || (!inlineValue && value.startsWith('-'))))
      throw new UsageError(`--${name} needs a value: --${name} ${OPTIONS[name].value}`);
    values[name] = value ?? '';
  }
  return values;
}

/**
 * @param {string[]} args
 * @returns {Options}
 */
function readOptions(args) {
  const values = given(args);
  const rounds = positive('rounds', values.rounds, 5);
  if (!Number.isInteger(rounds)) throw new UsageError(`--rounds must be a whole number, not '${values.rounds}'`);
  const seconds = positive('seconds', values.seconds, 1);
  const onlyIds = chosen('only', values.only, ids);
  const onlyPeers = chosen('peers', values.peers, peers);
  return {
    help: values.help !== undefined,
    rounds,
    seconds,
    loads: LOADS.filter(({ id }) => onlyIds.includes(id)),
    participants: PARTICIPANTS.filter(({ name }) => onlyPeers.includes(name)),
  };
}

module.exports = { HELP, readOptions };
