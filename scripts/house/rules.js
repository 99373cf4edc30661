'use strict';

// Limits, and the exceptions from the rules, each with its reason. Exceptions may only become fewer and smaller.

/** About 400 lines, as a person counts. */
exports.limit = 440;

/** Files that are longer, with their present length as their limit. @type {Record<string, number>} */
exports.lengths = {};

/**
 * Uses that are left out when circles are looked for.
 * @type {{ from: string, to: string, why: string }[]}
 */
exports.circles = [
  'decode/array',
  'decode/range',
  'decode/record',
  'text/array_text',
  'text/text_format',
  'text/text_output',
].map((file) => ({
  from: `src/codec/${file}.rs`,
  to: 'src/codec/decode/decoder.rs',
  why: 'arrays, ranges and records are made of values of any type, arrays, ranges and records among them',
}));

/** Names that several types of src/ have, each with the reason. @type {Record<string, string>} */
exports.types = {};

/**
 * Entry points that use another one.
 * @type {{ from: string, to: string, why: string }[]}
 */
exports.entryPoints = [
  {
    from: 'exports/register/modules/',
    to: 'exports/pg/',
    why: 'register puts what is in the one in the place of pg, and must give the same objects as it, not a copy',
  },
];
