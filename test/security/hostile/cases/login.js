'use strict';

// Servers that misbehave before a connection can be used. Whatever they do, the pool reports why the host cannot be used, and uses
// another host if it has one. `is`: the result of a pool with no other host; by default ERR_NO_PRIMARY.

const { MECHANISM, saslRequest, scram } = require('../scram');
const wire = require('../wire');
const { OID, authentication, claiming, cut, error, fieldsOf, int16, int32, message, notice, ready } = wire;

/** @typedef {import('../server').Script} Script */
/** @typedef {import('../server').Step} Step */
/** @typedef {import('../judge').Expected} Expected */
/** @typedef {readonly [name: string, script: Script, is?: Expected]} Row */

const END = { end: true };
const HUSH = { hush: true };
/** The reason says that the host is silent. @type {Expected} */
const SILENT = { reason: /no answer within/ };
/** The host has sent something, so the pool does not wait for its timeout. @type {Expected} */
const PROMPT = { reason: /^(?!.*no answer within)./s };
/** The password must not have been sent. @type {Expected} */
const KEPT = { code: ['ERR_AUTH', 'ERR_NO_PRIMARY'], never: ['password'] };
/** A server that a client must not trust. @type {Expected} */
const IMPOSTOR = { code: ['ERR_AUTH', 'ERR_NO_PRIMARY'], reason: PROMPT.reason };
/** @type {Expected} */
const WORKS = { value: [{ one: 1 }] };
const RUBBISH = Buffer.from([...Array(512).keys()].map((at) => (at * 167 + 13) & 0xff));
const HTTP = Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
const NOT_UTF8 = Buffer.from([0xc3, 0x28, 0xff, 0xfe]);
const OK = authentication(0);

/** Messages that are wrong in every state. @type {readonly [string, Buffer][]} */
const WRONG = [
  ['length 0', claiming('R', 0, int32(0))],
  ['length 3', claiming('R', 3)],
  ['length -1', claiming('R', -1, int32(0))],
  ['length -2^31', claiming('R', -(2 ** 31), int32(0))],
  ['length 2^31-1', claiming('R', 2 ** 31 - 1, int32(0))],
  ['length 100 MB', claiming('R', 100 << 20, int32(0))],
  ['type 0', message('\0', int32(0))],
  ['type ?', message('?', int32(0))],
  ['type 0xff', message('\xff', int32(0))],
  ['DataRow', wire.dataRow(['x'])],
  ['RowDescription', wire.rowDescription([['x', OID.text]])],
  ['CommandComplete', wire.complete('SELECT 1')],
  ['CopyInResponse', wire.copyResponse('G')],
  ['a notification', wire.notification('c', 'p')],
  ['rubbish', RUBBISH],
  ['HTTP', HTTP],
];

/** @type {readonly Row[]} */
const CONNECT = [
  ['connect: closes', { connect: [END] }],
  ['connect: resets', { connect: [{ reset: true }] }],
  ['connect: is silent', { connect: [HUSH] }, SILENT],
  ['connect: speaks HTTP', { connect: [HTTP, END] }],
  ['connect: speaks HTTP and stays', { connect: [HTTP, HUSH] }, PROMPT],
  ['connect: is ready before it is asked', { connect: [ready(), HUSH] }, PROMPT],
  ['connect: logs in before it is asked', { connect: [OK, ready(), ready(), ready(), HUSH] }, PROMPT],
];

/** @type {readonly Row[]} */
const STARTUP = [
  ['startup: closes', { startup: [END] }],
  ['startup: resets', { startup: [{ reset: true }] }],
  ['startup: is silent', { startup: [HUSH] }, SILENT],
  ['startup: a cut message, closed', { startup: [cut(OK), END] }],
  ['startup: a cut message, silent', { startup: [cut(OK), HUSH] }, SILENT],
  ['startup: half a head, closed', { startup: [OK.subarray(0, 3), END] }],
  [
    'startup: one byte a second',
    { startup: [{ drip: Buffer.concat([OK, notice('x'.repeat(100))]), everyMs: 1000 }] },
    SILENT,
  ],
  ...WRONG.map(([name, bytes]) => /** @type {Row} */ ([`startup: ${name}`, { startup: [bytes, HUSH] }, PROMPT])),
  ['startup: ready at once', { startup: [ready(), HUSH] }, PROMPT],
  ['startup: key data at once', { startup: [wire.backendKeyData(1, 1), HUSH] }, PROMPT],
  ['startup: an unknown authentication', { startup: [authentication(99), HUSH] }, IMPOSTOR],
  ['startup: no kind of authentication', { startup: [message('R'), HUSH] }, PROMPT],
  ['startup: Kerberos', { startup: [authentication(2), HUSH] }, IMPOSTOR],
  ['startup: GSSAPI', { startup: [authentication(7), HUSH] }, IMPOSTOR],
  ['startup: SSPI', { startup: [authentication(9), HUSH] }, IMPOSTOR],
  ['startup: another protocol version', { startup: [message('v', int32(3 << 16), int32(0)), HUSH] }, PROMPT],
  [
    'startup: another protocol version, options',
    { startup: [message('v', int32(3 << 16), int32(65_535), '_pq_.x'), HUSH] },
    PROMPT,
  ],
  ['startup: twice ok', { startup: [OK, OK, HUSH] }, PROMPT],
  ['startup: an error without fields', { startup: [message('E', Buffer.from([0])), END] }, PROMPT],
  ['startup: an error without anything', { startup: [message('E'), END] }, PROMPT],
  ['startup: an error without an end', { startup: [message('E', 'SFATAL\0C53300\0Mfull\0'), END] }, PROMPT],
  ['startup: an error cut in a field', { startup: [message('E', 'SFATAL\0C533'), END] }, PROMPT],
  ['startup: an error of unknown fields', { startup: [message('E', fieldsOf({ x: 'a', y: 'b' })), END] }, PROMPT],
  [
    'startup: an error that is not UTF-8',
    { startup: [message('E', 'SFATAL\0VFATAL\0C53300\0M', NOT_UTF8, Buffer.from([0, 0])), END] },
    { reason: /53300/ },
  ],
  ['startup: an error of the old protocol', { startup: [Buffer.from('EFATAL:  out of memory\n\0'), END] }, PROMPT],
  [
    'startup: too many clients',
    { startup: [error('53300', 'sorry, too many clients', 'FATAL'), END] },
    { reason: /53300/ },
  ],
  ['startup: starting up', { startup: [error('57P03', 'starting up', 'FATAL'), END] }, { reason: /57P03/ }],
  [
    'startup: a wrong password',
    { startup: [error('28P01', 'password authentication failed', 'FATAL'), END] },
    { code: '28P01', final: true },
  ],
  [
    'startup: no such database',
    { startup: [error('3D000', 'no such database', 'FATAL'), END] },
    { code: '3D000', final: true },
  ],
];

/** @type {readonly Row[]} */
const LOGIN = [
  ['login: closes', { login: [OK, END] }],
  ['login: is silent', { login: [OK, HUSH] }, SILENT],
  ['login: notices for ever', { login: [OK, { flood: notice('x'.repeat(200)) }] }],
  ['login: settings for ever', { login: [OK, { flood: wire.parameterStatus('a', 'b') }] }],
  ['login: a setting without NUL', { login: [OK, message('S', 'a'), HUSH] }, PROMPT],
  ['login: a setting that is not UTF-8', { login: [OK, message('S', NOT_UTF8, '\0x\0'), HUSH] }, PROMPT],
  ['login: a notice without an end', { login: [OK, message('N', 'SNOTICE\0'), ready(), HUSH] }, PROMPT],
  ['login: a short key', { login: [OK, message('K', int32(1)), ready(), HUSH] }, PROMPT],
  ['login: a long key', { login: [OK, message('K', int32(1), Buffer.alloc(32)), ready(), HUSH] }, PROMPT],
  ['login: no key at all', { login: [OK, message('K'), ready(), HUSH] }, PROMPT],
  ['login: ready without a status', { login: [OK, message('Z'), HUSH] }, PROMPT],
  ['login: ready with two', { login: [OK, message('Z', 'II'), HUSH] }, PROMPT],
  ['login: ready in a transaction', { login: [OK, ready('T')] }, PROMPT],
  ['login: ready in a status that is none', { login: [OK, ready('?')] }, PROMPT],
  ['login: ready twice', { login: ['default', ready()] }, PROMPT],
  ['login: a message too many', { login: ['default', wire.complete('SELECT 1')] }, PROMPT],
  ['login: an error behind it', { login: ['default', error('57P01', 'terminated', 'FATAL'), END] }, PROMPT],
  ...WRONG.filter(([name]) => name !== 'a notification').map(
    ([name, bytes]) => /** @type {Row} */ ([`login: ${name}`, { login: [OK, bytes, HUSH] }, PROMPT]),
  ),
];

/** @type {readonly Row[]} */
const PASSWORD = [
  ['cleartext: over an open line', { startup: [authentication(3)] }, KEPT],
  ['md5: a cut salt', { startup: [authentication(5, 'ab'), HUSH] }, PROMPT],
  ['md5: a long salt', { startup: [authentication(5, 'abcdef'), HUSH] }, PROMPT],
  ['md5: silent', { startup: [authentication(5, 'abcd')], password: [HUSH] }, SILENT],
  ['md5: closes', { startup: [authentication(5, 'abcd')], password: [END] }, PROMPT],
  ['md5: again', { startup: [authentication(5, 'abcd')], password: [authentication(5, 'efgh'), HUSH] }, PROMPT],
  ['md5: then SASL', { startup: [authentication(5, 'abcd')], password: [saslRequest(), HUSH] }, PROMPT],
  ['md5: then cleartext', { startup: [authentication(5, 'abcd')], password: [authentication(3), HUSH] }, IMPOSTOR],
  ['md5: ready', { startup: [authentication(5, 'abcd')], password: [ready(), HUSH] }, PROMPT],
];

const MANY = Array.from({ length: 10_000 }, (_, at) => `SCRAM-SHA-${at + 1000}`);

/** @type {readonly Row[]} */
const SASL = [
  ['SASL: no mechanism', { ...scram(), startup: [saslRequest([]), HUSH] }, IMPOSTOR],
  ['SASL: nothing at all', { ...scram(), startup: [authentication(10), HUSH] }, IMPOSTOR],
  ['SASL: an unknown mechanism', scram({ mechanisms: ['OAUTHBEARER'] }), IMPOSTOR],
  ['SASL: 10,000 unknown mechanisms', scram({ mechanisms: MANY }), IMPOSTOR],
  ['SASL: 10,000 mechanisms and ours', scram({ mechanisms: [...MANY, MECHANISM] }), PROMPT],
  ['SASL: the list has no end', { ...scram(), startup: [authentication(10, MECHANISM), HUSH] }, IMPOSTOR],
  ['SASL: the list is not UTF-8', { ...scram(), startup: [authentication(10, NOT_UTF8, '\0\0'), HUSH] }, IMPOSTOR],
  ['SASL: channel binding without TLS', scram({ mechanisms: [`${MECHANISM}-PLUS`] }), IMPOSTOR],
  ['SASL: the end first', { startup: [authentication(12, 'v=AAAA'), HUSH] }, PROMPT],
  ['SASL: is silent', { ...scram(), saslInitial: [HUSH] }, SILENT],
  ['SASL: closes', { ...scram(), saslInitial: [END] }, PROMPT],
  ['SASL: takes nothing for a proof', { ...scram(), saslInitial: ['login'] }, IMPOSTOR],
  [
    'SASL: asks for the password instead',
    { ...scram(), saslInitial: [authentication(3)] },
    { ...IMPOSTOR, never: ['saslResponse'] },
  ],
  ['SASL: takes the proof and shows none', { ...scram(), saslResponse: ['login'] }, IMPOSTOR],
  ['SASL: silent after the proof', { ...scram(), saslResponse: [HUSH] }, SILENT],
  ['SASL: closes after the proof', { ...scram(), saslResponse: [END] }, PROMPT],
  ['SASL: a wrong signature', scram({ signature: Buffer.alloc(32) }), IMPOSTOR],
  ['SASL: a short signature', scram({ signature: Buffer.alloc(3) }), IMPOSTOR],
  ['SASL: no signature', scram({ final: 'v=' }), IMPOSTOR],
  ['SASL: a signature that is none', scram({ final: 'v=%%%' }), IMPOSTOR],
  ['SASL: an empty end', scram({ final: '' }), IMPOSTOR],
  ['SASL: an error at the end', scram({ final: 'e=other-error' }), IMPOSTOR],
  ['SASL: another password behind it', scram({ password: 'other', believes: true }), IMPOSTOR],
  ['SASL: a wrong password', scram({ password: 'other' }), { code: '28P01', final: true }],
  ["SASL: another one's nonce", scram({ nonce: () => 'abcdefghijklmnop' }), IMPOSTOR],
  ['SASL: a cut nonce', scram({ nonce: (own) => own.slice(0, -1) }), IMPOSTOR],
  ['SASL: no nonce', scram({ nonce: () => '' }), IMPOSTOR],
  ...['0', '-1', 'x', '', '2147483648', '4294967295', '99999999999999999999', '1e9', '10000000'].map(
    (iterations) => /** @type {Row} */ ([`SASL: ${iterations || 'no'} iterations`, scram({ iterations }), IMPOSTOR]),
  ),
  ['SASL: a salt that is none', scram({ salt: '%%%' }), IMPOSTOR],
  ['SASL: an unknown extension', scram({ first: 'm=x,r=a,s=YQ==,i=4096' }), IMPOSTOR],
  ['SASL: an empty first message', scram({ first: '' }), IMPOSTOR],
  ['SASL: the first message is rubbish', { ...scram(), saslInitial: [authentication(11, NOT_UTF8), HUSH] }, IMPOSTOR],
  [
    'SASL: the first message is 10 MB',
    { ...scram(), saslInitial: [authentication(11, `r=${'a'.repeat(10 << 20)}`), HUSH] },
    IMPOSTOR,
  ],
];

const PROBE = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => /** @type {import('../wire').Column} */ ([name, OID.text]));
const SEEN = ['f', 'off', '000000010000000000000001', '0/16B3748', '0', '1'];
const COUNTED = wire.complete('SELECT 1');

/** @param {readonly import('../wire').Cell[]} cells @param {number} [columns] */
const seen = (cells, columns = cells.length) => [
  wire.rowDescription(PROBE.slice(0, columns)),
  wire.dataRow(cells),
  COUNTED,
  ready(),
];

/** Wrong the first time, then right. @param {readonly Step[]} steps @returns {readonly Step[]} */
function once(steps) {
  let times = 0;
  return [() => (++times === 1 ? steps : ['default'])];
}

/** @type {readonly Row[]} */
const ROLE = [
  ['probe: is silent', { probe: [HUSH] }, SILENT],
  ['probe: closes', { probe: [END] }],
  ['probe: ready and nothing else', { probe: [ready()] }, PROMPT],
  ['probe: an empty query', { probe: [wire.emptyQuery, ready()] }, PROMPT],
  ['probe: no row', { probe: [wire.rowDescription(PROBE), wire.complete('SELECT 0'), ready()] }, PROMPT],
  ['probe: a row without columns', { probe: [wire.dataRow(SEEN), COUNTED, ready()] }, PROMPT],
  ['probe: one column', { probe: seen(['f']) }, PROMPT],
  ['probe: nulls', { probe: seen([null, null, null, null, null, null]) }, PROMPT],
  ['probe: neither true nor false', { probe: seen(['maybe', 'off', null, null, '0', '1']) }, PROMPT],
  ['probe: fewer values than columns', { probe: seen(['f'], 6) }, PROMPT],
  ['probe: more values than columns', { probe: seen(SEEN, 3) }, PROMPT],
  ['probe: not UTF-8', { probe: seen(SEEN.map(() => NOT_UTF8)) }, PROMPT],
  ['probe: one column, once', { probe: once(seen(['f'])) }, WORKS],
  ['probe: not UTF-8, once', { probe: once(seen(SEEN.map(() => NOT_UTF8))) }, WORKS],
  ['control: not UTF-8, once', { control: once(seen([NOT_UTF8, NOT_UTF8])) }, WORKS],
  ['control: one column, once', { control: once(seen(['7'])) }, WORKS],
  ['probe: wants data', { probe: [wire.copyResponse('G'), HUSH] }, PROMPT],
  ['probe: sends data', { probe: [wire.copyResponse('H'), wire.copyData('x'), ready()] }, PROMPT],
  ['probe: an error', { probe: [error('XX000', 'broken'), ready()] }, { reason: /XX000/ }],
  ['probe: an error without fields', { probe: [message('E', Buffer.from([0])), ready()] }, PROMPT],
  ['probe: a tag without NUL', { probe: [...seen(SEEN).slice(0, 2), message('C', 'SELECT 1'), ready()] }, PROMPT],
  ['probe: a cut RowDescription', { probe: [message('T', int16(5), 'abc'), HUSH] }, PROMPT],
  ['probe: rows for ever', { probe: [wire.rowDescription(PROBE), { flood: wire.dataRow(SEEN) }] }],
  ['control: is silent', { control: [HUSH] }, SILENT],
  ['control: closes', { control: [END] }],
  ['control: rubbish', { control: [RUBBISH, HUSH] }, PROMPT],
  ['control: may not be asked', { control: [error('42501', 'permission denied'), ready()] }, WORKS],
];

module.exports = { LOGIN: [...CONNECT, ...STARTUP, ...LOGIN, ...PASSWORD, ...SASL, ...ROLE] };
