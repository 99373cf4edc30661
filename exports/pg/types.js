'use strict';

// `types` of pg, and what the core is told of parsers: which types it turns into values itself, and which parser gets the text of each
// other type.

const client = /** @type {any} */ (require('../../client.js'));
const TypeOverrides = require('./type-overrides.js');
const registry = require('./type-registry.js');
const { TEXT } = require('./parsers/text.js');

/** @typedef {import('./type-registry.js').Parser} Parser */
/** @typedef {{ getTypeParser(oid: number, format?: string): any }} Source */
/**
 * @typedef {object} Known
 * @property {object} types for the core: what textTypes() of lib/ made
 * @property {((oid: number, format?: string) => Parser) | null} parse null: the core has parsed all values. Else all are text, and this
 *   tells the parser of each
 * @property {ReadonlyMap<number, Parser>} parsers of the types that have one
 */

/** The types whose values the core makes itself, as long as their parsers are the first ones. */
const NATIVE = [16, 17, 21, 23, 26, 114, 700, 701, 3802];

/** How many sets of parsers are remembered, so that clients with the same ones share statements and shapes. */
const MOST_SETS = 100;

const { types } = registry;
const { getOverrides, getTypeParser } = TypeOverrides.prototype;

/** Numbers of parsers, to tell sets by. @type {WeakMap<Parser, number>} */
const numbers = new WeakMap();
let lastNumber = 0;

/** @param {Parser} parser */
function numberOf(parser) {
  const known = numbers.get(parser);
  if (known !== undefined) return known;
  numbers.set(parser, ++lastNumber);
  return lastNumber;
}

/** @type {Map<string, Known>} */
const sets = new Map();

/**
 * The same object for the same parsers.
 * @param {ReadonlyMap<number, Parser>} parsers
 * @returns {Known}
 */
function knownOf(parsers) {
  const key = [...parsers]
    .map(([oid, parser]) => `${oid}:${numberOf(parser)}`)
    .sort()
    .join();
  const known = sets.get(key);
  if (known !== undefined) return known;
  const isFirst = (/** @type {number} */ oid) => parsers.get(oid) === TEXT[oid];
  const native = NATIVE.filter(isFirst);
  // The digits of an int8 are what its parser would give.
  const others = [...parsers].filter(([oid]) => !native.includes(oid) && !(oid === 20 && isFirst(oid)));
  const made = { types: textTypes(native, new Map(others)), parse: null, parsers };
  if (sets.size >= MOST_SETS) sets.delete(/** @type {string} */ (sets.keys().next().value));
  sets.set(key, made);
  return made;
}

/** @param {number[]} native @param {ReadonlyMap<number, Parser>} parsers @returns {object} */
const textTypes = (native, parsers) => client[Symbol.for('hyperiondb-client.options')].textTypes({ native, parsers });

/** @type {{ count: number, known: Known } | undefined} */
let ofProcess;

function globalTypes() {
  if (ofProcess?.count === registry.changes.count) return ofProcess.known;
  ofProcess = { count: registry.changes.count, known: knownOf(withOverrides(new Map(), registry.textParsers)) };
  return ofProcess.known;
}

/**
 * @param {ReadonlyMap<number, Parser>} base
 * @param {Record<number, Parser>} overrides
 * @returns {Map<number, Parser>}
 */
function withOverrides(base, overrides) {
  const parsers = new Map(base);
  for (const [oid, parser] of Object.entries(overrides)) {
    // What is no function is passed over by getTypeParser().
    if (parser) parsers.set(Number(oid), parser);
  }
  return parsers;
}

/** What was made for each TypeOverrides. @type {WeakMap<object, { base: Known, seen: Record<number, Parser>, known: Known }>} */
const made = new WeakMap();

/** @param {Record<string, unknown>} one @param {Record<string, unknown>} other */
function isSame(one, other) {
  let count = 0;
  for (const oid in other) {
    if (one[oid] !== other[oid]) return false;
    count++;
  }
  return count === Object.keys(one).length;
}

/**
 * @param {any} overrides a TypeOverrides
 * @returns {Known}
 */
function overridden(overrides) {
  const base = coreTypes(overrides._types);
  if (base.parse !== null) return foreign(overrides);
  const before = made.get(overrides);
  if (before?.base === base && isSame(before.seen, overrides.text)) return before.known;
  const known = knownOf(withOverrides(base.parsers, overrides.text));
  made.set(overrides, { base, seen: { ...overrides.text }, known });
  return known;
}

/** @type {object | undefined} */
let allText;

/**
 * Nobody knows which parser the object has for a type until it is asked.
 * @param {Source} source
 * @returns {Known}
 */
function foreign(source) {
  allText ??= textTypes([], new Map());
  return { types: allText, parse: (oid, format) => source.getTypeParser(oid, format), parsers: new Map() };
}

/**
 * What the core and Result need for the values of a query.
 * @param {Source} [source] `types`, a TypeOverrides or any object with getTypeParser(); none: `types`
 * @returns {Known}
 */
function coreTypes(source = types) {
  // A program may have replaced the function.
  if (source === types && types.getTypeParser === registry.getTypeParser) return globalTypes();
  const isOverrides = source instanceof TypeOverrides && source.getTypeParser === getTypeParser;
  return isOverrides && source.getOverrides === getOverrides ? overridden(source) : foreign(source);
}

// Not enumerable: `types` shows what that of pg shows.
module.exports = /** @type {typeof types & { coreTypes: typeof coreTypes }} */ (
  Object.defineProperty(types, 'coreTypes', { value: coreTypes })
);
