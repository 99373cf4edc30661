'use strict';

// The option `logger`: pino, winston, bunyan and console as they are, and a function. What each of them is told, and writes.

const assert = require('node:assert/strict');
const { Console } = require('node:console');
const { describe } = require('node:test');
const { Writable } = require('node:stream');
const bunyan = require('bunyan');
const pino = require('pino');
const winston = require('winston');
const { createPool } = require('../../client.js');
const pg = require('../../exports/pg/index.js');
const { failureOf, ownCluster, printedBy, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });
const address = () => db.cluster.primary().address;

/** A stream that keeps what is written. */
function sink() {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return { stream, text: () => text };
}

/** @typedef {'debug' | 'info' | 'warn' | 'error'} Level */
/** A line as each logger has written it. @typedef {{ level: Level, text: string, fields: any }} Line */

/** pino and bunyan have numbers for the levels. @type {Record<number, Level>} */
const LEVELS = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

/** @param {string} text */
const jsonLines = (text) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/**
 * Loggers: made with a level, and read as lines.
 * @type {Record<string, (level: Level) => { logger: any, lines: () => Line[], text: () => string, setLevel: (level: Level) => void }>}
 */
const LOGGERS = {
  pino(level) {
    const { stream, text } = sink();
    const logger = pino({ level }, stream);
    const lines = () =>
      jsonLines(text()).map(({ level: number, msg, time: _t, pid: _p, hostname: _h, ...fields }) => ({
        ...{ level: LEVELS[number], text: msg, fields },
      }));
    const setLevel = (/** @type {Level} */ next) => {
      logger.level = next;
    };
    return { logger, lines, text, setLevel };
  },
  'a child of pino'(level) {
    const parent = LOGGERS.pino(level);
    const logger = parent.logger.child({});
    return {
      ...parent,
      logger,
      setLevel: (next) => {
        logger.level = next;
      },
    };
  },
  winston(level) {
    const { stream, text } = sink();
    const logger = winston.createLogger({ level, transports: [new winston.transports.Stream({ stream })] });
    const lines = () =>
      jsonLines(text()).map(({ level: name, message, ...fields }) => ({ level: name, text: message, fields }));
    const setLevel = (/** @type {Level} */ next) => {
      logger.level = next;
    };
    return { logger, lines, text, setLevel };
  },
  bunyan(level) {
    const { stream, text } = sink();
    const logger = bunyan.createLogger({
      name: 'service',
      level,
      stream,
      serializers: { err: bunyan.stdSerializers.err },
    });
    const lines = () =>
      jsonLines(text()).map(({ level: number, msg, name: _n, v: _v, time: _t, pid: _p, hostname: _h, ...fields }) => ({
        ...{ level: LEVELS[number], text: msg, fields },
      }));
    return { logger, lines, text, setLevel: (next) => logger.level(next) };
  },
  console() {
    const { stream, text } = sink();
    const logger = new Console({ stdout: stream, stderr: stream });
    /** @type {Line[]} */
    const lines = [];
    // console itself writes no level: what it is called with is noted beside.
    for (const level of /** @type {const} */ (['debug', 'info', 'warn', 'error'])) {
      const write = logger[level].bind(logger);
      logger[level] = (message, fields) => {
        lines.push({ level, text: message, fields });
        write(message, fields);
      };
    }
    return { logger, lines: () => lines, text, setLevel: () => {} };
  },
};

/** Whether the fields come first, and an error is `err`. @param {string} kind */
const takesFieldsFirst = (kind) => /pino|bunyan/.test(kind);

for (const kind of Object.keys(LOGGERS)) {
  describe(`logger: ${kind}`, () => {
    test(`${kind}: debug for each statement, warn for slow ones, error for failures: one line each`, async (t) => {
      const { logger, lines } = LOGGERS[kind]('debug');
      const pool = db.pool(t, { logger, slowQueryMs: 400 });
      await pool.query('SELECT 0');
      await pool.query('SELECT i FROM generate_series(1, 3) i');
      await pool.query('SELECT pg_sleep(0.5)');
      await failureOf(pool.query('SELECT 1 / 0'));
      await failureOf(pool.query('SELECT pg_sleep(0.5), 1 / (SELECT 0)'));
      await pool.batch(['SELECT 4', 'SELECT 5']);
      await until('all is written', () => lines().filter(({ fields }) => fields.sql).length >= 7);
      const ofStatements = lines().filter(({ fields }) => fields.sql !== undefined && fields.sql !== 'SELECT 0');
      assert.deepEqual(
        ofStatements.map(({ level, text, fields }) => [
          level,
          text,
          fields.sql,
          fields.operation,
          fields.rowCount,
          fields.node,
        ]),
        [
          ['debug', 'statement', 'SELECT i FROM generate_series(1, 3) i', 'query', 3, address()],
          ['warn', 'slow statement', 'SELECT pg_sleep(0.5)', 'query', 1, address()],
          ['error', 'statement failed: division by zero', 'SELECT 1 / 0', 'query', undefined, address()],
          [
            'error',
            'statement failed: division by zero',
            'SELECT pg_sleep(0.5), 1 / (SELECT 0)',
            'query',
            undefined,
            address(),
          ],
          ['debug', 'statement', 'SELECT 4', 'batch', 1, address()],
          ['debug', 'statement', 'SELECT 5', 'batch', 1, address()],
        ],
      );
      for (const { fields } of ofStatements) assert.ok(fields.durationMs > 0 && fields.waitMs >= 0);
      const [, , failed] = ofStatements;
      const error = takesFieldsFirst(kind) ? failed.fields.err : failed.fields.error;
      assert.equal(error.code, '22012');
      // winston writes what is enumerable of an error: its text is in the message.
      if (kind !== 'winston') assert.equal(error.message, 'division by zero');
    });

    test(`${kind}: without debug a statement that succeeds is not written; the level may change`, async (t) => {
      if (kind === 'console') return t.skip('console has no levels: it writes all');
      const { logger, lines, setLevel } = LOGGERS[kind]('info');
      let calls = 0;
      const { debug } = logger;
      logger.debug = (/** @type {any[]} */ ...args) => {
        if (args.length > 0) calls++;
        return debug.apply(logger, args);
      };
      const pool = db.pool(t, { logger });
      await pool.query('SELECT 1');
      assert.equal(calls, 0, 'nothing is made that nobody writes');
      await failureOf(pool.query('SELECT 1 / 0'));
      setLevel('debug');
      await pool.query('SELECT 2');
      await until('all is written', () => lines().some(({ fields }) => fields.sql === 'SELECT 2'));
      assert.deepEqual(
        lines()
          .filter(({ fields }) => fields.sql)
          .map(({ level, fields }) => [level, fields.sql]),
        [
          ['error', 'SELECT 1 / 0'],
          ['debug', 'SELECT 2'],
        ],
      );
    });

    test(`${kind}: no parameter, password or row is written, unless logParameters asks for parameters`, async (t) => {
      for (const logParameters of [false, true]) {
        const { logger, lines, text } = LOGGERS[kind]('debug');
        const pool = db.pool(t, {
          logger,
          logParameters,
          slowQueryMs: 0,
          password: () => db.options().password || 'hunter3',
        });
        await pool.query("SELECT 'row of ' || $1::text AS v", ['hunter2']);
        await pool.batch([['SELECT $1::text', ['hunter2']]]);
        await failureOf(pool.query('SELECT 1 / $1::int', [0]));
        await failureOf(pool.query("SELECT $1::text, pg_catalog.set_config('a', 'b', false)::int", ['hunter2']));
        await until('all is written', () => lines().filter(({ fields }) => fields.sql).length >= 4);
        assert.equal(/hunter2/.test(text()), logParameters);
        assert.doesNotMatch(text(), /row of hunter2|hunter3/);
        if (logParameters) assert.deepEqual(lines().find(({ fields }) => fields.sql)?.fields.parameters, ['hunter2']);
        else assert.ok(lines().every(({ fields }) => !('parameters' in fields)));
      }
    });

    test(`${kind}: info for nodes and failovers, warn for fences, error for what fails in the background`, async (t) => {
      const own = await ownCluster(t, { nodes: 2, synchronous: false });
      own.needs('promote', 'fence');
      const [old, next] = own.cluster.nodes;
      const { logger, lines } = LOGGERS[kind]('info');
      let password = async () => own.options().password || '';
      const pool = own.pool(t, { logger, password: () => password() });
      await pool.query('CREATE TABLE moved (id int)');
      await until(
        'replicated',
        async () => (await next.sql("SELECT 1 FROM pg_class WHERE relname = 'moved'")).length > 0,
      );
      await old.fence();
      const running = pool.query('INSERT INTO moved VALUES (1)');
      await next.promote();
      await running;
      const written = (/** @type {RegExp} */ text) => lines().filter((line) => text.test(line.text));
      await until(
        'all is written',
        () => written(/^failover/).length > 0 && written(/accepts no more writes/).length > 0,
      );
      assert.deepEqual(
        written(/^failover/).map(({ level, text }) => [level, text]),
        [['info', `failover from ${old.address} to ${next.address}`]],
      );
      const [failover] = written(/^failover/);
      assert.ok(failover.fields.noticed && failover.fields.by && failover.fields.found && failover.fields.firstWrite);
      assert.ok(
        written(/accepts no more writes/).every(
          ({ level, text }) => level === 'warn' && text.startsWith(`node ${old.address}`),
        ),
      );
      const primary = written(/^the primary is/).at(-1);
      assert.equal(primary?.level, 'info');
      assert.ok(primary?.text.startsWith(`the primary is ${next.address}, after ${old.address}`), primary?.text);
      assert.equal(primary?.fields.to, next.address);
      assert.ok(written(/^node .* is (up|down|fenced), role: /).every(({ level }) => level === 'info'));
      assert.ok(written(/^node .* is up, role: primary/).length > 0);
      password = async () => {
        throw new Error('no password today');
      };
      await failureOf(
        own.pool(t, { logger, password: () => password(), monitor: false, acquireTimeoutMs: 500 }).query('SELECT 1'),
      );
      await until('the error is written', () => written(/^in the background/).length > 0);
      const [background] = written(/^in the background/);
      assert.deepEqual([background.level, background.text], ['error', 'in the background: no password today']);
    });

    test(`${kind}: a logger that throws, or rejects, fails no statement and no event`, async (t) => {
      for (const fail of [
        () => {
          throw new Error('of the logger');
        },
        async () => {
          throw new Error('of the logger');
        },
      ]) {
        const { logger } = LOGGERS[kind]('debug');
        for (const level of ['info', 'warn', 'error', 'debug']) logger[level] = fail;
        const pool = db.pool(t, { logger, slowQueryMs: 0 });
        /** @type {string[]} */
        const nodes = [];
        pool.on('node', (/** @type {any} */ { state }) => nodes.push(state));
        assert.deepEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
        assert.equal((await failureOf(pool.query('SELECT 1 / 0'))).code, '22012');
        assert.equal((await pool.batch(['SELECT 1']))[0].status, 'fulfilled');
        await until('the event is emitted', () => nodes.includes('up'));
      }
    });
  });
}

describe('logger: a function', () => {
  test('a function is told once for each statement, and of nothing else', async (t) => {
    /** @type {any[]} */
    const events = [];
    const pool = db.pool(t, { logger: (/** @type {any} */ event) => events.push(event), slowQueryMs: 0 });
    await pool.query('SELECT 1');
    const error = await failureOf(pool.query('SELECT 1 / 0'));
    await until('the node is known', () => pool.nodes()[0].state === 'up');
    assert.deepEqual(
      events.map(({ durationMs, ...rest }) => ({ ...rest, timed: durationMs > 0 })),
      [
        { sql: 'SELECT 1', rowCount: 1, node: address(), timed: true },
        { sql: 'SELECT 1 / 0', error, node: address(), timed: true },
      ],
    );
  });
});

describe('logger: the option', () => {
  /** @type {[string, unknown, RegExp][]} */
  const WRONG = [
    ['a text', 'console', /^logger must be a function, or an object with the functions .*, not string$/],
    ['null', null, /^logger must be .*, not null$/],
    ['an empty object', {}, /it has no info, warn, error, debug$/],
    ['syslog levels', winston.createLogger({ levels: winston.config.syslog.levels, silent: true }), /it has no warn$/],
    ['an object with a level that is no function', { ...console, debug: true }, /it has no debug$/],
  ];
  for (const [name, logger, message] of WRONG) {
    test(`logger: ${name} is refused by name`, () => {
      assert.throws(() => createPool(/** @type {any} */ ({ logger })), { code: 'ERR_INVALID_OPTION', message });
    });
  }

  for (const [name, logger] of /** @type {[string, any][]} */ ([
    ['console', console],
    ['pino', pino({ level: 'silent' })],
    ['winston', winston.createLogger({ silent: true })],
    ['the module winston', winston],
    ['bunyan', bunyan.createLogger({ name: 'x', level: bunyan.FATAL + 1 })],
  ])) {
    test(`logger: ${name} is taken`, async (t) => {
      const pool = createPool({ hosts: '127.0.0.1:1', logger });
      t.after(() => pool.end());
    });
  }

  test('logger: console itself writes to the streams of the process', async () => {
    const lines = await printedBy(
      db,
      `
      const pool = createPool({ ...options, logger: console });
      await pool.query('SELECT 1 AS told_by_console');
      await pool.end();
      `,
    );
    assert.ok(lines.some((line) => line.startsWith('statement {')));
    assert.ok(lines.some((line) => line.includes('SELECT 1 AS told_by_console')));
  });

  test('logger: hyperiondb-client/pg takes it; what cannot be a logger is ignored there, as by pg', async (t) => {
    const { logger, lines } = LOGGERS.pino('debug');
    const pool = /** @type {any} */ (new pg.Pool(/** @type {any} */ ({ ...db.options(), logger })));
    t.after(() => pool.end());
    await pool.query('SELECT $1::int', [1]);
    await failureOf(pool.query('SELECT 1 / 0'));
    assert.deepEqual(
      lines()
        .filter(({ fields }) => fields.sql)
        .map(({ level, fields }) => [level, fields.sql, fields.node]),
      [
        ['debug', 'SELECT $1::int', address()],
        ['error', 'SELECT 1 / 0', address()],
      ],
    );
    const other = /** @type {any} */ (new pg.Pool(/** @type {any} */ ({ ...db.options(), logger: true })));
    t.after(() => other.end());
    assert.equal((await other.query('SELECT 1 AS v')).rows[0].v, 1);
  });

  test('logger: a pool that another one has opened does not repeat the events of the nodes', async (t) => {
    const own = await ownCluster(t, { nodes: 1 });
    const { logger, lines } = LOGGERS.pino('info');
    const pool = own.pool(t, { logger });
    await pool.query('SELECT 1');
    await pool[Symbol.for('hyperiondb-client.aside')]().query('SELECT 1');
    await until('the node is told', () => lines().length > 0);
    const texts = lines().map(({ text }) => text);
    assert.equal(new Set(texts).size, texts.length, texts.join('\n'));
  });
});
