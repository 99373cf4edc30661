'use strict';

// The parameters of a statement as attributes: `db.query.parameter.<key>`, "a string representation of the parameter value"; "if a query
// parameter has no name and instead is referenced only by index, then <key> SHOULD be the 0-based index".

/** Longer values are cut: one of 10 MB would stay in the memory until its span is exported. */
const LONGEST = 1_024;
const ELLIPSIS = '...';

/** @param {unknown} value @returns {string} */
function text(value) {
  if (typeof value === 'string') return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof Uint8Array)
    return `\\x${Buffer.from(value.buffer, value.byteOffset, Math.min(value.byteLength, LONGEST)).toString('hex')}`;
  if (typeof value !== 'object' || value === null) return String(value);
  // JSON has no BigInt.
  return (
    JSON.stringify(value, (_key, member) => (typeof member === 'bigint' ? String(member) : member)) ?? String(value)
  );
}

/** @param {unknown} value */
function shown(value) {
  try {
    const whole = text(value);
    return whole.length > LONGEST ? whole.slice(0, LONGEST) + ELLIPSIS : whole;
  } catch {
    // A circle, or a method of the object that throws: sending it fails, too, and says so.
    return `[${typeof value}]`;
  }
}

/** @param {readonly unknown[]} parameters @returns {Record<string, string>} */
function parameterAttributes(parameters) {
  return Object.fromEntries(parameters.map((value, index) => [`db.query.parameter.${index}`, shown(value)]));
}

module.exports = { parameterAttributes };
