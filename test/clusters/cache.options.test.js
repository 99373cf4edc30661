'use strict';

// The option `cache`: its rows, its checks, and the types that are written from them.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { OptionError } = require('../../client.js');
const { CACHE, REDIS, checkCache } = require('../../exports/clusters/cache/rows.js');
const { withMembers } = require('../../scripts/options.js');
const { test } = require('../support/helpers.js');

const TYPES = path.join(__dirname, '..', '..', 'exports', 'clusters', 'index.d.ts');

test('cache: index.d.ts has the options as their rows say', () => {
  const text = fs.readFileSync(TYPES, 'utf8');
  assert.equal(withMembers(text, { CacheOptions: CACHE, CacheRedis: REDIS }, 'index.d.ts'), text);
});

test('cache: without options it is the memory of the process, with the limits of the contract', () => {
  assert.deepEqual(checkCache({}), {
    maxSize: 1_000,
    maxBytes: 64 * 1024 * 1024,
    ttl: 300_000,
    enableCompression: false,
    compressionThreshold: 1_024,
    provider: 'memory',
    broadcast: false,
  });
});

const redis = { callBuffer: () => {} };

const WRONG = /** @type {[any, RegExp][]} */ ([
  [null, /^cache must be an object/],
  [{ size: 1 }, /^unknown option 'cache\.size'/],
  [{ maxSize: 0 }, /^cache\.maxSize must be/],
  [{ maxBytes: '1' }, /^cache\.maxBytes must be/],
  [{ ttl: -1 }, /^cache\.ttl must be/],
  [{ enableCompression: 1 }, /^cache\.enableCompression must be a boolean/],
  [{ compressionThreshold: null }, /^cache\.compressionThreshold must be/],
  [{ broadcast: 'yes' }, /^cache\.broadcast must be a boolean/],
  [{ provider: 'redis' }, /^cache\.provider must be one of 'memory'/],
  [{ provider: {} }, /^cache\.provider\.redis must be a client/],
  [{ provider: { redis: {} } }, /^cache\.provider\.redis must be a client/],
  [{ provider: { redis: 'redis://localhost' } }, /^cache\.provider\.redis must be a client/],
  [{ provider: { redis, prefix: '' } }, /^cache\.provider\.prefix must not be empty/],
  [{ provider: { redis, prefix: 'a}b' } }, /^cache\.provider\.prefix must not contain/],
  [{ provider: { redis, timeoutMs: 0 } }, /^cache\.provider\.timeoutMs must be/],
  [{ provider: { redis, tls: true } }, /^unknown option 'cache\.provider\.tls'/],
  [{ provider: { redis }, maxSize: 5 }, /^cache\.maxSize is for the provider 'memory'/],
  [{ provider: { redis }, maxBytes: 5 }, /^cache\.maxBytes is for the provider 'memory'/],
  [{ provider: { redis }, broadcast: true }, /^cache\.broadcast is for the provider 'memory'/],
]);

for (const [given, message] of WRONG) {
  const shown = JSON.stringify(given, (_, part) => (part === redis ? 'a client' : part));
  test(`cache: the options ${shown} are refused by name`, () => {
    assert.throws(
      () => checkCache(given),
      (error) => error instanceof OptionError && message.test(error.message) && error.code === 'ERR_INVALID_OPTION',
    );
  });
}
