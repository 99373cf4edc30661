#!/usr/bin/env node
'use strict';

// `hyperiondb-client status | watch | doctor | setup | leases | migrate | dashboard | shards`: clusters on the command line.
//
// arguments.js reads the command line. status.js, watch.js, doctor.js, setup.js, leases.js, migrate.js, dashboard.js and shards.js are
// the commands; doctor.js uses machine.js, examination.js and findings.js, leases.js uses sessions.js and leases-page.js, both one-node.js, migrate.js
// uses migrations-page.js. wait-for-nodes.js waits until all nodes are known, topology.js judges them. table.js, changes.js and format.js
// make text, screen.js draws it in a terminal.

const fs = require('node:fs');
const path = require('node:path');
const { USAGE, UsageError, readArguments } = require('./arguments.js');

/** The exit code for wrong usage and other failures, which say nothing about the cluster. */
const COULD_NOT_LOOK = 2;

/**
 * @param {import('./arguments.js').Arguments} asked
 * @returns {Promise<number>} the exit code
 */
async function run(asked) {
  if (asked.command === 'help') return print(USAGE);
  if (asked.command === 'version') return print(version());
  const { command, color, pool: options } = asked;
  const { stdin, stdout, env } = process;
  const isScreen = stdout.isTTY === true && env.TERM !== 'dumb';
  const surroundings = { input: stdin, out: stdout, isScreen, colors: isScreen && color && !env.NO_COLOR };
  // doctor opens its pools itself, if the add-on loads.
  if (command === 'doctor') return require('./doctor.js').doctor(asked, surroundings);
  if (command === 'setup') return require('./setup.js').setUp(asked, openPool, stdout);
  if (command === 'leases') return require('./leases.js').showLeases(asked, openPool, surroundings);
  if (command === 'migrate') return require('./migrate.js').migrateClusters(asked, openPool, surroundings);
  if (command === 'dashboard') return require('./dashboard.js').serveDashboard(asked, openPool, stdout);
  if (command === 'shards') return require('./shards.js').showPlan(asked, stdout);
  const pool = openPool({ ...options, mode: 'any', applicationName: `hyperiondb-client ${command}` });
  try {
    const show = command === 'status' ? require('./status.js').showStatus : require('./watch.js').watchNodes;
    return await show(pool, asked, surroundings);
  } finally {
    await pool.end();
  }
}

function version() {
  return JSON.parse(fs.readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8')).version;
}

/** @param {string} text */
function print(text) {
  process.stdout.write(`${text}\n`);
  return 0;
}

/** @param {import('../../client.js').PoolOptions} options */
function openPool(options) {
  // Required late: --help works without the native add-on.
  const { createPool, OptionError } = require('../../client.js');
  try {
    return createPool(options);
  } catch (error) {
    throw error instanceof OptionError ? new UsageError(error.message) : error;
  }
}

/** @param {unknown} error */
function reportFailure(error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`hyperiondb-client: ${message}\n${error instanceof UsageError ? `\n${USAGE}\n` : ''}`);
  return COULD_NOT_LOOK;
}

process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
  // The reader has closed the pipe, or the terminal was closed: no failure.
  if (error.code !== 'EPIPE' && error.code !== 'EIO') process.exit(reportFailure(error));
});
Promise.resolve()
  .then(() => run(readArguments(process.argv.slice(2))))
  .catch(reportFailure)
  .then((code) => {
    process.exitCode = code;
  });
