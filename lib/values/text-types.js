'use strict';

// The types of sessions that speak as `pg` does (lib/api/pinned-session.js): texts, except for what the core makes itself.

const { DEFAULT_TYPES, Types } = require('./types.js');

/** The types of a pinned session: values of `native` types are made by the core, those with parsers by these, others are text. */
class TextTypes extends Types {
  /**
   * @param {readonly number[]} native oids
   * @param {ReadonlyMap<number, (text: string) => unknown>} parsers by oids
   */
  constructor(native, parsers) {
    const byName = new Map([...parsers].map(([oid, parser]) => [String(oid), parser]));
    super(DEFAULT_TYPES.choices, byName, new Map());
    this.core = JSON.stringify({ ...this.toJSON(), native });
  }
}

/** @param {{ native: readonly number[], parsers: ReadonlyMap<number, (text: string) => unknown> }} how */
const textTypes = ({ native, parsers }) => new TextTypes(native, parsers);

module.exports = { textTypes };
