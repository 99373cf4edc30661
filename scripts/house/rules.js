'use strict';

// Limits, and the exceptions from the rules, each with its reason. Exceptions may only become fewer and smaller.

/** About 400 lines, as a person counts. */
exports.limit = 440;

/** Files that are longer, with their present length as their limit. @type {Record<string, number>} */
exports.lengths = {
  'test/server/cancel.test.js': 587,
  'test/cluster/cli.test.js': 704,
  'test/server/copy.test.js': 1037,
  'test/server/exec.test.js': 480,
  'test/server/lifecycle.test.js': 612,
  'test/cluster/monitor.test.js': 461,
  'test/cluster/pool.test.js': 1134,
  'test/server/statements.test.js': 756,
  'test/server/transactions.test.js': 670,
  'test/server/types.test.js': 1107,
  'test/cluster/harness.test.js': 651,
};

/** @param {string} why @param {string} folder @param {string} to @param {string} from names, between spaces */
const into = (why, folder, to, from) =>
  from.split(' ').map((name) => ({ from: `src/${folder}/${name}.rs`, to: `src/${to}.rs`, why }));

/**
 * Uses that are left out when circles are looked for. All of them stay within one layer.
 * @type {{ from: string, to: string, why: string }[]}
 */
exports.circles = [
  ...into(
    'a decoder of something that is made of values decodes values; and DecodeError stands there',
    'codec',
    'codec/decode',
    'array array_text clock datetime from_text geometry hstore net numeric pack read record shown tsearch range',
  ),
  ...into('a value in an array or range is written as any value is', 'codec', 'codec/shown', 'array_text range'),
  ...into('an hstore quotes as text does, and stands in text', 'codec', 'codec/hstore', 'array_text from_text'),
  ...into(
    'what is within a structure is written as any parameter is',
    'codec',
    'codec/param_sql',
    'param_array param_json',
  ),
];

/** @param {string} why @param {string} names between spaces */
const named = (why, names) => Object.fromEntries(names.split(' ').map((name) => [name, why]));

/** Names that several types of src/ have, with the reason. @type {Record<string, string>} */
exports.types = {
  ...named('being renamed in src/query', 'Command Items Object Step Target Verdict'),
  ...named('present in src/codec', 'Binary Decimal Item'),
};
