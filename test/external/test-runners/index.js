'use strict';

// How each runner is started with its suite of this folder, and what it says of each test.

const path = require('node:path');
const { HANG_MS } = require('../../support/helpers.js');
const { Packages } = require('../packages.js');

const packages = new Packages(path.join(__dirname, 'packages'), 'test-runners');

/** @typedef {'passed' | 'failed' | 'skipped'} Outcome */

/**
 * @typedef {object} Runner
 * @property {string} name
 * @property {() => string[]} args
 * @property {(stdout: string) => Record<string, Outcome>} outcomes by the titles of the tests
 */

/** A program of the packages. @param {string} file */
const program = (file) => path.join(packages.folder, 'node_modules', file);
/** @param {string} name */
const suite = (name) => path.join(__dirname, name);

/** jest's report, which is vitest's, too. @param {string} stdout @returns {Record<string, Outcome>} */
function ofJest(stdout) {
  const [{ assertionResults }] = JSON.parse(stdout.slice(stdout.indexOf('{'))).testResults;
  return Object.fromEntries(
    assertionResults.map((/** @type {any} */ { title, status }) => [title, status === 'pending' ? 'skipped' : status]),
  );
}

/** @type {Runner[]} */
const RUNNERS = [
  {
    name: 'node:test',
    args: () => ['--test', '--test-reporter=tap', suite('node.suite.js')],
    outcomes: (stdout) =>
      Object.fromEntries(
        [...stdout.matchAll(/^ *(not )?ok \d+ - (.*?)( # SKIP.*)?$/gm)]
          .filter(([, , title]) => !title.endsWith('.suite.js'))
          .map(([, not, title, skip]) => [title, skip ? 'skipped' : not ? 'failed' : 'passed']),
      ),
  },
  {
    name: 'jest',
    args: () => [
      program('jest/bin/jest.js'),
      `--rootDir=${__dirname}`,
      `--cacheDirectory=${path.join(packages.folder, 'jest-cache')}`,
      `--config=${JSON.stringify({ testMatch: ['**/jest.suite.js'], transform: {} })}`,
      '--watchman=false',
      `--testTimeout=${HANG_MS}`,
      '--json',
    ],
    outcomes: ofJest,
  },
  {
    name: 'vitest',
    args: () => [
      program('vitest/vitest.mjs'),
      'run',
      `--root=${__dirname}`,
      '--config=vitest.config.mjs',
      '--globals',
      `--testTimeout=${HANG_MS}`,
      '--reporter=json',
    ],
    outcomes: ofJest,
  },
  {
    name: 'mocha',
    args: () => [program('mocha/bin/mocha.js'), '--reporter=json', `--timeout=${HANG_MS}`, suite('mocha.suite.js')],
    outcomes: (stdout) => {
      const { passes, failures, pending } = JSON.parse(stdout);
      const all = (/** @type {{ title: string }[]} */ tests, /** @type {Outcome} */ outcome) =>
        tests.map(({ title }) => [title, outcome]);
      return Object.fromEntries([...all(passes, 'passed'), ...all(failures, 'failed'), ...all(pending, 'skipped')]);
    },
  },
];

module.exports = { RUNNERS, packages };
