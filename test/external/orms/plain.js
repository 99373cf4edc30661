'use strict';

// Values as JSON that still tells them apart: a Date is no string, a bigint is no number, undefined is not null, an object of a class is
// no plain object. Two programs have seen the same when what this makes of their values is equal.

/** @param {unknown} value @returns {unknown} */
function plain(value) {
  if (value === undefined) return { undefined: true };
  if (typeof value === 'bigint') return { bigint: String(value) };
  if (typeof value === 'number' && !Number.isFinite(value)) return { number: String(value) };
  if (typeof value === 'function') return { function: value.name };
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return { Date: Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString() };
  if (Buffer.isBuffer(value)) return { Buffer: value.toString('hex') };
  if (value instanceof Map) return { Map: [...value].map(plain) };
  if (value instanceof Set) return { Set: [...value].map(plain) };
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Error) return plainError(value);
  const members = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  const { name } = Object.getPrototypeOf(value)?.constructor ?? Object;
  return name === 'Object' ? members : { class: name, members };
}

/** What programs look at when the server has refused a statement. */
const OF_SERVER = /** @type {const} */ ([
  'code',
  'severity',
  'detail',
  'hint',
  'position',
  'schema',
  'table',
  'column',
  'dataType',
  'constraint',
  'routine',
]);

/**
 * An error by its class, its message and what the server said; and the error within it, as libraries have it.
 * @param {Error} error
 * @returns {Record<string, unknown>}
 */
function plainError(error) {
  const said = /** @type {Record<string, any>} */ (/** @type {unknown} */ (error));
  // What the face throws has a cause, which says what became of the statement; pg's error of the server has none.
  const within = error.name === 'error' ? undefined : (said.cause ?? said.original ?? said.driverError);
  return {
    class: error.constructor.name,
    name: error.name,
    message: error.message,
    ...Object.fromEntries(OF_SERVER.filter((name) => said[name] !== undefined).map((name) => [name, said[name]])),
    ...(within instanceof Error && within !== error ? { within: plainError(within) } : {}),
  };
}

module.exports = { plain, plainError };
