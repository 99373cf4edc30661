'use strict';

// Servers that misbehave when they are asked for TLS. A pool that insists on it (`require`) must neither hang nor go on without
// encryption; data that came before the handshake must not count as part of the session (CVE-2021-23222).

const { error } = require('../wire');

/** @typedef {import('../server').Script} Script */
/** @typedef {import('../judge').Expected} Expected */
/** @typedef {readonly [name: string, script: Script, is: Expected, options?: Record<string, unknown>]} Row */

const END = { end: true };
const HUSH = { hush: true };
const REQUIRE = { ssl: 'require' };
const PREFER = { ssl: 'prefer' };
const YES = Buffer.from('S');
const NO = Buffer.from('N');
const HTTP = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n');
/** A TLS record that claims to be a ServerHello and is not. */
const RECORD = Buffer.concat([Buffer.from([22, 3, 3, 0x40, 0]), Buffer.alloc(0x4000, 2)]);
const ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 40]);

/** Nothing was sent in clear text. */
const CLOSED_MOUTH = ['startup', 'password', 'query'];
/** @type {Expected} */
const REFUSED = { code: ['ERR_TLS', 'ERR_NO_PRIMARY'], reason: /^(?!.*no answer within)./s, never: CLOSED_MOUTH };
/** @type {Expected} */
const SILENT = { code: 'ERR_NO_PRIMARY', reason: /no answer within/, never: CLOSED_MOUTH };
/** Whether the pool waits for the server or not. @type {Expected} */
const IN_ANY_CASE = { code: ['ERR_TLS', 'ERR_NO_PRIMARY'], never: CLOSED_MOUTH };
/** @type {Expected} */
const WORKS = { value: [{ one: 1 }] };

/** @type {readonly Row[]} */
const TLS = [
  ['TLS: no answer', { ssl: [HUSH] }, SILENT, REQUIRE],
  ['TLS: closes', { ssl: [END] }, REFUSED, REQUIRE],
  ['TLS: resets', { ssl: [{ reset: true }] }, REFUSED, REQUIRE],
  ['TLS: not offered', { ssl: [NO] }, REFUSED, REQUIRE],
  ['TLS: X', { ssl: [Buffer.from('X')] }, REFUSED, REQUIRE],
  ['TLS: a byte 0', { ssl: [Buffer.from([0])] }, REFUSED, REQUIRE],
  ['TLS: HTTP', { ssl: [HTTP, HUSH] }, REFUSED, REQUIRE],
  [
    'TLS: an error of an old server',
    { ssl: [error('0A000', 'unsupported frontend protocol', 'FATAL'), END] },
    REFUSED,
    REQUIRE,
  ],
  [
    'TLS: an error of an old server that stays',
    { ssl: [error('0A000', 'unsupported', 'FATAL'), HUSH] },
    REFUSED,
    REQUIRE,
  ],
  ['TLS: E and nothing else', { ssl: [Buffer.from('E'), HUSH] }, IN_ANY_CASE, REQUIRE],
  ['TLS: yes, then silence', { ssl: [YES], hello: [HUSH] }, SILENT, REQUIRE],
  ['TLS: yes, then closes', { ssl: [YES], hello: [END] }, REFUSED, REQUIRE],
  ['TLS: yes, and closes', { ssl: [YES, END] }, REFUSED, REQUIRE],
  ['TLS: yes, then resets', { ssl: [YES], hello: [{ reset: true }] }, REFUSED, REQUIRE],
  ['TLS: yes, then HTTP', { ssl: [YES], hello: [HTTP, HUSH] }, REFUSED, REQUIRE],
  ['TLS: yes, then no', { ssl: [YES], hello: [NO, HUSH] }, IN_ANY_CASE, REQUIRE],
  ['TLS: yes, then logs in in the open', { ssl: [YES], hello: ['login', HUSH] }, REFUSED, REQUIRE],
  ['TLS: yes, then a record that is none', { ssl: [YES], hello: [RECORD, HUSH] }, REFUSED, REQUIRE],
  ['TLS: yes, then an alert', { ssl: [YES], hello: [ALERT, HUSH] }, REFUSED, REQUIRE],
  ['TLS: yes, then half a record', { ssl: [YES], hello: [RECORD.subarray(0, 100), HUSH] }, SILENT, REQUIRE],
  ['TLS: yes, then one byte a second', { ssl: [YES], hello: [{ drip: RECORD, everyMs: 1000 }] }, SILENT, REQUIRE],
  [
    'TLS: yes and an error in one packet',
    { ssl: [Buffer.concat([YES, error('28P01', 'x', 'FATAL')])], hello: [HUSH] },
    REFUSED,
    REQUIRE,
  ],
  ['TLS: yes and a login in one packet', { ssl: [YES, 'login'], hello: [HUSH] }, REFUSED, REQUIRE],
  ['TLS: yes and one more byte', { ssl: [Buffer.from('SS')], hello: [HUSH] }, REFUSED, REQUIRE],
  ['TLS: yes and no', { ssl: [Buffer.from('SN')], hello: [HUSH] }, REFUSED, REQUIRE],
  ['TLS: no and a login in one packet', { ssl: [NO, 'login'] }, { code: ['ERR_TLS', 'ERR_NO_PRIMARY'] }, PREFER],
  ['TLS: direct, silent', { hello: [HUSH] }, SILENT, { ssl: { mode: 'require', negotiation: 'direct' } }],
  [
    'TLS: direct, an error in the open',
    { hello: [error('08P01', 'invalid length', 'FATAL'), END] },
    REFUSED,
    { ssl: { mode: 'require', negotiation: 'direct' } },
  ],
  ['TLS: direct, closes', { hello: [END] }, REFUSED, { ssl: { mode: 'require', negotiation: 'direct' } }],
  ['TLS: preferred, not offered', { ssl: [NO] }, WORKS, PREFER],
  ['TLS: preferred, offered and broken', { ssl: [YES], hello: [END] }, WORKS, PREFER],
  ['TLS: preferred, offered and rubbish', { ssl: [YES], hello: [HTTP, HUSH] }, WORKS, PREFER],
  ['TLS: preferred, offered and silent', { ssl: [YES], hello: [HUSH] }, { reason: /no answer within .*TLS/ }, PREFER],
  ['TLS: preferred, X', { ssl: [Buffer.from('X'), HUSH] }, { code: ['ERR_TLS', 'ERR_NO_PRIMARY'] }, PREFER],
  [
    'TLS: allowed, refused in the open',
    { startup: [error('28000', 'no pg_hba.conf entry', 'FATAL'), END], ssl: [YES], hello: [END] },
    { code: ['ERR_TLS', '28000', 'ERR_NO_PRIMARY'] },
    { ssl: 'allow' },
  ],
];

module.exports = { TLS };
