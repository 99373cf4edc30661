'use strict';

// The option `types` of a pool and of a single call: how values are returned, and how they are sent.
//
// A parser gets the text of a value, as the server prints it, when its row is read; a shape (lib/values/shapes.js) holds the parsers
// that it needs. The core knows a parser by a number. A serializer makes the text that is sent for a parameter of a type. For that,
// JavaScript must know the types of a statement's parameters, and asks the core for them once (lib/core/statement-runner.js).

const { isMap, isSet } = require('node:util').types;
const { withMembers } = require('../options/with-members.js');
const { OptionError, ParameterError } = require('../errors.js');
const { oneOf, plainObject, refuseUnknown } = require('../options/validate.js');
const { contentsOf } = require('./exact-json.js');

/** The first of each is the default. */
const CHOICES = {
  int8: ['bigint', 'number', 'string'],
  numeric: ['string', 'number'],
  date: ['string', 'date'],
  json: ['parse', 'string'],
};

/** What the option `types` may have. */
const MEMBERS = { ...CHOICES, parsers: null, serializers: null };

/** @typedef {(text: string) => unknown} Parser */
/** @typedef {(value: any) => string | null | undefined} Serializer */
/**
 * A type as the core describes it (src/codec/types.rs).
 * @typedef {object} Type
 * @property {number} oid
 * @property {string} schema
 * @property {string} name
 * @property {string} shown the name in SQL: `int4[]` where `name` is `_int4`
 * @property {Type} [of] of an array's elements
 * @property {Type} [base] of a domain
 * @property {{ name: string, type: Type }[]} [fields] of a composite
 */

/** The numbers of parsers. @type {WeakMap<Parser, number>} */
const numbers = new WeakMap();
/** The parsers by their numbers. A parser lives as long as the options that have it. @type {Map<number, WeakRef<Parser>>} */
const parsers = new Map();
const collected = new FinalizationRegistry((/** @type {number} */ number) => parsers.delete(number));
let lastNumber = 0;

/** @param {Parser} parser */
function numberOf(parser) {
  let number = numbers.get(parser);
  if (number === undefined) {
    number = ++lastNumber;
    numbers.set(parser, number);
    parsers.set(number, new WeakRef(parser));
    collected.register(parser, number);
  }
  return number;
}

/** The parser with this number. @param {number} number */
const parserOf = (number) => parsers.get(number)?.deref();

/**
 * Functions by the names or oids of types.
 * @template {Function} F
 * @param {string} name of the option
 * @param {unknown} given
 * @param {ReadonlyMap<string, F>} inherited those of the pool; null removes one
 * @returns {ReadonlyMap<string, F>}
 */
function functions(name, given, inherited) {
  if (given === undefined) return inherited;
  const all = new Map(inherited);
  for (const [type, fn] of Object.entries(plainObject(name, given))) {
    if (type === '') throw new OptionError(`${name}: the name of a type must not be empty`);
    if (fn === null) all.delete(type);
    else if (typeof fn === 'function') all.set(type, /** @type {any} */ (fn));
    else throw new OptionError(`${name}.${type} must be a function`);
  }
  return all;
}

/** Whether the elements of a value are those of an array. @param {unknown} value */
const isList = (value) => Array.isArray(value) || isSet(value);

/** How the values of a pool, or of one statement, are returned and sent. Immutable. */
class Types {
  /** What frozen objects without functions say, which cannot change any more. @type {WeakMap<object, Types>} */
  #known = new WeakMap();

  /**
   * @param {Record<string, string>} choices
   * @param {ReadonlyMap<string, Parser>} parsers
   * @param {ReadonlyMap<string, Serializer>} serializers
   */
  constructor(choices, parsers, serializers) {
    this.choices = choices;
    this.parsers = parsers;
    this.serializers = serializers;
    /** The form for the core. Statements of equal text and equal types are one statement. */
    this.core = JSON.stringify(this);
  }

  toJSON() {
    const parsers = [...this.parsers].map(([type, parser]) => [type, numberOf(parser)]);
    // Only the types of a pinned session have native ones (lib/values/text-types.js).
    return withMembers(this.choices, { parsers: Object.fromEntries(parsers), native: [] });
  }

  /**
   * A copy in which what is given replaces what is there.
   * @param {unknown} value the option `types`
   * @returns {Types}
   */
  with(value) {
    const known = this.#known.get(/** @type {object} */ (value));
    if (known !== undefined) return known;
    const types = this.#read(value);
    if (Object.isFrozen(value) && types.parsers === this.parsers && types.serializers === this.serializers) {
      this.#known.set(/** @type {object} */ (value), types);
    }
    return types;
  }

  /** @param {unknown} value */
  #read(value) {
    const given = plainObject('types', value);
    refuseUnknown(given, MEMBERS, { path: 'types', hint: ': a parser for a type goes into types.parsers' });
    const choices = Object.entries(CHOICES).map(([name, known]) => [
      name,
      given[name] === undefined ? this.choices[name] : oneOf(`types.${name}`, given[name], known),
    ]);
    return new Types(
      Object.fromEntries(choices),
      functions('types.parsers', given.parsers, this.parsers),
      functions('types.serializers', given.serializers, this.serializers),
    );
  }

  /**
   * The function that is applied to a value of a type before it is sent; null: there is none.
   * @param {Type} type
   * @returns {((value: any) => unknown) | null}
   */
  serializer({ oid, schema, name, shown, of, base, fields }) {
    for (const key of [String(oid), name, shown, `${schema}.${name}`]) {
      const own = this.serializers.get(key);
      if (own !== undefined) return (value) => serialized(own, value, shown);
    }
    if (base !== undefined) return this.serializer(base);
    if (of !== undefined) {
      const element = this.serializer(of);
      if (element === null) return null;
      /** @param {any} value @returns {unknown} */
      const each = (value) => (isList(value) ? Array.from(value, each) : value == null ? value : element(value));
      return (value) => (isList(value) ? each(value) : value);
    }
    const members = (fields ?? []).flatMap((field) => {
      const member = this.serializer(field.type);
      return member === null ? [] : [{ name: field.name, member }];
    });
    if (members.length === 0) return null;
    return (value) => {
      if (typeof value !== 'object' || Array.isArray(value)) return value;
      /** @type {[any, unknown][] | null} */
      const given = isMap(value) ? Array.from(value) : contentsOf(value) === null ? Object.entries(value) : null;
      // What has no members by name is refused where it is written.
      if (given === null || given.some(([key]) => typeof key !== 'string')) return value;
      const copy = Object.create(null);
      for (const [key, member] of given) copy[key] = member;
      for (const { name, member } of members) if (copy[name] != null) copy[name] = member(copy[name]);
      return copy;
    };
  }
}

/**
 * @param {Serializer} serializer
 * @param {unknown} value
 * @param {string} type
 */
function serialized(serializer, value, type) {
  let text;
  try {
    text = serializer(value);
  } catch (cause) {
    throw new ParameterError(`the serializer for ${type} failed: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  if (text === undefined || text === null) return null;
  if (typeof text !== 'string') throw new ParameterError(`the serializer for ${type} must return a string or null`);
  return text;
}

const defaults = Object.entries(CHOICES).map(([name, [first]]) => [name, first]);
/** The types of a pool without the option. */
const DEFAULT_TYPES = new Types(Object.fromEntries(defaults), new Map(), new Map());

module.exports = { DEFAULT_TYPES, MEMBERS, Types, parserOf };
