'use strict';

// As much of a test runner as the blocks of the documentation use: tests of one block, with hooks, run one after the other when the
// block has been read. A test that is skipped or fails, fails the block.

const assert = require('node:assert/strict');

/** @typedef {(context?: any) => unknown} Fn */

class Runner {
  /** @type {{ name: string, fn: Fn }[]} */
  #tests = [];
  /** @type {{ beforeEach: Fn[], afterEach: Fn[], afterAll: Fn[] }} */
  #hooks = { beforeEach: [], afterEach: [], afterAll: [] };

  /** What the blocks import, or find as globals. */
  get functions() {
    const test = (/** @type {string} */ name, /** @type {Fn} */ fn) => void this.#tests.push({ name, fn });
    const hook = (/** @type {keyof Runner['hooks']} */ name) => (/** @type {Fn} */ fn) =>
      void this.#hooks[name].push(fn);
    return {
      test,
      beforeEach: hook('beforeEach'),
      afterEach: hook('afterEach'),
      afterAll: hook('afterAll'),
      expect: (/** @type {unknown} */ value) => ({
        toBe: (/** @type {unknown} */ expected) => assert.equal(value, expected),
      }),
    };
  }

  get hooks() {
    return this.#hooks;
  }

  async run() {
    for (const { name, fn } of this.#tests.splice(0)) {
      /** @type {Fn[]} */
      const ends = [];
      const context = {
        after: (/** @type {Fn} */ end) => void ends.unshift(end),
        skip: (/** @type {string} */ reason) => assert.fail(`${name} is skipped: ${reason}`),
      };
      try {
        for (const hook of this.#hooks.beforeEach) await hook(context);
        await fn(context);
      } finally {
        for (const end of [...this.#hooks.afterEach, ...ends]) await end(context);
      }
    }
    for (const hook of this.#hooks.afterAll) await hook();
  }
}

/** The packages that have these functions. */
const RUNNERS = ['node:test', 'vitest'];

module.exports = { RUNNERS, Runner };
