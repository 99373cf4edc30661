'use strict';

// Runs the facts (support.js) of all files, or of those with a word in their names, and counts them:
//
//   node test/pg/facts.js
//   node test/pg/facts.js client

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { countsLine, factFiles } = require('./support.js');

const COUNTS = /facts: (\d+); passed on pg: (\d+); passed on the face: (\d+); differences: (\d+)/;

const total = { facts: 0, pg: 0, face: 0, differences: 0 };
for (const file of factFiles()) {
  const name = path.basename(file);
  if (!name.includes(process.argv[2] ?? '')) continue;
  const { stdout, status } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const [line, facts, pg, face, differences] = COUNTS.exec(stdout) ?? ['no counts', 0, 0, 0, 0];
  total.facts += Number(facts);
  total.pg += Number(pg);
  total.face += Number(face);
  total.differences += Number(differences);
  console.log(`${status === 0 ? '+' : '-'} ${name}: ${line}`);
  if (status === 0) continue;
  process.exitCode = 1;
  console.log(stdout.slice(Math.max(0, stdout.indexOf('failing tests:'))));
}
console.log(countsLine(total));
