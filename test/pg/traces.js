'use strict';

// Programs at random for a Client, and a record of everything that such a program can see: which callback, promise, event and
// listener is called, in which order, with what. The same program on pg and on the face has the same record. The event drain is
// not in it: whether it comes before a promise that rejects depends on the pieces in which the answer of the server arrives. For the
// same reason what the server reports beside its answers has a record of its own, and so have queries that are refused before they
// are sent.

const { inspect } = require('node:util');

/** Numbers from 0 to 1 (mulberry32): the same for the same seed. @param {number} seed */
function generator(seed) {
  let state = seed + 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Statements, with values or a name: what they do depends on those before them.
 * @type {[string, ...unknown[]][]}
 */
const STATEMENTS = [
  ['SELECT 1 AS one'],
  ["SELECT 1 AS a, 'text'::text AS b, NULL AS c, true AS d, 1.5::float8 AS e, 2::int8 AS f, 3.50::numeric AS g"],
  ["SELECT '2024-07-01T12:00:00.123Z'::timestamptz AS t, '\\x00ff'::bytea AS b, '{\"a\":[1]}'::json AS j"],
  ["SELECT ARRAY[1,NULL,3] AS a, ARRAY['a,b','\"']::text[] AS t, '1 day 02:03'::interval AS i, '(1,2)'::point AS p"],
  ['SELECT n, n::text AS t FROM generate_series(1, 250) AS n'],
  ['SELECT 1 AS n, 2 AS n'],
  ['SELECT 1 WHERE false'],
  ['SELECT FROM generate_series(1, 2)'],
  [''],
  [' -- nothing'],
  [';'],
  ['SELECT 1 AS a; SELECT 2 AS b'],
  ['SELECT 1 AS a; SELECT 1 / 0; SELECT 2 AS b'],
  ['SELECT 1 AS a;; INSERT INTO t VALUES (7); SELECT count(*) FROM t'],
  ['SELEKT'],
  ['SELECT pg_terminate_backend(pg_backend_pid())'],
  ['SELECT pg_terminate_backend(pg_backend_pid())', []],
  ['SELECT pg_terminate_backend($1 + pg_backend_pid())', [0]],
  ['SELECT 1; SELEKT'],
  ['SELECT * FROM no_such_table'],
  ['SELECT 1 / 0'],
  ['SELECT $1'],
  ['INSERT INTO t VALUES (1)'],
  ['INSERT INTO t VALUES (1), (2) RETURNING n'],
  ['INSERT INTO u VALUES (1)'],
  ['UPDATE t SET n = n + 1'],
  ['DELETE FROM t WHERE n > 3'],
  ['SELECT n FROM t ORDER BY n'],
  ['CREATE TEMP TABLE more (a int)'],
  ['DROP TABLE more'],
  ['ALTER TABLE t ADD COLUMN x int'],
  ['ALTER TABLE t DROP COLUMN x'],
  ['BEGIN'],
  ['COMMIT'],
  ['ROLLBACK'],
  ['SAVEPOINT s'],
  ['ROLLBACK TO s'],
  ["SET TIME ZONE 'Asia/Kolkata'"],
  ['RESET TIME ZONE'],
  ["SET application_name = 'other'"],
  ['SHOW TIME ZONE'],
  ["DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two' USING DETAIL = 'd'; END $$"],
  ["DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'ZZ001', HINT = 'h', COLUMN = 'c'; END $$"],
  ['DROP TABLE IF EXISTS there_is_none'],
  ['LISTEN c'],
  ["NOTIFY c, 'payload'"],
  ['COPY t (n) FROM STDIN'],
  ['COPY (SELECT 1) TO STDOUT'],
  ['SET statement_timeout = 20; SELECT pg_sleep(10)'],
  ['SELECT pg_sleep(0.02)'],
  ['SELECT $1::int AS n', [1]],
  ['SELECT $1::int AS n, $2::text AS t', [1, 'two']],
  ['SELECT $1::int AS n', ['no number']],
  ['SELECT $1::int AS n', []],
  ['SELECT $1::int AS n', [1, 2]],
  ['SELECT 1', [1]],
  ['SELECT $1::int; SELECT 2', [1]],
  ['SELECT $1::jsonb AS j, $2::int[] AS a, $3::bytea AS b', [{ a: [1] }, [1, null], Buffer.from('b')]],
  ['SELECT $1::timestamptz AS t', [new Date(0)]],
  ['INSERT INTO u VALUES ($1) RETURNING n', [1]],
  ['INSERT INTO t VALUES ($1)', [5]],
  ['SELECT n FROM generate_series(1, $1::int) AS n', [120]],
  ['SELECT 6 / ($1::int - n) AS q FROM generate_series(1, 5) AS n', [9]],
  ['SELECT pg_sleep($1)', [0.01]],
  ['SELECT $1::text', 'no array'],
  ['BEGIN', []],
  ['SELECT $1::int + 1 AS n', [1], 'plus'],
  ['SELECT $1::int + 1 AS n', [2], 'plus'],
  ['SELECT $1::int + 1 AS n', ['x'], 'plus'],
  ['SELECT $1::int - 1 AS n', [1], 'minus'],
  ['SELECT $1::int - 2 AS n', [1], 'minus'],
  ['SELECT 1 AS one', undefined, 'one'],
  ['SELECT * FROM t ORDER BY 1 LIMIT 1', undefined, 'all of t'],
  ['SELECT * FROM later', undefined, 'later'],
  ['SELEKT', undefined, 'wrong'],
];

/** How a statement is given to query(). */
const FORMS = [
  'promise',
  'promise',
  'promise',
  'callback',
  'config',
  'rows',
  'Query',
  'heard Query',
  'called Query',
  'types',
];

/**
 * @typedef {{ text: string, values: any, name: any, form: string, isAwaited: boolean, rowMode: string | undefined }} Step
 */

/** @param {number} seed @returns {Step[]} */
function programOf(seed) {
  const random = generator(seed);
  const pick = (/** @type {readonly any[]} */ list) => list[Math.floor(random() * list.length)];
  return Array.from({ length: 3 + Math.floor(random() * 12) }, () => {
    const [text, values, name] = pick(STATEMENTS);
    return {
      text,
      values,
      name,
      form: pick(FORMS),
      isAwaited: random() < 0.6,
      rowMode: random() < 0.15 ? 'array' : undefined,
    };
  });
}

const AS_TEXT = { getTypeParser: () => (/** @type {string} */ text) => text };
const SHOWN = { depth: 9, breakLength: 200, maxArrayLength: 60, compact: 9 };

/** What a query is told after the session was lost: the one or the other, by when the socket closes. */
const LOST = 'Connection terminated unexpectedly';
const NOT_QUERYABLE = 'Client has encountered a connection error and is not queryable';

/** What differs from session to session. @param {string} text */
const neutral = (text) => text.replace(/pg_temp_\d+/g, 'pg_temp').replace(/tableID: [1-9]\d{3,}/g, 'tableID: T');

/** @param {any} error */
function errorText(error) {
  if (error === null || error === undefined) return String(error);
  const { length, schema, ...members } = error;
  // The length has that of the name of the session's schema in it.
  const size = typeof length === 'number' ? length - (schema?.length ?? 0) : undefined;
  return neutral(inspect([error.constructor.name, error.name, error.message, size, schema, members], SHOWN));
}

/** @param {any} result */
function resultText(result) {
  if (Array.isArray(result)) return `[${result.map(resultText).join(' | ')}]`;
  if (result === undefined || result === null) return String(result);
  const { command, rowCount, oid, rows, fields, rowAsArray } = result;
  const columns = fields.map((/** @type {object} */ field) => ({ ...field }));
  return neutral(
    inspect([command, rowCount, oid, rows.length, rows.slice(0, 5), rows.at(-1), columns, rowAsArray], SHOWN),
  );
}

/** Hands one step to the client, and resolves when it has been answered. */
class Recorder {
  /** @type {string[]} */
  lines = [];
  /** @type {string[]} */
  refusals = [];
  /** @type {string[]} */
  reports = [];

  /** @param {any} pg @param {any} client */
  constructor(pg, client) {
    this.pg = pg;
    this.client = client;
    client.on('notice', (/** @type {any} */ notice) => {
      const { severity, code, message, detail, line } = notice;
      this.reports.push(`notice ${inspect([notice.name, severity, code, message, detail, line])}`);
    });
    client.on('error', (/** @type {any} */ error) => this.lines.push(`error ${errorText(error)}`));
    client.on('end', () => this.lines.push('end'));
    client.on('notification', (/** @type {any} */ { channel, payload }) => {
      this.reports.push(`notification ${channel} ${payload}`);
    });
    client.connection.on('parameterStatus', (/** @type {any} */ { parameterName, parameterValue }) => {
      this.reports.push(`parameter ${parameterName} ${parameterValue}`);
    });
  }

  /** @param {number} number @param {string} what @param {any} error @param {any} result */
  answer(number, what, error, result) {
    const text = error ? errorText(error).replace(NOT_QUERYABLE, LOST) : resultText(result);
    const isRefusal = error && !(error instanceof this.pg.DatabaseError);
    (isRefusal ? this.refusals : this.lines).push(`${number} ${what} ${error ? 'failed' : 'gave'} ${text}`);
  }

  /** @param {number} number @param {Step} step @returns {Promise<void>} */
  run(number, { form, rowMode, ...given }) {
    const { client } = this;
    const config = Object.fromEntries(
      Object.entries({ ...given, rowMode }).filter(([key, value]) => value !== undefined && key !== 'isAwaited'),
    );
    if (form.endsWith('Query')) return this.#listen(number, form, config);
    return new Promise((resolve) => {
      const callback = (/** @type {any} */ error, /** @type {any} */ result) => {
        this.answer(number, form, error, result);
        resolve();
      };
      if (form === 'callback') return client.query(config, callback);
      if (form === 'config') return client.query({ ...config, callback });
      if (form === 'types') Object.assign(config, { types: AS_TEXT });
      if (form === 'rows') Object.assign(config, { rowMode: 'array' });
      client.query(config).then(
        (/** @type {any} */ result) => callback(null, result),
        (/** @type {any} */ error) => callback(error, undefined),
      );
    });
  }

  /** @param {number} number @param {string} form @param {object} config @returns {Promise<void>} */
  #listen(number, form, config) {
    return new Promise((resolve) => {
      const callback = (/** @type {any} */ error, /** @type {any} */ result) => {
        this.answer(number, 'callback', error, result);
        if (error) resolve();
      };
      const query = new this.pg.Query(config, form === 'called Query' ? callback : undefined);
      if (form !== 'Query') {
        query.on('row', (/** @type {any} */ row, /** @type {any} */ result) => {
          this.lines.push(`${number} row ${inspect(row, SHOWN)} of ${result.fields.length}`);
        });
      }
      query.on('end', (/** @type {any} */ result) => {
        this.answer(number, 'end', null, result);
        resolve();
      });
      query.on('error', (/** @type {any} */ error) => {
        this.answer(number, 'error', error, undefined);
        resolve();
      });
      this.client.query(query);
    });
  }
}

/** Rows that came before an error are a matter of facts/query.forms.test.js. @param {readonly string[]} lines */
function withoutRowsOfFailures(lines) {
  const failed = lines.filter((line) => /^\d+ \w+ failed/.test(line)).map((line) => line.split(' ')[0]);
  return lines.filter((line) => !/^\d+ row /.test(line) || !failed.includes(line.split(' ')[0]));
}

/**
 * What is emitted of a session that has ended under its own statement, and when, is a matter of facts/client.end.test.js.
 * @param {readonly string[]} lines
 */
function withoutEndOfSession(lines) {
  if (!lines.some((line) => line.includes("'57P01'"))) return lines;
  return lines.filter((line) => !line.startsWith('error '));
}

/**
 * Runs a program on a new client, and resolves to its record.
 * @param {any} pg
 * @param {any} config
 * @param {readonly Step[]} program
 */
async function recordOf(pg, config, program) {
  const client = new pg.Client(config);
  const recorder = new Recorder(pg, client);
  await client.connect();
  await client.query(
    'CREATE TEMP TABLE t (n int); CREATE TEMP TABLE u (n int PRIMARY KEY); SET client_min_messages = notice',
  );
  recorder.reports.length = 0;
  const ended = new Promise((resolve) => client.once('end', resolve));
  /** @type {Promise<void>[]} */
  const open = [];
  for (const [number, step] of program.entries()) {
    const answered = recorder.run(number, step);
    open.push(answered);
    if (step.isAwaited) await answered;
  }
  await Promise.all(open);
  // Who has terminated its own session waits for the end of the client, of which pg hears when the socket closes.
  if (recorder.lines.some((line) => line.includes("'57P01'"))) await ended;
  await client.end();
  await ended;
  const { refusals, reports } = recorder;
  const lines = withoutEndOfSession(withoutRowsOfFailures(recorder.lines));
  return {
    lines,
    refusals: refusals.sort(),
    parameters: reports.filter((report) => report.startsWith('parameter')),
    reports: reports.filter((report) => !report.startsWith('parameter')),
  };
}

/**
 * Programs for a client with the option pipeline. COPY FROM breaks a session of pg then, and when a session is lost pg tells the errors
 * of its socket. Of a name whose first statement was refused pg takes the next one for parsed (26000).
 * @param {number} seed
 */
const pipelinedProgramOf = (seed) =>
  programOf(seed).filter(({ text, name }) => name === undefined && !/FROM STDIN|terminate|timeout/.test(text));

/** The record of a pipelined program: answers that arrive at once are told in no certain order. @param {string[]} lines */
function byStep(lines) {
  const numbered = lines.map((line, place) => ({ line, place, step: Number.parseInt(line, 10) }));
  return numbered.sort((a, b) => a.step - b.step || a.place - b.place).map(({ line }) => line);
}

module.exports = { byStep, generator, pipelinedProgramOf, programOf, recordOf };
