'use strict';

// The command line of the benchmark. `node --test bench/`.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { LOADS } = require('./loads.js');
const { HELP, readOptions } = require('./options.js');
const { PARTICIPANTS } = require('./peers');
const { UsageError } = require('./usage-error.js');

const ids = (/** @type {string[]} */ ...args) => readOptions(args).loads.map(({ id }) => id);
const peers = (/** @type {string[]} */ ...args) => readOptions(args).participants.map(({ name }) => name);

test('bench options: without any, everything is measured', () => {
  const { help, rounds, seconds, loads, participants } = readOptions([]);
  assert.deepEqual({ help, rounds, seconds }, { help: false, rounds: 5, seconds: 1 });
  assert.deepEqual(loads, LOADS);
  assert.deepEqual(participants, PARTICIPANTS);
});

test('bench options: values stand behind a space or an equals sign', () => {
  assert.equal(readOptions(['--rounds', '3']).rounds, 3);
  assert.equal(readOptions(['--seconds=0.5']).seconds, 0.5);
});

test('bench options: a load is chosen by its name or by what is before the dash', () => {
  assert.deepEqual(ids('--only', 'W2'), ['W2-64', 'W2-1000']);
  assert.deepEqual(ids('--only', 'W4,W2-64'), ['W2-64', 'W4'], 'in the order of the loads');
  assert.deepEqual(ids('--only', 'W1'), ['W1'], 'not W10 and W11');
  assert.deepEqual(ids('--only', 'W7'), ['W7'], 'a whole name is only itself');
});

test('bench options: a peer is chosen by its whole name', () => {
  assert.deepEqual(peers('--peers', 'pg,hyperion'), ['hyperion', 'pg']);
  assert.throws(() => peers('--peers', 'tokio'), /--peers: 'tokio' is none of hyperion, pg, .*tokio-postgres/);
});

for (const [line, why] of /** @type {[string, RegExp][]} */ ([
  ['--onyl W2', /^unknown option '--onyl': did you mean '--only'\?$/],
  ['--verbose', /^unknown option '--verbose'$/],
  ['-r 3', /^unknown option '-r'$/],
  ['--no-help', /^unknown option '--no-help'/],
  ['W2', /^unexpected 'W2': options begin with --/],
  ['-- W2', /^unexpected 'W2'/],
  ['--only', /^--only needs a value: --only LOADS$/],
  ['--only --rounds 3', /^--only needs a value/],
  ['--only=', /^--only: '' is none of W1, /],
  ['--only W99', /^--only: 'W99' is none of W1, .*W11$/],
  ['--only W2,', /^--only: '' is none of/],
  ['--only W1 --only W3', /^--only is given twice$/],
  ['--rounds 0', /^--rounds must be a number greater than 0, not '0'$/],
  ['--rounds 1.5', /^--rounds must be a whole number, not '1.5'$/],
  ['--rounds=-1', /^--rounds must be a number greater than 0, not '-1'$/],
  ['--seconds soon', /^--seconds must be a number greater than 0, not 'soon'$/],
  ['--seconds Infinity', /^--seconds must be a number greater than 0/],
  ['--help=yes', /^--help takes no value, but has 'yes'$/],
])) {
  test(`bench options: refused: ${line}`, () => {
    assert.throws(
      () => readOptions(line.split(' ')),
      (error) => error instanceof UsageError && why.test(error.message),
    );
  });
}

test('bench options: the help names all loads, peers and options', () => {
  for (const { id, title } of LOADS) assert.ok(HELP.includes(`  ${id} `) && HELP.includes(title), id);
  for (const { name, title } of PARTICIPANTS) assert.ok(HELP.includes(`  ${name} `) && HELP.includes(title), name);
  for (const option of ['--rounds N', '--seconds S', '--only LOADS', '--peers PEERS', '-h, --help']) {
    assert.match(HELP, new RegExp(`^ +${option} +\\S`, 'm'));
  }
  for (const line of HELP.split('\n')) assert.ok(line.length <= 120, line);
});

test('bench: the help and wrong options start nothing, and the latter end with 2', async () => {
  const run = (/** @type {string[]} */ ...args) =>
    promisify(execFile)(process.execPath, [path.join(__dirname, 'run.js'), ...args]).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
    );
  for (const option of ['--help', '-h']) {
    assert.deepEqual(await run(option), { code: 0, stdout: `${HELP}\n`, stderr: '' });
  }
  const { code, stdout, stderr } = await run('--onyl=W2');
  assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
  assert.equal(
    stderr,
    "bench: unknown option '--onyl': did you mean '--only'? (all options: npm run bench -- --help)\n",
  );
  for (const wrong of ['--rounds=x', '--onyl=rows']) {
    const { code, stderr } = await run('--curves', wrong);
    assert.equal(code, 2);
    assert.match(stderr, /^bench: .*--(rounds|onyl).* \(all options: npm run bench -- --curves --help\)\n$/);
  }
});
