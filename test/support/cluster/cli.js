'use strict';

// A cluster to play with:
//   node test/support/cluster/cli.js [--nodes 3] [--async] [--pg-bin <folder>]
// prints how to reach it and waits for Ctrl-C. In a terminal it is a JavaScript prompt with `cluster` and n1, n2, ... at
// hand: `await n1.crash()`, `await cluster.failover()`. The printed variables let test runs elsewhere use it.

const repl = require('node:repl');
const { parseArgs } = require('node:util');
const { startCluster } = require('.');
const { serve } = require('./ctl');

async function main() {
  const { values } = parseArgs({
    options: { nodes: { type: 'string' }, async: { type: 'boolean' }, 'pg-bin': { type: 'string' } },
  });
  const cluster = await startCluster({
    nodes: Number(values.nodes ?? 3),
    synchronous: !values.async,
    pgBin: values['pg-bin'],
  });
  const { env } = await serve(cluster);
  const app = cluster.app ? ` (plain role: ${cluster.app.user}, ${cluster.app.password})` : '';
  console.log(`PostgreSQL ${cluster.version}, ${cluster.synchronous ? 'synchronous' : 'asynchronous'}`);
  console.log(`hosts     ${cluster.hosts.join(' ')}`);
  console.log(`user      ${cluster.user}${app}`);
  console.log(`password  ${cluster.password}`);
  console.log(`database  ${cluster.database}`);
  console.log(`files     ${cluster.dir ?? '-'}\n`);
  for (const [name, value] of Object.entries(env)) console.log(`export ${name}=${shellQuoted(value)}`);

  await (process.stdin.isTTY ? prompt(cluster) : interrupt());
  await cluster.stop();
}

/** @param {import('../../../exports/testing/cluster/cluster.js').Cluster} cluster */
function prompt(cluster) {
  const session = repl.start('> ');
  Object.assign(session.context, { cluster }, Object.fromEntries(cluster.nodes.map((node) => [node.name, node])));
  return new Promise((resolve) => {
    session.once('exit', resolve);
  });
}

function interrupt() {
  console.log('\nCtrl-C ends it.');
  const alive = setInterval(() => {}, 1 << 30); // a signal handler alone does not keep the process running
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM']) process.once(name, resolve);
  }).finally(() => clearInterval(alive));
}

/** @param {string} text */
function shellQuoted(text) {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
