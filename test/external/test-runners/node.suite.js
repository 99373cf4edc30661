'use strict';

const { after, afterEach, beforeEach, it } = require('node:test');
const { testPool } = require('hyperiondb-client/testing');
const { facts, nobody } = require('./facts.js');

facts({ it, beforeEach, afterEach, end: after });
it('is skipped where nothing answers', async (t) => {
  const pool = await testPool(nobody, t);
  if (pool !== undefined) throw new Error('there is a pool');
});
