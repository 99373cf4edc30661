'use strict';

// What the tools for observing refuse, by name, and what they never tell: passwords, tokens and parameters.

const assert = require('node:assert/strict');
const { tracingChannel } = require('node:diagnostics_channel');
const { Writable } = require('node:stream');
const { describe } = require('node:test');
const { inspect } = require('node:util');
const pino = require('pino');
const { createPool } = require('hyperiondb-client');
const otel = require('hyperiondb-client/otel');
const pg = require('hyperiondb-client/pg');
const { ask, serve, viewer } = require('./dashboard.support.js');
const { metricSdk, spanSdk } = require('./otel-sdk.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { failureOf, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });
const PASSWORD = 'password-kept-secret';
const PARAMETER = 'parameter-kept-secret';
const TOKEN = 'token-kept-secret';
const SECRET = /kept-secret/;

/** All that can be seen of a value, what is not enumerable included. @param {unknown} value */
const shown = (value) => inspect(value, { depth: 12, showHidden: true, maxArrayLength: null, maxStringLength: null });

const noop = () => {};
const without = (/** @type {string} */ level) => ({
  info: noop,
  warn: noop,
  error: noop,
  debug: noop,
  [level]: 'noop',
});

/** @type {[options: object, message: RegExp][]} */
const WRONG_OF_POOL = [
  [{ slowQueryMs: -1 }, /^slowQueryMs must be from 0 to \d+, not -1$/],
  [{ slowQueryMs: Number.NaN }, /^slowQueryMs must be an integer, not NaN$/],
  [{ slowQueryMs: Infinity }, /^slowQueryMs must be an integer, not Infinity$/],
  [{ slowQueryMs: '50' }, /^slowQueryMs must be an integer, not string$/],
  [{ slowQueryMs: null }, /^slowQueryMs must be an integer, not null$/],
  [{ slow_query_ms: 5 }, /'slow_query_ms': did you mean 'slowQueryMs'\?$/],
  [{ loger: console }, /'loger': did you mean 'logger'\?$/],
  [{ logParameter: true }, /'logParameter': did you mean 'logParameters'\?$/],
  [{ logParameters: 'yes' }, /^logParameters must be a boolean, not string$/],
  [{ logger: 'console' }, /^logger must be a function, or an object with the functions .*, not string$/],
  [{ logger: {} }, /^logger must be .*: it has no info, warn, error, debug$/],
  [{ logger: without('debug') }, /^logger must be .*: it has no debug$/],
  [{ name: '' }, /^name must not be empty$/],
  [{ name: 5 }, /^name must be a string, not number$/],
];

/** @type {[options: any, message: RegExp][]} */
const WRONG_OF_DASHBOARD = [
  [5, /^options must be an object, not number$/],
  [{ tokn: TOKEN }, /'tokn': did you mean 'token'\?$/],
  [{ token: 5 }, /^token must be a string, not number$/],
  [{ token: 'short' }, /^token must have 16 characters at least/],
  [{ path: 'admin' }, /^path must begin and end with a slash/],
  [{ allowedHosts: 'localhost' }, /^allowedHosts must be an array of host names, not string$/],
  [{ allowedHosts: [5] }, /^allowedHosts\[0\] must be a string, not number$/],
];

/** @type {[options: any, message: RegExp][]} */
const WRONG_OF_OTEL = [
  [5, /^pool must be a Pool of hyperiondb-client, not number/],
  [
    new pg.Pool({ host: '127.0.0.1' }),
    /^pool must be a Pool of hyperiondb-client, not object: instrument\(\) without one is of all/,
  ],
  [Promise.resolve({}), /^pool must be a Pool of hyperiondb-client, not object/],
  [{ tracerprovider: {} }, /'tracerprovider': did you mean 'tracerProvider'\?$/],
  [{ tracerProvider: {} }, /^tracerProvider must be a TracerProvider of @opentelemetry\/api, not object$/],
  [{ meterProvider: 5 }, /^meterProvider must be a MeterProvider of @opentelemetry\/api, not number$/],
  [{ captureParameters: 'yes' }, /^captureParameters must be a boolean, not string$/],
  [{ sqlcommenter: 5 }, /^sqlcommenter must be a boolean or an object, not number$/],
  [{ sqlcommenter: {} }, /^sqlcommenter\.propagator must be a TextMapPropagator, not undefined$/],
];

describe('refusals', () => {
  test('refusals: options of a pool that are wrong, or nearly right, are refused by name', () => {
    for (const [options, message] of WRONG_OF_POOL) {
      assert.throws(() => createPool({ hosts: ['127.0.0.1'], .../** @type {any} */ (options) }), {
        code: 'ERR_INVALID_OPTION',
        message,
      });
    }
  });

  test('refusals: options of dashboard() and of instrument() are refused by name', (t) => {
    const pool = createPool({ hosts: ['127.0.0.1'] });
    t.after(() => pool.end());
    for (const [options, message] of WRONG_OF_DASHBOARD) {
      assert.throws(() => pool.dashboard(options), { code: 'ERR_INVALID_PARAM', message });
    }
    for (const [options, message] of WRONG_OF_OTEL) {
      assert.throws(() => otel.instrument(options), { code: 'ERR_INVALID_OPTION', message });
    }
    assert.throws(() => otel.instrument(pool, /** @type {any} */ (5)), { message: /^options must be an object/ });
  });

  test('refusals: a pool without a server tells of its failures; one that has ended keeps its counts', async () => {
    /** @type {any[]} */
    const slow = [];
    const pool = createPool({ hosts: [`127.0.0.1:${await freePort()}`], acquireTimeoutMs: 200, slowQueryMs: 0 });
    pool.on('slow', (event) => slow.push(event));
    const error = await failureOf(pool.query('SELECT 1'));
    await until('it is told', () => slow.length === 1);
    assert.deepEqual([slow[0].node, slow[0].rowCount, slow[0].error], [undefined, undefined, error]);
    assert.deepEqual(pool.stats().errors, { ERR_NO_PRIMARY: 1 });
    await pool.end();
    assert.deepEqual([pool.stats().queries, pool.stats().errors], [1, { ERR_NO_PRIMARY: 1 }]);
    assert.match(pool.metrics(), /^hyperiondb_queries_total\{pool="[^"]+"\} 1$/m);
    assert.throws(() => pool.dashboard(), { code: 'ERR_POOL_CLOSED' });
  });
});

describe('secrets', () => {
  test('secrets: passwords, tokens and parameters are in no log, event, message, metric or span, nor on the page', async (t) => {
    await db.sql(`CREATE ROLE secretive LOGIN SUPERUSER PASSWORD '${PASSWORD}'`);
    /** @type {string[]} */
    const seen = [];
    const see = (/** @type {unknown} */ value) => void seen.push(typeof value === 'string' ? value : shown(value));
    const logger = pino({ level: 'debug' }, new Writable({ write: (line, _, done) => done(void see(String(line))) }));
    const subscribers = { start: see, end: noop, asyncStart: noop, asyncEnd: see, error: see };
    for (const name of ['hyperiondb:query', 'hyperiondb:transaction']) {
      tracingChannel(name).subscribe(subscribers);
      t.after(() => tracingChannel(name).unsubscribe(subscribers));
    }
    const pool = db.pool(t, { user: 'secretive', password: PASSWORD, logger, slowQueryMs: 0 });
    for (const event of ['slow', 'error', 'node', 'primary']) pool.on(event, see);
    const [traced, measured] = [spanSdk(), metricSdk()];
    const { disable } = otel.instrument(pool, { tracerProvider: traced.provider, meterProvider: measured.provider });
    t.after(disable);
    const { port } = await serve(t, pool.dashboard({ token: TOKEN }));
    const one = await viewer(port, '/events', { Authorization: `Bearer ${TOKEN}` });

    await pool.query('SELECT $1::text', [PARAMETER]);
    await pool.transaction((/** @type {any} */ tx) => tx.query('SELECT $1::text', [PARAMETER]));
    await pool.batch([['SELECT $1::text', [PARAMETER]]]);
    for await (const _ of pool.stream('SELECT $1::text', [PARAMETER]));
    see(await failureOf(pool.query('SELECT $1::text FROM missing', [PARAMETER])));
    const refused = createPool({ ...db.options(), user: 'secretive', password: `${PASSWORD}!`, logger });
    see(await failureOf(refused.query('SELECT $1::text', [PARAMETER])));
    await refused.end();
    await until('the page has an error', () => JSON.stringify(one.events.slice(1)).includes('"42"'));

    see(pool);
    see(pool.stats());
    see(pool.metrics());
    see(JSON.stringify(one.events));
    see(JSON.stringify((await ask(port, `/?token=${TOKEN}`)).headers));
    see((await ask(port, '/?token=wrong')).body);
    see(traced.spans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status })));
    see(await measured.metrics());
    assert.deepEqual(
      seen.filter((text) => SECRET.test(text)).map((text) => text.slice(0, 400)),
      [],
    );
    // It was looked for where the statements are.
    for (const text of [
      '"msg":"slow statement"',
      'QueryMessage',
      'db.query.text',
      'hyperiondb_queries_total',
      '28P01',
    ]) {
      assert.ok(
        seen.some((one) => one.includes(text)),
        text,
      );
    }
  });
});
