'use strict';

// connect-pg-simple, the session store of express-session: handed a pool, and with the pool that it makes by the pg that it loads.

const http = require('node:http');
const { promisify } = require('node:util');
const { load, registered, rejection, run } = require('../program.js');
const { plain } = require('../plain.js');

/** The calls of a store as promises. @param {any} store */
const promised = (store) =>
  Object.fromEntries(
    ['all', 'destroy', 'get', 'pruneSessions', 'set', 'touch']
      .filter((name) => typeof store[name] === 'function')
      .map((name) => [name, promisify(store[name]).bind(store)]),
  );

/** A session as express-session hands it over. @param {object} more @param {number} [expires] */
const sessionOf = (more, expires = Date.now() + 60_000) => ({
  cookie: { originalMaxAge: 60_000, expires: new Date(expires).toISOString(), httpOnly: true, path: '/' },
  ...more,
});

/**
 * A server with sessions: `/add` counts in the session, `/out` destroys it.
 * @param {any} store
 */
async function startServer(store) {
  const session = load('express-session')({
    store,
    secret: 'a secret of the test',
    resave: false,
    saveUninitialized: false,
  });
  const server = http.createServer((request, response) => {
    session(request, response, async (/** @type {unknown} */ error) => {
      const { session: own } = /** @type {any} */ (request);
      if (error) return response.writeHead(500).end(JSON.stringify(plain(error)));
      if (request.url === '/add') own.views = (own.views ?? 0) + 1;
      if (request.url === '/out') await new Promise((done) => own.destroy(done));
      response.end(JSON.stringify({ views: own.views ?? null }));
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', () => listening(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  let cookie = '';
  return {
    /** @param {string} path */
    async get(path) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie, connection: 'close' } });
      cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie;
      return { status: response.status, body: await response.json() };
    },
    close: () => new Promise((closed) => server.close(closed)),
  };
}

run({
  async checks({ pg, settings, driver, check }) {
    registered(driver);
    const session = load('express-session');
    const PgStore = load('connect-pg-simple')(session);
    const pool = new pg.Pool({ ...settings, max: 4 });
    await pool.query('DROP SCHEMA IF EXISTS web CASCADE');
    await pool.query('CREATE SCHEMA web');
    /** @type {unknown[]} */
    const logged = [];
    const options = {
      schemaName: 'web',
      tableName: 'sessions',
      createTableIfMissing: true,
      pruneSessionInterval: false,
      errorLog: (/** @type {string} */ text, /** @type {Error} */ error) => logged.push([text, plain(error)]),
    };
    const store = new PgStore({ ...options, pool });
    const calls = promised(store);

    await check('a session that is not there', () => calls.get('nobody'));
    await check('a session is stored and read', async () => {
      await calls.set('one', sessionOf({ user: 'Ada', list: [1, null, { ü: '☃' }] }, Date.UTC(2100, 0, 1)));
      return calls.get('one');
    });
    await check('a session is replaced', async () => {
      await calls.set('one', sessionOf({ user: 'Bob' }, Date.UTC(2100, 0, 1)));
      return calls.get('one');
    });
    await check(
      'the table it has made',
      async () =>
        (
          await pool.query(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'web' ORDER BY ordinal_position",
          )
        ).rows,
    );
    await check('a session is touched', async () => {
      await calls.touch('one', sessionOf({}, Date.UTC(2101, 5, 1)));
      return (await pool.query('SELECT sid, sess, expire FROM web.sessions')).rows;
    });
    await check('expired sessions are not read, and pruned', async () => {
      await calls.set('old', sessionOf({ user: 'old' }, Date.now() - 60_000));
      const read = await calls.get('old');
      await calls.pruneSessions();
      return [read, (await pool.query('SELECT sid FROM web.sessions')).rows];
    });
    await check('a session is destroyed', async () => {
      await calls.destroy('one');
      return calls.get('one');
    });
    await check('50 sessions at once on 4 connections', async () => {
      await Promise.all(Array.from({ length: 50 }, (_, n) => calls.set(`s${n}`, sessionOf({ n }))));
      const read = await Promise.all(Array.from({ length: 50 }, (_, n) => calls.get(`s${n}`)));
      return read.map(({ n }) => n);
    });
    await check('pruning by its timer', async () => {
      const pruning = new PgStore({
        ...options,
        pool,
        pruneSessionInterval: 0.02,
        pruneSessionRandomizedInterval: false,
      });
      const own = promised(pruning);
      await own.set('late', sessionOf({}, Date.now() - 60_000));
      for (let rows = 1; rows > 0; ) {
        ({ rowCount: rows } = await pool.query("SELECT FROM web.sessions WHERE sid = 'late'"));
      }
      await pruning.close();
      return logged;
    });
    await check('a web server with sessions', async () => {
      const server = await startServer(store);
      const answers = [];
      for (const path of ['/', '/add', '/add', '/', '/out', '/']) answers.push(await server.get(path));
      await server.close();
      return answers;
    });
    await check('a table that is not there', async () => {
      const broken = new PgStore({ pool, tableName: 'missing', pruneSessionInterval: false });
      return rejection(() => promised(broken).get('x'));
    });
    await check('a store that makes its own pool', async () => {
      const own = new PgStore({ ...options, conObject: { ...settings, max: 2 } });
      const value = [(await promised(own).get('s7')).n];
      await own.close();
      return [...value, await rejection(() => promised(own).get('s7'))];
    });
    await check('the pool is left open by a store that was handed it', async () => {
      await store.close();
      return (await pool.query('SELECT count(*) FROM web.sessions')).rows;
    });
    await check('the pool ends', () => pool.end());
  },

  // A trigger makes the rows of a session, so that what the store has acknowledged can be counted.
  async writers({ pg, settings, driver }) {
    const pool = new pg.Pool({ ...settings, max: 8 });
    // The errors of idle sessions are for the owner of the pool, as with pg.
    pool.on('error', () => {});
    const table = `sessions_${driver}`;
    await pool.query(`
      DROP TABLE IF EXISTS ${table} CASCADE;
      CREATE TABLE ${table} (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
      CREATE OR REPLACE FUNCTION rows_of_${table}() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO writes SELECT id::bigint, '${driver}' FROM json_array_elements_text(NEW.sess->'ids') AS id;
        RETURN NULL;
      END $$;
      CREATE TRIGGER rows AFTER INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION rows_of_${table}();`);
    const PgStore = load('connect-pg-simple')(load('express-session'));
    const store = new PgStore({ pool, tableName: table });
    const { get, set } = promised(store);
    const write = async (/** @type {number[]} */ ids) => {
      await set(`s${ids[0]}`, sessionOf({ ids }));
      return get(`s${ids[0]}`);
    };
    return {
      one: (id) => write([id]),
      two: (first, second) => write([first, second]),
      end: async () => {
        await store.close();
        await pool.end();
      },
    };
  },
});
