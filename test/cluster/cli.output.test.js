'use strict';

// The command line without a cluster: its arguments, and how it shows nodes as lines, tables and pictures.

const assert = require('node:assert/strict');
const { stripVTControlCharacters } = require('node:util');
const { readArguments, UsageError } = require('../../lib/cli/arguments.js');
const { Screen } = require('../../lib/cli/screen.js');
const { fittedTable, fullTable } = require('../../lib/cli/table.js');
const { exitCode, verdict } = require('../../lib/cli/topology.js');
const { picture } = require('../../lib/cli/watch.js');
const { bytes, duration, label, printable } = require('../../lib/cli/format.js');
const { ESC, SHOW_CURSOR, painted, run, shownBy } = require('../support/command.js');
const { test, range } = require('../support/helpers.js');

const { version } = require('../../package.json');

/** @param {object} [fields] */
const node = (fields) => ({
  host: 'db1',
  port: 5432,
  role: 'standby',
  state: 'up',
  latencyMs: 0.31,
  lagBytes: 0,
  lastError: null,
  ...fields,
});
const PRIMARY = node({ role: 'primary', timeline: 3, lsn: '0/3000148', lagMs: 0 });
const STANDBY = node({ host: 'db2', timeline: 3, lsn: '0/3000060', lagBytes: 232, lagMs: 12 });
const VAGUE = node({ host: 'db3', lagBytes: 3_500_000, timeline: null, lsn: null, lagMs: null });
const DOWN = node({ host: 'db4', state: 'down', latencyMs: null, lagBytes: 9, lastError: 'Connection refused' });
const DEPOSED = node({ host: 'db5', role: 'primary', state: 'fenced', timeline: 2, lastError: 'is a deposed primary' });
const UNSEEN = node({ host: 'db6', role: 'unknown', state: 'down', latencyMs: null, lagBytes: null });

// --- arguments

for (const [args, expected] of [
  [['status'], { command: 'status', timeoutMs: 5_000, json: false, color: true }],
  [['status', '--json', '--timeout', '800'], { json: true, timeoutMs: 800 }],
  [['watch'], { command: 'watch', intervalMs: 1_000 }],
  [['watch', '--interval=100', '--no-color'], { intervalMs: 100, color: false }],
  [['--hosts', 'a,b:5433', 'status'], { command: 'status' }],
  [['--help'], { command: 'help' }],
  [['status', '--help', '--json'], { command: 'help' }],
  [['--version'], { command: 'version' }],
]) {
  test(`cli arguments: ${args.join(' ')}`, () => {
    const read = readArguments(/** @type {string[]} */ (args));
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(read[name], value, name);
  });
}

test('cli arguments: the options that createPool is given', () => {
  const given = ['status', '--hosts', 'a,b:5433', '--port', '6000', '--user', 'u', '--database=d', '--timeout', '900'];
  assert.deepEqual(readArguments([...given, 'user=x', '--sslmode', 'require']).pool, {
    connectionString: 'user=x',
    hosts: 'a,b:5433',
    port: 6000,
    user: 'u',
    database: 'd',
    ssl: 'require',
    connectTimeoutMs: 900,
    monitor: { nodeTimeoutMs: 900 },
  });
  assert.deepEqual(readArguments(['watch', '--interval', '500']).pool.monitor, { intervalMs: 500 });
  for (const string of ['postgres://u@a,b/d', 'postgresql://', 'host=a']) {
    assert.equal(readArguments(['watch', string]).pool.connectionString, string);
  }
});

const REFUSED = /** @type {[string[], RegExp][]} */ ([
  [[], /a command is missing/],
  [['stats'], /unknown command 'stats'/],
  [['status', 'db1'], /status: this is no connection string: name the nodes with --hosts/],
  [['status', 'mysql://u:s3cret@h'], /status: this is no connection string/],
  [['status', 'host=a', 'user=s3cret'], /status takes one connection string/],
  [['status', '--sslmode'], /--sslmode needs a value/],
  [['status', '--ssl', 'x'], /unknown option --ssl: did you mean --sslmode\?/],
  [['postgres://u:s3cret@h'], /unknown command/],
  [['status', '--frobnicate'], /unknown option --frobnicate$/],
  [['status', '--frobnicate=s3cret'], /unknown option --frobnicate$/],
  [['status', '--host', 'a'], /unknown option --host: did you mean --hosts\?/],
  [['status', '-h', 'a'], /unknown option -h: did you mean --hosts\?/],
  [['status', '--hosts'], /--hosts needs a value/],
  [['status', '--hosts='], /--hosts needs a value/],
  [['status', '--hosts', '--json'], /--hosts needs a value/],
  [['status', '--hosts', 'a', '--hosts', 'b'], /--hosts is given twice/],
  [['status', '--json=yes'], /--json takes no value/],
  [['status', '--port', 'x'], /--port must be an integer from 1 to 65535/],
  [['status', '--port', '65536'], /--port must be an integer from 1 to 65535/],
  [['status', '--timeout', '99'], /--timeout must be an integer from 100/],
  [['status', '--timeout', '100.5'], /--timeout must be an integer from 100/],
  [['watch', '--interval', '99'], /--interval must be an integer from 100/],
  [['status', '--interval', '500'], /--interval is an option of watch alone/],
  [['watch', '--json'], /--json is an option of status, doctor, leases, migrate and shards alone/],
  [['watch', '--timeout', '500'], /--timeout is an option of status, doctor and leases alone/],
  [['status', '--password', 's3cret'], /--password: .*PGPASSWORD or use the password file/],
  [['status', '--password=s3cret'], /--password: .*PGPASSWORD or use the password file/],
  [['status', '--passwd=s3cret'], /--passwd: .*PGPASSWORD or use the password file/],
]);
for (const [args, message] of REFUSED) {
  test(`cli arguments are refused: ${args.join(' ') || 'none at all'}`, () => {
    assert.throws(
      () => readArguments(args),
      (/** @type {Error} */ error) =>
        error instanceof UsageError && message.test(error.message) && !error.message.includes('s3cret'),
    );
  });
}

test('cli: wrong usage has exit code 2, the reason and the usage on stderr, nothing on stdout', async () => {
  for (const [args, reason] of /** @type {[string[], RegExp][]} */ ([
    [['stats'], /^hyperiondb-client: unknown command 'stats'/],
    [['status', '--password', 's3cret'], /^hyperiondb-client: --password: /],
    // Arguments that createPool refuses.
    [['status', '--hosts', 'a,,b'], /^hyperiondb-client: hosts\[1\] must be /],
    [['status', '--hosts', 'postgres://u:s3cret@h'], /^hyperiondb-client: hosts\[0\] must be /],
    [['status', '--sslmode', 'on'], /^hyperiondb-client: ssl must be one of /],
    [['status', 'postgres://u:s3cret@h:x'], /^hyperiondb-client: connectionString: port must be an integer/],
    [['status', 'password=s3cret uesr=x'], /^hyperiondb-client: connectionString: unknown keyword/],
  ])) {
    const { code, out, err } = await run(args);
    assert.deepEqual({ code, out }, { code: 2, out: '' });
    assert.match(err, reason);
    assert.match(err, /\nUsage: hyperiondb-client status /);
    assert.doesNotMatch(err, /s3cret|at .*\.js:/);
  }
});

test('cli --help prints the usage, and --version the version', async () => {
  const help = await run(['--help']);
  assert.deepEqual([help.code, help.err, help.lines[0].split(' ')[0]], [0, '', 'Usage:']);
  assert.deepEqual(
    help.lines.filter((line) => line.length > 95),
    [],
  );
  assert.deepEqual((({ code, out }) => [code, out])(await run(['watch', '--version'])), [0, `${version}\n`]);
});

// --- text

test('cli: bytes, times and addresses as text', () => {
  const table = [
    [bytes, null, '-'],
    [bytes, undefined, '-'],
    [bytes, 0, '0 B'],
    [bytes, 1023, '1023 B'],
    [bytes, 1024, '1.0 kB'],
    [bytes, 3_500_000, '3.3 MB'],
    [bytes, 40 * 1024 ** 3, '40 GB'],
    [bytes, 9_999 * 1024 ** 4, '9999 TB'],
    [duration, null, '-'],
    [duration, undefined, '-'],
    [duration, 0, '0 ms'],
    [duration, 0.314, '0.3 ms'],
    [duration, 812.4, '812 ms'],
    [duration, 12_300, '12 s'],
    [duration, 600_000, '10 min'],
    [duration, 86_400_000, '24 h'],
    [label, { host: 'db1', port: 5432 }, 'db1:5432'],
    [label, { host: '::1', port: 5432 }, '[::1]:5432'],
    [printable, 'a\nb\x1b[2Jc\u202ed', 'a b [2Jc d'],
  ];
  for (const [words, value, expected] of table) assert.equal(words(value), expected);
});

test('cli: the verdict and the exit code', () => {
  const table = [
    [[STANDBY, PRIMARY], 0, 'db1:5432 accepts writes.'],
    [[DEPOSED, PRIMARY], 0, 'db1:5432 accepts writes.'],
    [
      [node({ role: 'primary', host: 'a', timeline: 2 }), PRIMARY],
      0,
      'Split brain: db1:5432 and a:5432 accept writes.',
    ],
    [[DEPOSED, STANDBY], 1, 'No writable primary: db5:5432 is fenced.'],
    [[DEPOSED, DEPOSED], 1, 'No writable primary: db5:5432 and db5:5432 are fenced.'],
    [
      [node({ role: 'primary', state: 'down' }), STANDBY],
      1,
      'No writable primary: only standbys are up (1 of 2 nodes).',
    ],
    [[DOWN, UNSEEN], 1, 'No writable primary: none of 2 nodes can be used, see last error.'],
    [[DOWN], 1, 'No writable primary: the node cannot be used, see last error.'],
  ];
  for (const [nodes, code, text] of table) assert.deepEqual([exitCode(nodes), verdict(nodes)], [code, text]);
});

test('cli table: a line for each node in the order given, - for what is not known', () => {
  assert.deepEqual(fullTable([VAGUE, PRIMARY, STANDBY, DEPOSED, DOWN, UNSEEN], false), [
    'node      role     state   timeline  lsn                  lag  latency  last error',
    'db3:5432  standby  up             -  -                 3.3 MB   0.3 ms',
    'db1:5432  primary  up             3  0/3000148              -   0.3 ms',
    'db2:5432  standby  up             3  0/3000060   232 B, 12 ms   0.3 ms',
    'db5:5432  primary  fenced         2  -                      -   0.3 ms  is a deposed primary',
    'db4:5432  standby  down           -  -                      -        -  Connection refused',
    'db6:5432  unknown  -              -  -                      -        -',
  ]);
});

test('cli table: only words for states are coloured', () => {
  const nodes = [PRIMARY, DOWN, DEPOSED, UNSEEN];
  const [head, ...lines] = fullTable(nodes, true);
  const words = [painted('up', 32), painted('down', 31), painted('fenced', 33), '  -  '];
  for (const [index, word] of words.entries()) assert.ok(lines[index].includes(`  ${word}`), lines[index]);
  assert.deepEqual([head, ...lines].map(stripVTControlCharacters), fullTable(nodes, false));
});

const LONG = node({ host: 'db-7.eu-central-1.compute.internal.example', role: 'primary', lastError: 'x'.repeat(300) });

test('cli watch picture: no wider and no longer than the terminal', () => {
  const nodes = [PRIMARY, STANDBY, LONG, DOWN];
  const changes = range(8).map((i) => ({ at: new Date(), text: `${label(LONG)} is down: ${i}` }));
  for (let columns = 40; columns <= 200; columns++) {
    for (const rows of [3, 8, 14, 23, 60]) {
      const lines = picture(nodes, changes, new Date(), { columns, rows, colors: true });
      // The screen cuts lines that are too long; the table must fit without that, or it would lose its colours.
      for (const line of fittedTable(nodes, columns, true)) assert.ok(stripVTControlCharacters(line).length <= columns);
      assert.ok(lines.length <= rows);
      assert.match(lines.slice(0, 2).join(), /db1:5432/);
    }
  }
});

test('cli watch picture: the newest changes are shown, and nodes that do not fit are counted', () => {
  const changes = range(8).map((i) => ({ at: new Date(2026, 0, 1, 12, 0, i), text: `change ${i}` }));
  const of = (/** @type {number} */ rows, /** @type {any[]} */ nodes = [PRIMARY, STANDBY]) =>
    picture(nodes, changes, new Date(2026, 0, 1, 12, 1, 2), { columns: 79, rows, colors: false });
  assert.deepEqual(of(9).slice(-3), ['', '12:00:06  change 6', '12:00:07  change 7']);
  assert.equal(of(60).length, 6 + 1 + 8);
  assert.match(of(60)[0], /^hyperiondb-client .* 12:01:02$/);
  assert.equal(
    of(
      10,
      range(20).map(() => STANDBY),
    ).at(-1),
    '.. and 15 more lines',
  );
});

test('cli watch picture: before the first look no node is said to be down', () => {
  const lines = picture([UNSEEN, STANDBY], [], new Date(), { columns: 79, rows: 23, colors: true });
  assert.equal(lines[1], 'Looking at the nodes ...');
  assert.doesNotMatch(lines.join('\n'), /down/);
});

test('cli watch screen: it draws in place, cuts lines, shows ASCII alone, and gives the cursor back', () => {
  let text = '';
  const write = (/** @type {string} */ piece) => {
    text += piece;
  };
  const out = { columns: 20, rows: 5, write };
  const screen = new Screen(/** @type {any} */ (out));
  screen.draw(['one', 'a line that is too long for it', 'd\u00e9j\u00e0 \u6f22', 'four', 'five']);
  assert.deepEqual(shownBy(text, 20), { lines: ['one', 'a line that is to..', 'd?j? ?', 'four', ''], wraps: 0 });
  screen.draw(['1', '2']);
  assert.deepEqual(shownBy(text, 20), { lines: ['1', '2', ''], wraps: 0 });
  // The terminal wraps the lines that were there: five lines more to go up.
  screen.draw(['x'.repeat(19), 'x'.repeat(19)]);
  out.columns = 10;
  text = '';
  screen.draw(['1']);
  assert.ok(text.startsWith(`${ESC}[4F${ESC}[J`), JSON.stringify(text));
  screen.end();
  screen.draw(['not any more']);
  assert.ok(text.endsWith(SHOW_CURSOR), JSON.stringify(text));
});
