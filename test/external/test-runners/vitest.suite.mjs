import { testPool } from 'hyperiondb-client/testing';
import { facts, nobody } from './facts.js';

const { it, beforeEach, afterEach, afterAll } = /** @type {any} */ (globalThis);
facts({ it, beforeEach, afterEach, end: afterAll });
it('is skipped where nothing answers', async (/** @type {any} */ context) => {
  await testPool(nobody, context);
  throw new Error('it goes on');
});
