'use strict';

// Answers to the questions of a client about types that it does not know: first for the type itself, then for the labels of an
// enum or the attributes of a composite type.

const { OID, int32 } = require('./wire');

/** @typedef {import('./server').Statement} Statement */
/**
 * @typedef {object} FakeType
 * @property {string} [kind] as pg_type.typtype
 * @property {number} [element]
 * @property {number} [relation]
 * @property {string[]} [labels]
 * @property {import('./wire').Column[]} [attributes]
 */

const NAMES = ['typname', 'typtype', 'typelem', 'rngsubtype', 'typbasetype', 'nspname', 'typrelid'];
const OIDS = [OID.name, OID.char, OID.oid, OID.oid, OID.oid, OID.name, OID.oid];

/**
 * Statements, with the answers to a client's questions about types.
 *
 * @param {Record<string, Statement>} statements
 * @param {(oid: number) => FakeType} typeOf also asked for the relation of a composite type
 * @returns {Record<string, Statement>}
 */
function withTypes(statements, typeOf) {
  /** @param {(Buffer | null)[]} params */
  const asked = ([oid]) => typeOf(oid?.readUInt32BE(0) ?? 0);
  /** @type {[RegExp, Statement][]} */
  const questions = [
    [
      /^SELECT t\.typname, t\.typtype/,
      {
        params: [OID.oid],
        columns: NAMES.map((name, at) => [name, OIDS[at]]),
        rows: (params) => {
          const { kind = 'b', element = 0, relation = 0 } = asked(params);
          return [['fake', kind, int32(element), null, int32(0), 'public', int32(relation)]];
        },
      },
    ],
    [
      /^SELECT enumlabel/,
      {
        params: [OID.oid],
        columns: [['enumlabel', OID.name]],
        rows: (params) => (asked(params).labels ?? []).map((label) => [label]),
      },
    ],
    [
      /^SELECT attname, atttypid/,
      {
        params: [OID.oid],
        columns: [
          ['attname', OID.name],
          ['atttypid', OID.oid],
        ],
        rows: (params) => (asked(params).attributes ?? []).map(([name, oid]) => [name, int32(oid)]),
      },
    ],
  ];
  return new Proxy(statements, {
    get: (known, sql) => known[String(sql)] ?? questions.find(([question]) => question.test(String(sql)))?.[1],
  });
}

module.exports = { withTypes };
