'use strict';

// Leases as texts: their form, what verifies and what does not. No server.

const assert = require('node:assert/strict');
const { createHash, createHmac } = require('node:crypto');
const { createLease, verifyLease } = require('../../client.js');
const { newInstance, serviceToken } = require('../../lib/values/lease.js');
const { test } = require('../support/helpers.js');

const SECRET = 'a secret of the coordinators';
const OTHER = Buffer.from('another secret, as bytes \xff', 'latin1');
const EXPIRES = 1_764_417_600_000;
const LEASE = createLease({ secret: SECRET, serviceName: 'shop', instance: 'Ab3-_xYz', expiresAt: EXPIRES });

/** The published format, made by node:crypto alone. @param {string} text @param {string | Buffer} [secret] */
const signed = (text, secret = SECRET) =>
  `${text};g=${createHmac('sha256', secret).update(text).digest().subarray(0, 8).toString('base64url')}`;

test('a lease is what node:crypto makes of the published format', () => {
  assert.equal(LEASE, signed(`s=shop;i=Ab3-_xYz;e=${EXPIRES}`));
  // A fixed one, so that the format cannot change by a mistake made in both places.
  assert.equal(LEASE, 's=shop;i=Ab3-_xYz;e=1764417600000;g=T2YmS53U8-M');
});

test('pg-aequor reads a lease: its expression matches, and its signature has 11 characters', () => {
  const [, s, i, e, g] = /^s=([^;]+);i=([^;]+);e=([^;]+);g=([^;]+)$/.exec(LEASE) ?? [];
  assert.deepEqual([s, i, e, g.length], ['shop', 'Ab3-_xYz', String(EXPIRES), 11]);
});

test('a lease of pg-aequor verifies: its instances may be shorter or longer than 8 characters', () => {
  for (const instance of ['x', 'inst:1_2-3', 'a'.repeat(16)]) {
    const text = signed(`s=sls_pg;i=${instance};e=${EXPIRES}`);
    assert.deepEqual(verifyLease(text, SECRET), { serviceName: 'sls_pg', instance, expiresAt: EXPIRES });
  }
});

test('a lease with the longest service name has 63 bytes, all of them ASCII', () => {
  for (const serviceName of ['s'.repeat(20), 's'.repeat(200), 'ü'.repeat(200), '\u{1f600}'.repeat(50)]) {
    const lease = createLease({ secret: SECRET, serviceName, expiresAt: EXPIRES });
    assert.equal(Buffer.byteLength(lease), 63, lease);
    assert.match(lease, /^s=[A-Za-z0-9:_-]{20};i=[A-Za-z0-9_-]{8};e=\d{13};g=[A-Za-z0-9_-]{11}$/);
  }
});

const sha1 = (/** @type {string} */ text) => createHash('sha1').update(text).digest('hex').slice(0, 8);
const TOKENS = /** @type {[string, string][]} */ ([
  ['shop', 'shop'],
  ['a:b_c-D9', 'a:b_c-D9'],
  // Only the length brings the hash: pg-aequor adds one here, too.
  ['my shop;100%', 'my_shop_100_'],
  ['s'.repeat(20), 's'.repeat(20)],
  ['s'.repeat(21), `${'s'.repeat(11)}-${sha1('s'.repeat(21))}`],
  // The hash is that of the name as it was given: two long names that look alike stay two services.
  ['order service of Zürich', `order_servi-${sha1('order service of Zürich')}`],
  ['order_service_of_Z_rich', `order_servi-${sha1('order_service_of_Z_rich')}`],
]);
for (const [name, token] of TOKENS) {
  test(`the service '${name}' stands in leases as ${token}`, () => {
    assert.equal(serviceToken(name), token);
    assert.equal(serviceToken(token), token, 'and its token as itself');
    const lease = createLease({ secret: SECRET, serviceName: name, expiresAt: EXPIRES });
    assert.equal(verifyLease(lease, SECRET)?.serviceName, token);
  });
}

test('an instance is 6 random bytes', () => {
  const instances = Array.from({ length: 100 }, newInstance);
  assert.equal(new Set(instances).size, 100);
  for (const instance of instances) assert.equal(Buffer.from(instance, 'base64url').length, 6, instance);
  const leases = [1, 2].map(() => createLease({ secret: SECRET, serviceName: 's', expiresAt: EXPIRES }));
  assert.notEqual(leases[0], leases[1]);
});

test('a lease does not verify when any one of its characters is another, is missing or is doubled', () => {
  const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:;= \n\0é'];
  for (let at = 0; at < LEASE.length; at++) {
    const [before, after] = [LEASE.slice(0, at), LEASE.slice(at + 1)];
    for (const character of alphabet.filter((one) => one !== LEASE[at])) {
      assert.equal(verifyLease(`${before}${character}${after}`, SECRET), null, `${before}[${character}]${after}`);
    }
    assert.equal(verifyLease(before + after, SECRET), null, `without the character at ${at}`);
    assert.equal(verifyLease(before + LEASE[at] + LEASE[at] + after, SECRET), null, `the one at ${at} twice`);
    assert.equal(verifyLease(before, SECRET), null, `the first ${at} characters`);
  }
});

test('of several secrets the first signs and all verify, so that a secret can be replaced without a gap', () => {
  const [before, during, after] = [[SECRET], [OTHER, SECRET], [OTHER]];
  const make = (/** @type {(string | Buffer)[]} */ secret) =>
    createLease({ secret, serviceName: 's', instance: 'i', expiresAt: new Date(EXPIRES) });
  assert.equal(make(during), make(after));
  for (const lease of [make(before), make(during)]) {
    assert.deepEqual(verifyLease(lease, during), { serviceName: 's', instance: 'i', expiresAt: EXPIRES });
  }
  assert.equal(verifyLease(make(before), after), null);
  assert.equal(verifyLease(make(after), before), null);
  assert.equal(verifyLease(make([SECRET]), Buffer.from(SECRET))?.instance, 'i', 'a string is its bytes');
});

test('what is no lease verifies as null, and throws nothing', () => {
  const fit = (/** @type {string} */ expiry) => signed(`s=a;i=b;e=${expiry}`);
  assert.ok(verifyLease(fit('0'), SECRET));
  assert.ok(verifyLease(fit('9999999999999'), SECRET));
  const rubbish = [
    undefined,
    null,
    5,
    {},
    [LEASE],
    Buffer.from(LEASE),
    new String(LEASE),
    '',
    'psql',
    'hyperiondb-client monitor',
    '\0',
    'x'.repeat(1 << 20),
    `${LEASE}${' '.repeat(1 << 20)}`,
    's='.repeat(1 << 19),
    '\u{1f600}',
    '\ud800',
    ` ${LEASE}`,
    `${LEASE}\n`,
    `${LEASE}\0`,
    LEASE.toUpperCase(),
    LEASE.slice(0, LEASE.indexOf(';g=')),
    `${LEASE};g=`,
    // Signed, but not in the one way in which a lease is written.
    ...['', ' ', '-1', '+1', '1.0', '1e5', '0x10', '01', '00', ' 1', '1 ', '1\n', '1_000', '١', 'NaN', 'Infinity'].map(
      fit,
    ),
    fit('10000000000000'),
    ...['s=;i=b;e=1', 's=a;i=;e=1', 's=a;e=1;i=b', 'i=b;e=1', 's=a;i=b', 's=a;i=b;e=1;', 's=a;i=b;e=1;x=1', ''].map(
      (text) => signed(text),
    ),
    signed('s=a b;i=b;e=1'),
    signed('s=a%;i=b;e=1'),
    signed('s=ä;i=b;e=1'),
    signed(`s=${'a'.repeat(21)};i=${'b'.repeat(8)};e=${EXPIRES}`),
  ];
  for (const one of rubbish) assert.equal(verifyLease(one, SECRET), null, String(one).slice(0, 80));
});

// What is wrong, the function's options, the argument that the error names.
const good = { secret: SECRET, serviceName: 's', instance: 'i', expiresAt: EXPIRES };
const WRONG = /** @type {[string, object, RegExp][]} */ ([
  ['no secret', { secret: undefined }, /^secret must be a string or a Buffer, or an array of these, not undefined$/],
  ['a short secret', { secret: 'fifteen letters' }, /^secret must have at least 16 bytes$/],
  ['a short Buffer', { secret: Buffer.alloc(15) }, /^secret must have at least 16 bytes$/],
  ['no secrets', { secret: [] }, /^secret must not be an empty array$/],
  [
    'one of the secrets missing',
    { secret: [SECRET, undefined] },
    /^secret\[1\] must be a string or a Buffer, not undef/,
  ],
  ['an empty service', { serviceName: '' }, /^serviceName must be a string that is not empty, not an empty one$/],
  ['a service of another type', { serviceName: 5 }, /^serviceName must be .* not number$/],
  ['an instance with a semicolon', { instance: 'a;b' }, /^instance may have only/],
  ['an instance of 40 characters', { instance: 'i'.repeat(40) }, /^instance is too long: .* at most 63 fit$/],
  ['an empty instance', { instance: '' }, /^instance must be/],
  ['an expiry that is text', { expiresAt: '5' }, /^expiresAt must be/],
  ['an expiry with a fraction', { expiresAt: 1.5 }, /^expiresAt must be/],
  ['an expiry before 1970', { expiresAt: -1 }, /^expiresAt must be/],
  ['an expiry after 2286', { expiresAt: 10_000_000_000_000 }, /^expiresAt must be/],
  ['no date', { expiresAt: new Date(NaN) }, /^expiresAt must be/],
]);
for (const [what, change, message] of WRONG) {
  test(`createLease refuses ${what} by name`, () => {
    assert.throws(() => createLease(/** @type {any} */ ({ ...good, ...change })), {
      name: 'ParameterError',
      code: 'ERR_INVALID_PARAM',
      message,
    });
  });
}

test('verifyLease refuses a wrong secret by name, whatever the lease is', () => {
  for (const secret of [undefined, null, '', 'short', [], [5]]) {
    assert.throws(() => verifyLease('psql', /** @type {any} */ (secret)), {
      name: 'ParameterError',
      message: /^secret/,
    });
  }
  assert.throws(() => createLease(/** @type {any} */ (undefined)), { name: 'ParameterError' });
});
