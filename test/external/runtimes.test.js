'use strict';

// The client in Bun, in Deno and in each supported Node, against a cluster of three nodes. runtimes/program.js does the work in
// the runtime and prints what it saw; here stands what is right. README.md says what is supported.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe } = require('node:test');
const { HANG_MS, test, useCluster } = require('../support/helpers');
const { NotAvailableError } = require('./packages.js');
const { programOf } = require('./runtimes/install');
const { makeApp, Run } = require('./runtimes/run');

const db = useCluster({ nodes: 3, settings: { max_prepared_transactions: 10 } });

/** The folder of the application, with the package in node_modules. */
let app = '';

/** Downloads take longer than any test may. */
const INSTALL_MS = 600_000;
/** The process of all checks lives for many tests. */
const CHECKS_MS = 3 * HANG_MS;

before(() => {
  app = makeApp();
});
after(() => fs.rmSync(app, { recursive: true, force: true }));

const README = fs.readFileSync(path.join(__dirname, '..', '..', 'README.md'), 'utf8');

/** The permissions with which README.md starts Deno: tests have no others. */
function denoFlags() {
  const [, flags] = /^deno run (.*) app\.js$/m.exec(README) ?? assert.fail('README.md does not start Deno');
  return flags.replaceAll('"', '').replaceAll('$HOME', path.join(app, 'home')).split(' ');
}

/** @typedef {{ title: string, name: string, flags: () => string[], v8?: (flag: string) => string }} Runtime `v8` writes a flag of V8 */

/** @type {Runtime[]} */
const RUNTIMES = [
  ...['20', '22', '24'].map((major) => ({
    title: `Node ${major}`,
    name: `node-${major}`,
    flags: () => [],
    v8: (/** @type {string} */ flag) => flag,
  })),
  { title: 'Bun', name: 'bun', flags: () => ['run'] },
  {
    title: 'Deno',
    name: 'deno',
    flags: () => ['run', '--no-prompt', ...denoFlags()],
    v8: (flag) => `--v8-flags=${flag}`,
  },
];

/** What each check of runtimes/checks.js must see. @type {Record<string, { title: string, saw: unknown }>} */
const CHECKS = {
  load: { title: 'import has the same names and values as require', saw: { names: 27, different: [] } },
  types: {
    title: 'parameters and results of every kind are equal on both sides',
    saw: {
      big: 'bigint 4611686018427387904',
      int: -7,
      float: 1.5,
      bool: true,
      text: 'snow \u2603, pile \u{1f4a9}, quote \'"',
      buffer: 'buffer 00ff0a',
      bytes: 'buffer 0102fe',
      at: '2024-02-29T12:34:56.789Z',
      json: { list: [1, 'two', null, { deep: 2.5 }], text: '\u2603' },
      ints: [1, null, 3],
      grid: [
        ['a', 'b"c'],
        [null, '{}'],
      ],
      nothing: null,
      price: '12345678901234567890.0123456789',
      uuid: '123e4567-e89b-12d3-a456-426614174000',
    },
  },
  dates: {
    title: 'the option types gives Dates, strings and numbers',
    saw: { at: 'date 2024-02-29T12:00:00.000Z', big: '1', json: '{"a": 1}', price: 1.5 },
  },
  result: {
    title: 'rows are an array with rowCount, command and fields',
    saw: { rows: [{ v: 5 }], isArray: true, rowCount: 1, command: 'SELECT', fields: 1 },
  },
  large: { title: 'a result of 12 MB is whole', saw: { rows: 20, sum: 210, right: true } },
  concurrent: { title: '500 statements at once get their own answers', saw: { answers: 500, right: true } },
  commit: { title: 'transaction() commits', saw: { inside: 'bigint 30', after: 'bigint 2' } },
  rollback: {
    title: 'transaction() rolls back when its callback throws, begin() when it is told to',
    saw: { same: true, after: 'bigint 2' },
  },
  batch: {
    title: 'batch() settles each statement, and with a transaction applies none after an error',
    saw: { results: [1, '22012', 3], transaction: ['22012', 1], after: 2 },
  },
  stream: {
    title: 'stream() gives all rows, and leaving the loop cancels the statement',
    saw: { sum: 50_005_000, left: 5 },
  },
  copyFrom: {
    title: 'copyFrom() loads rows and CSV, and nothing of a load that fails',
    saw: { rowCount: 5000, csv: 2, sums: { ids: 12_507_501, names: 2502, bytes: 5000 }, error: '23505' },
  },
  copyTo: {
    title: 'copyTo() is an async iterable and can be piped',
    saw: { lines: 20_000, piped: 2_000_000 },
  },
  listen: {
    title: 'listen() hears notifications in their order',
    saw: [
      ['runtimes', 'one'],
      ['runtimes', 'zwei \u2603'],
    ],
  },
  timeout: {
    title: 'timeoutMs cancels a statement on the server',
    saw: { name: 'QueryTimeoutError', outcome: 'not-applied', isClass: true },
  },
  signal: {
    title: 'an AbortSignal cancels a statement on the server',
    saw: {
      names: ['AbortError', 'AbortError', 'AbortError'],
      causes: ['enough', 'TimeoutError', 'AbortError'],
      outcome: 'not-applied',
    },
  },
  error: {
    title: 'an error of the server has its SQLSTATE, its fields and its class',
    saw: {
      name: 'DatabaseError',
      code: '23505',
      message: 'duplicate key value violates unique constraint "accounts_pkey"',
      severity: 'ERROR',
      detail: 'Key (id)=(1) already exists.',
      schema: 'public',
      table: 'accounts',
      constraint: 'accounts_pkey',
      outcome: 'not-applied',
      retryable: false,
      attempts: 1,
      isClass: true,
      syntax: ['42601', 12],
      parameter: ['ParameterError', 'ERR_INVALID_PARAM'],
    },
  },
  stack: {
    title: 'the stack of an error leads to the function that awaited the call',
    saw: { namesTheCaller: true, namesThisFile: true },
  },
  context: {
    title: 'AsyncLocalStorage keeps its value across query() and transaction()',
    saw: [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  },
  events: { title: 'a notice of a script is an event of the pool', saw: ['from the server'] },
  password: { title: 'a password function is asked for the password', saw: { answer: 1, asked: true } },
  worker: {
    title: 'a worker thread has a pool of its own, and ends although the pool is open',
    saw: { answer: 7, exitCode: 0, main: 1 },
  },
  terminated: {
    title: 'ten worker threads are terminated during a statement, and the main thread goes on',
    saw: { answers: 10, main: 1 },
  },
  collected: { title: 'pools that the program forgets are closed when they are collected', saw: 'closed' },
  clusters: {
    title: 'hyperiondb-client/clusters caches, commits on two clusters, and knows their health',
    saw: {
      seen: [
        ['bigint 7', false],
        ['bigint 7', true],
      ],
      stored: [1, 2],
      healthy: true,
      committed: 1,
    },
  },
  nodes: { title: 'nodes() has the roles of all nodes', saw: ['primary', 'standby', 'standby'] },
  failover: {
    title: 'writes go on through a switchover, each applied once and none failed',
    saw: { errors: [], moved: 20, whole: true },
  },
  end: {
    title: 'end() waits for work in flight, and later work is refused',
    saw: { isDone: true, after: 'ERR_POOL_CLOSED', size: 0 },
  },
};

/** @param {Runtime} runtime @returns {Promise<{ program: string } | { skip: string }>} */
async function found({ name }) {
  try {
    return { program: await programOf(name) };
  } catch (error) {
    if (!(error instanceof NotAvailableError)) throw error;
    return { skip: error.message };
  }
}

/** What a runtime needs for its tests: the program, and the process that does the checks. */
class Subject {
  /** @type {string | undefined} */
  #program;
  /** @type {Run | undefined} */
  #checks;
  /** @type {Promise<unknown> | undefined} */
  #switchover;
  /** Why there is no such runtime here. */
  skip = '';

  /** @param {Runtime} runtime */
  constructor(runtime) {
    this.runtime = runtime;
  }

  async prepare() {
    const { program = undefined, skip = '' } = /** @type {{ program?: string, skip?: string }} */ (
      await found(this.runtime)
    );
    [this.#program, this.skip] = [program, skip];
  }

  /**
   * Starts the program.
   * @param {string} mode
   * @param {{ flags?: string[], v8?: string, killMs?: number }} [how] flags instead of the runtime's own, and one for V8
   */
  start(mode, { flags = this.runtime.flags(), v8, killMs = HANG_MS / 2 } = {}) {
    const more = v8 === undefined ? [] : [/** @type {any} */ (this.runtime).v8(v8)];
    const { hosts, user, password, database } = db.cluster;
    const settings = {
      mode,
      login: { hosts, user, password, database },
      hangMs: HANG_MS / 2,
      canFailover: db.cluster.capabilities.has('switchover'),
    };
    return new Run([/** @type {string} */ (this.#program), ...flags, ...more], app, settings, killMs);
  }

  /** The process that does all checks, started by the first test that asks for it. */
  get checks() {
    this.#checks ??= this.start('checks', { v8: this.runtime.v8 && '--expose-gc', killMs: CHECKS_MS });
    return this.#checks;
  }

  /** Makes the switchover without which the process of all checks does not end, once. */
  switchOver() {
    if (!db.cluster.capabilities.has('switchover')) return;
    this.#switchover ??= this.checks.ready('failover').then(() => db.cluster.switchover());
    return this.#switchover;
  }
}

test('README.md names the versions of the runtimes that are tested', () => {
  const { optionalDependencies } = require('./runtimes/package.json');
  const versions = Object.values(optionalDependencies).map((wanted) => String(wanted).split('@').at(-1));
  const [, table = ''] = /\n\n(\| runtime .*?)\n\n/s.exec(README) ?? [];
  assert.deepEqual(new Set(table.match(/\d+\.\d+\.\d+/g)), new Set(versions));
});

for (const runtime of RUNTIMES) {
  describe(`${runtime.title}: the client works`, () => {
    const subject = new Subject(runtime);
    before(() => subject.prepare(), { timeout: INSTALL_MS });

    /** @param {string} title @param {(t: import('node:test').TestContext) => Promise<void>} body */
    const testHere = (title, body) =>
      test(`${runtime.title}: ${title}`, (t) => (subject.skip === '' ? body(t) : t.skip(subject.skip)));

    for (const [check, { title, saw }] of Object.entries(CHECKS)) {
      testHere(title, async () => {
        if (check === 'failover') {
          db.needs('switchover');
          await subject.switchOver();
        }
        assert.deepEqual(await subject.checks.sawIn(check), saw);
      });
    }

    testHere('the process of all checks exits by itself, with an open pool', async () => {
      await subject.switchOver();
      const { code, signal, stderr, lines } = await subject.checks.ended;
      assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
      // No check is without a test.
      const done = lines.flatMap(({ check }) => check ?? []);
      assert.deepEqual(done, Object.keys(CHECKS));
    });

    /** @type {[string, string, number, unknown][]} */
    const ENDS = [
      ['a process with an idle open pool exits by itself', 'idle', 0, 1],
      ['a process waits for a statement that nobody awaits', 'unawaited', 0, 2],
      ['process.exit() in the middle of statements ends the process with its code', 'exit', 4, 3],
    ];
    for (const [title, mode, exitCode, answer] of ENDS) {
      testHere(title, async () => {
        const { code, signal, stderr, lines } = await subject.start(mode).ended;
        assert.deepEqual(
          { code, signal, stderr, lines },
          { code: exitCode, signal: null, stderr: '', lines: [{ answer }] },
        );
      });
    }

    if (runtime.v8 !== undefined) {
      testHere('rows and JSON are read where code from strings is forbidden', async () => {
        const run = subject.start('read', { v8: '--disallow-code-generation-from-strings' });
        const { code, stderr, lines } = await run.ended;
        const answer = { forbidden: true, row: { a: 1, b: { c: [{ d: 1 }, { d: 2 }] } } };
        assert.deepEqual({ code, stderr, lines }, { code: 0, stderr: '', lines: [{ answer }] });
      });
    }

    if (runtime.name === 'deno') {
      for (const kind of ['env', 'ffi', 'read']) {
        testHere(`without --allow-${kind} the error names the flag`, async () => {
          const flags = runtime.flags().filter((flag) => !flag.startsWith(`--allow-${kind}=`));
          assert.equal(flags.length, runtime.flags().length - 1);
          const { code, stderr } = await subject.start('idle', { flags }).ended;
          assert.equal(code, 1);
          assert.match(stderr, /HyperionError: Deno did not let hyperiondb-client load its native addon/);
          assert.match(stderr, new RegExp(`--allow-${kind}\\b`));
        });
      }
    }
  });
}
