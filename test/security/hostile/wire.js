'use strict';

// Messages of a PostgreSQL server (PostgreSQL docs, 54.7 "Message Formats"), right and wrong. The builder of its name makes a
// right message; `message` and `claiming` make wrong ones, and so does cutting a right one.

/** Numbers of the types that the tests use (pg_type.dat). */
const OID = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  xml: 142,
  path: 602,
  box: 603,
  polygon: 604,
  float8: 701,
  macaddr: 829,
  inet: 869,
  int4Array: 1007,
  textArray: 1009,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  bit: 1560,
  varbit: 1562,
  numeric: 1700,
  uuid: 2950,
  tsvector: 3614,
  tsquery: 3615,
  jsonb: 3802,
  int4range: 3904,
  jsonpath: 4072,
  int4multirange: 4451,
};

/** @typedef {string | Buffer | null} Cell */
/** @typedef {readonly [name: string, oid: number]} Column */

/** @param {number} value */
function int16(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value & 0xffff);
  return bytes;
}

/** @param {number} value */
function int32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** @param {string | Buffer} text */
const cstring = (text) => Buffer.concat([Buffer.from(text), Buffer.from([0])]);

/**
 * A message that claims this length (which counts itself, not the type).
 *
 * @param {string} type
 * @param {number} length
 * @param {...(string | Buffer)} body
 */
function claiming(type, length, ...body) {
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(length), ...body.map((part) => Buffer.from(part))]);
}

/** @param {string} type @param {...(string | Buffer)} body */
function message(type, ...body) {
  const length = body.reduce((sum, part) => sum + Buffer.byteLength(part), 4);
  return claiming(type, length, ...body);
}

/** A message without its last bytes. @param {Buffer} whole @param {number} [missing] */
const cut = (whole, missing = 1) => whole.subarray(0, whole.length - missing);

/** An authentication request: 0 is "ok". @param {number} kind @param {...(string | Buffer)} data */
const authentication = (kind, ...data) => message('R', int32(kind), ...data);

/** @param {string} name @param {string} value */
const parameterStatus = (name, value) => message('S', cstring(name), cstring(value));

/** @param {number} processId @param {number} key */
const backendKeyData = (processId, key) => message('K', int32(processId), int32(key));

/** @param {string} [status] I: idle, T: in a transaction, E: in a failed one */
const ready = (status = 'I') => message('Z', status);

/** @param {string} tag */
const complete = (tag) => message('C', cstring(tag));

/** @param {Record<string, string>} fields by their letters */
function fieldsOf(fields) {
  return Buffer.concat([
    ...Object.entries(fields).map(([letter, value]) => Buffer.concat([Buffer.from(letter), cstring(value)])),
    Buffer.from([0]),
  ]);
}

/** @param {string} code @param {string} text @param {string} [severity] */
const error = (code, text, severity = 'ERROR') =>
  message('E', fieldsOf({ S: severity, V: severity, C: code, M: text }));

/** @param {string} text @param {string} [code] */
const notice = (text, code = '00000') => message('N', fieldsOf({ S: 'NOTICE', V: 'NOTICE', C: code, M: text }));

/** @param {string} channel @param {string} payload */
const notification = (channel, payload) => message('A', int32(1), cstring(channel), cstring(payload));

/** @param {readonly Column[]} columns @param {number} [format] 0: text, 1: binary */
function rowDescription(columns, format = 0) {
  const fields = columns.map(([name, oid]) =>
    Buffer.concat([cstring(name), int32(0), int16(0), int32(oid), int16(-1), int32(-1), int16(format)]),
  );
  return message('T', int16(columns.length), Buffer.concat(fields));
}

/** @param {readonly Cell[]} cells @param {number} [count] how many it says it has */
function dataRow(cells, count = cells.length) {
  const parts = cells.map((cell) =>
    cell === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(cell)), Buffer.from(cell)]),
  );
  return message('D', int16(count), Buffer.concat(parts));
}

/** @param {readonly number[]} oids */
const parameterDescription = (oids) => message('t', int16(oids.length), Buffer.concat(oids.map(int32)));

const parseComplete = message('1');
const bindComplete = message('2');
const closeComplete = message('3');
const noData = message('n');
const emptyQuery = message('I');
const copyDone = message('c');

/** @param {'G' | 'H'} type G: in, H: out @param {number} [columns] */
const copyResponse = (type, columns = 1) =>
  message(type, Buffer.from([0]), int16(columns), ...Array.from({ length: columns }, () => int16(0)));

/** @param {string | Buffer} data */
const copyData = (data) => message('d', data);

/**
 * The messages in the bytes of a server, and the rest when the last one is cut short.
 *
 * @param {Buffer} bytes
 * @returns {Buffer[]}
 */
function split(bytes) {
  const messages = [];
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.length < at + 5 ? bytes.length : Math.min(at + 1 + bytes.readUInt32BE(at + 1), bytes.length);
    messages.push(bytes.subarray(at, end));
    at = end;
  }
  return messages;
}

module.exports = {
  OID,
  authentication,
  backendKeyData,
  bindComplete,
  claiming,
  closeComplete,
  complete,
  copyData,
  copyDone,
  copyResponse,
  cstring,
  cut,
  dataRow,
  emptyQuery,
  error,
  fieldsOf,
  int16,
  int32,
  message,
  noData,
  notice,
  notification,
  parameterDescription,
  parameterStatus,
  parseComplete,
  ready,
  rowDescription,
  split,
};
