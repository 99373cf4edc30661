'use strict';

const { testPool } = require('hyperiondb-client/testing');
const { facts, nobody } = require('./facts.js');

const { it, beforeEach, afterEach, after } = /** @type {any} */ (globalThis);
facts({ it, beforeEach, afterEach, end: after });
it('is skipped where nothing answers', /** @this {any} */ async function () {
  await testPool(nobody, this);
  throw new Error('it goes on');
});
