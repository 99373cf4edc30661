'use strict';

// Facts: what pg documents, or its own tests hold it to, each as a test that runs on pg and on hyperiondb-client/pg alike.
//
//   const { fact } = require('../support.js');
//   fact('query: a promise resolves to a Result', async (t, face) => {
//     const client = await face.client();
//     assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
//   });
//
// makes two tests, 'pg: query: ...' and 'face: query: ...', on one server of the file. A fact may not know which of the two it
// runs on. Where the face differs on purpose, the fact is written for pg, and the face's own test and the reason stand beside it:
//
//   fact('...', async (t, face) => { ... }, { differs: { reason: 'a sentence of the documentation', test: async (t, face) => { ... } } });
//
// `node test/pg/facts.js` runs all facts and counts them; test/pg/differences.test.js looks for the reasons in the documentation.

const fs = require('node:fs');
const path = require('node:path');
const { after, before } = require('node:test');
const { HANG_MS, test, until, useCluster } = require('../support/helpers.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {(t: TestContext, face: Face) => unknown} Body */
/** @typedef {{ reason: string, test: Body }} Difference */
/** @typedef {{ title: string, reason?: string }} Listed */

const FACE = path.join(__dirname, '..', '..', 'exports', 'pg');

// pg warns of things that facts do on purpose, as queries while another one runs.
process.noDeprecation = true;

/** The servers of a machine that has others, and the settings of whoever runs the tests, are not those of the facts. */
for (const name of Object.keys(process.env)) if (/^PG[A-Z]+$/.test(name)) delete process.env[name];

const MODULES = {
  pg: () => ({
    pg: require('pg'),
    Cursor: require('pg-cursor'),
    QueryStream: require('pg-query-stream'),
    copyStreams: require('pg-copy-streams'),
  }),
  face: () => {
    const pg = require(path.join(FACE, 'index.js'));
    return {
      pg,
      Cursor: pg.Cursor,
      QueryStream: pg.QueryStream,
      copyStreams: require(path.join(FACE, 'copy-streams.js')),
    };
  },
};

/** What a fact runs on. */
class Face {
  #t;
  #db;

  /** @param {TestContext} t @param {'pg' | 'face'} name @param {import('../support/helpers.js').Database} db */
  constructor(t, name, db) {
    this.#t = t;
    this.#db = db;
    this.name = name;
    const { pg, Cursor, QueryStream, copyStreams } = MODULES[name]();
    /** @type {any} */
    this.pg = pg;
    /** @type {any} */
    this.Cursor = Cursor;
    /** @type {any} */
    this.QueryStream = QueryStream;
    /** `from` and `to`. @type {any} */
    this.copyStreams = copyStreams;
  }

  /** How the server of the file is reached. */
  get config() {
    const { hosts, user, password, database } = this.#db.cluster;
    const [host, port] = hosts[0].split(':');
    return { host, port: Number(port), user, password, database };
  }

  /** The server of the file, for what no client of a fact should do. */
  get server() {
    return this.#db.cluster.primary();
  }

  /** Ends the session of a client as an administrator does. @param {{ processID: number }} client */
  terminate({ processID }) {
    return this.server.sql(`SELECT pg_terminate_backend(${processID})`);
  }

  /** Waits until the session of a client runs a statement. @param {{ processID: number }} client */
  untilActive({ processID }) {
    return until('the session runs a statement', async () => {
      const [row] = await this.server.sql(`SELECT state FROM pg_stat_activity WHERE pid = ${processID}`);
      return row?.state === 'active';
    });
  }

  /** Waits until the server has no session of that process. @param {number} processID */
  untilGone(processID) {
    return until('the session has ended', async () => {
      const rows = await this.server.sql(`SELECT 1 FROM pg_stat_activity WHERE pid = ${processID}`);
      return rows.length === 0;
    });
  }

  /** A Client that has not connected, and is ended after the fact. @param {Record<string, unknown>} [config] @returns {any} */
  unconnected(config) {
    const client = new this.pg.Client({ ...this.config, ...config });
    this.#t.after(() => ends(client));
    return client;
  }

  /** A connected Client that is ended after the fact. @param {Record<string, unknown>} [config] @returns {Promise<any>} */
  async client(config) {
    const client = this.unconnected(config);
    await client.connect();
    return client;
  }

  /** A Pool that is ended after the fact. @param {Record<string, unknown>} [options] @returns {any} */
  pool(options) {
    const pool = new this.pg.Pool({ ...this.config, ...options });
    this.#t.after(() => (pool.ending ? undefined : ends(pool)));
    return pool;
  }
}

/**
 * The arguments of the next event of that name, also where an error comes before, which events.once() takes for a failure.
 * @param {any} emitter
 * @param {string} name
 * @returns {Promise<any[]>}
 */
const emitted = (emitter, name) =>
  new Promise((resolve) => emitter.once(name, (/** @type {any[]} */ ...args) => resolve(args)));

/** @param {any} one a Client or a Pool */
async function ends(one) {
  // A client that the fact broke says so once more while it is ended.
  one.on('error', () => {});
  const hangs = Symbol('it hangs');
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, HANG_MS / 4, hangs);
  });
  const first = await Promise.race([one.end(), late]);
  clearTimeout(timer);
  if (first === hangs) throw new Error(`${one.constructor.name}.end() did not end after the fact`);
}

/** A fact takes far less; the bound is only there so that one that hangs does not take the whole file with it. */
const timeout = HANG_MS / 4;

/** The facts of this process, if they are listed and not run. @type {Listed[] | undefined} */
let listed;

/** @type {import('../support/helpers.js').Database | undefined} */
let database;
const counts = { facts: 0, pg: 0, face: 0, differences: 0 };

/**
 * The server of the file, if it is not one node without TLS: called before the first fact.
 * @param {import('../support/cluster').ClusterOptions} [options]
 * @param {() => Promise<() => void>} [prepare] what the facts need beside the server; it resolves to what removes that
 * @returns {import('../support/helpers.js').Database}
 */
function useServer(options, prepare) {
  if (listed !== undefined) return /** @type {any} */ (undefined);
  database = useCluster({ nodes: 1, ...options });
  if (prepare !== undefined) {
    /** @type {(() => void) | undefined} */
    let remove;
    before(
      async () => {
        remove = await prepare();
      },
      { timeout: HANG_MS },
    );
    after(() => remove?.());
  }
  after(() => {
    console.log(countsLine(counts));
  });
  return database;
}

/** @param {typeof counts} counts */
const countsLine = ({ facts, pg, face, differences }) =>
  `facts: ${facts}; passed on pg: ${pg}; passed on the face: ${face}; differences: ${differences}`;

/**
 * @param {string} title
 * @param {Body} body
 * @param {{ differs?: Difference }} [options]
 */
function fact(title, body, { differs } = {}) {
  if (listed !== undefined) {
    listed.push({ title, reason: differs?.reason });
    return;
  }
  const db = database ?? useServer();
  counts.facts += 1;
  if (differs !== undefined) counts.differences += 1;
  test(`pg: ${title}`, { timeout }, async (t) => {
    await body(t, new Face(t, 'pg', db));
    counts.pg += 1;
  });
  test(`face: ${title}`, { timeout }, async (t) => {
    await (differs?.test ?? body)(t, new Face(t, 'face', db));
    counts.face += 1;
  });
}

/**
 * The arguments with which a callback is called, of a function that takes one.
 * @param {(callback: (...args: any[]) => void) => unknown} start
 * @returns {Promise<any[]>}
 */
const called = (start) => new Promise((resolve) => start((...args) => resolve(args)));

/**
 * The first lines of a program that runs in a process of its own (printedBy of test/support/helpers.js): `pg` and `config`.
 * @param {Face} face
 */
const programOf = (face) => `
  const pg = require(${JSON.stringify(require.resolve(face.name === 'pg' ? 'pg' : FACE))});
  const config = ${JSON.stringify(face.config)};`;

const FACTS = path.join(__dirname, 'facts');

/** The files of facts. @returns {string[]} */
const factFiles = () =>
  fs
    .readdirSync(FACTS)
    .filter((name) => name.endsWith('.test.js'))
    .sort()
    .map((name) => path.join(FACTS, name));

/** The facts of all files, which are not run by that. @returns {Listed[]} */
function listFacts() {
  listed = [];
  for (const file of factFiles()) require(file);
  return listed;
}

module.exports = { called, countsLine, emitted, fact, factFiles, listFacts, programOf, useServer };
