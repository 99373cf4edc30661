'use strict';

// `npm run bench:database`: `get` by primary key through openDatabase(), on PostgreSQL and on SQLite, beside better-sqlite3 without
// promises and beside a worker-thread bridge to PostgreSQL (bench/database/bridge/), with 1 and with 64 calls in flight.
//
//   node bench/database.js [--rounds 9] [--turns 6] [--seconds 0.1]
//
// The ways take turns in one process, many and short ones, so that only what is measured within seconds of each other is compared:
// each ratio is of the sums of one round, and the table has the median of the rounds and their quartiles. A synchronous way has no
// calls in flight: it makes 64 one after another, which is what such a program does for 64 users.
// Everything measured goes to bench/results/database/ as JSON.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { openDatabase } = require('../client.js');
const { startCluster } = require('../test/support/cluster');
const { openBridge } = require('./database/bridge/bridge.js');
const { rotated, short } = require('./report.js');

const RESULTS = path.join(__dirname, 'results/database');
const ROWS = 10_000;
const IN_FLIGHT = [1, 64];
/** What the others are compared with. */
const BASES = ['better-sqlite3, synchronous', 'bridge to PostgreSQL'];

const SELECT = 'SELECT id, name, score FROM bench_items WHERE id = ?';
const TABLE = 'CREATE TABLE bench_items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, score INTEGER NOT NULL)';

/**
 * @typedef {object} Way
 * @property {string} name
 * @property {(id: number) => any} get one row, or a promise of it
 * @property {boolean} isSynchronous
 * @property {() => unknown} close
 */

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '9' },
      turns: { type: 'string', default: '6' },
      seconds: { type: 'string', default: '0.1' },
    },
  });
  const [rounds, turns, seconds] = [values.rounds, values.turns, values.seconds].map(Number);
  for (const [name, value] of Object.entries({ rounds, turns, seconds })) {
    if (!(value > 0 && Number.isFinite(value))) throw new Error(`--${name} must be a number greater than 0`);
  }
  return { rounds, turns, seconds };
}

/** @param {import('../client.js').Database} db @param {string} name @returns {Way} */
function asynchronous(db, name) {
  const statement = db.prepare(SELECT);
  return { name, isSynchronous: false, get: (id) => statement.get(id), close: () => db.close() };
}

/** The same table in SQLite. @param {import('../client.js').Database} db */
async function fill(db) {
  const insert = db.prepare('INSERT INTO bench_items VALUES (?, ?, ?)');
  await db.exec(TABLE);
  await db.tx(async () => {
    for (let id = 1; id <= ROWS; id++) await insert.run(id, `item number ${id}`, id % 1000);
  });
}

/** @param {string} file @returns {Way | null} null: it is not installed, or not for this Node */
function plainSqlite(file) {
  try {
    // @ts-expect-error: it has no types of its own.
    const Database = require('better-sqlite3');
    const db = new Database(file);
    const statement = db.prepare(SELECT);
    return { name: BASES[0], isSynchronous: true, get: (id) => statement.get(id), close: () => db.close() };
  } catch {
    return null;
  }
}

/**
 * @param {import('../test/support/cluster').Cluster} cluster
 * @param {string} folder for the files of SQLite
 */
async function openWays(cluster, folder) {
  const { hosts, user, password, database } = cluster;
  const { host, port } = cluster.primary();
  /** @type {Way[]} */
  const ways = [asynchronous(await openDatabase({ hosts, user, password, database }), 'openDatabase, PostgreSQL')];
  const file = path.join(folder, 'bench.db');
  for (const driver of /** @type {const} */ (['node:sqlite', 'better-sqlite3'])) {
    const db = await openDatabase(`sqlite:${file}`, { driver }).catch(() => null);
    if (db === null) continue;
    if (ways.length === 1) await fill(db);
    ways.push(asynchronous(db, `openDatabase, SQLite by ${driver}`));
  }
  const plain = plainSqlite(file);
  if (plain !== null) ways.push(plain);
  const bridge = openBridge({ host, port, user, password, database });
  const statement = bridge.prepare(SELECT);
  ways.push({ name: BASES[1], isSynchronous: true, get: (id) => statement.get(id), close: () => bridge.close() });
  return ways;
}

/**
 * Calls per second of one turn.
 * @param {Way} way
 * @param {number} inFlight
 * @param {number} seconds
 */
async function turn({ get, isSynchronous }, inFlight, seconds) {
  let calls = 0;
  let id = 0;
  const next = () => {
    id = (id * 7919 + 13) % ROWS;
    return id + 1;
  };
  const started = performance.now();
  const until = started + seconds * 1000;
  if (isSynchronous) {
    while (performance.now() < until) {
      for (let i = 0; i < inFlight; i++) {
        const wanted = next();
        if (get(wanted).id !== wanted) throw new Error('another row');
      }
      calls += inFlight;
    }
  } else {
    const caller = async () => {
      while (performance.now() < until) {
        const wanted = next();
        if ((await get(wanted)).id !== wanted) throw new Error('another row');
        calls++;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, caller));
  }
  return { calls, ms: performance.now() - started };
}

/** @param {Way[]} ways @param {{ rounds: number, turns: number, seconds: number }} how */
async function measure(ways, { rounds, turns, seconds }) {
  /** Calls per second by round. @type {Record<string, Record<string, number>[]>} */
  const measured = {};
  for (const inFlight of IN_FLIGHT) {
    for (const way of ways) await turn(way, inFlight, Math.max(seconds, 0.3));
    measured[inFlight] = [];
    for (let round = 0; round < rounds; round++) {
      /** @type {Record<string, { calls: number, ms: number }>} */
      const sums = Object.fromEntries(ways.map(({ name }) => [name, { calls: 0, ms: 0 }]));
      for (let i = 0; i < turns; i++) {
        // Nobody is always the first.
        for (const way of rotated(ways, round + i)) {
          const { calls, ms } = await turn(way, inFlight, seconds);
          sums[way.name].calls += calls;
          sums[way.name].ms += ms;
        }
      }
      measured[inFlight].push(
        Object.fromEntries(Object.entries(sums).map(([name, { calls, ms }]) => [name, (calls / ms) * 1000])),
      );
    }
  }
  return measured;
}

/** The quartiles of some values. @param {number[]} values */
function quartiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return [0.25, 0.5, 0.75].map((share) => {
    const place = share * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return low + (high - low) * (place - Math.floor(place));
  });
}

/** @param {Record<string, Record<string, number>[]>} measured */
function report(measured) {
  for (const [inFlight, rounds] of Object.entries(measured)) {
    console.log(
      `\nget by primary key, ${inFlight} in flight: calls/s, and times a base (quartiles of ${rounds.length} rounds)\n`,
    );
    const names = Object.keys(rounds[0]);
    const bases = BASES.filter((base) => names.includes(base));
    console.log(
      `  ${'way'.padEnd(36)}${'calls/s'.padStart(10)}${bases.map((base) => `x ${base}`.padStart(34)).join('')}`,
    );
    for (const name of names) {
      const [, median] = quartiles(rounds.map((round) => round[name]));
      const ratios = bases.map((base) => {
        const [low, middle, high] = quartiles(rounds.map((round) => round[name] / round[base]));
        return `${middle.toPrecision(3)} (${low.toPrecision(3)} to ${high.toPrecision(3)})`.padStart(34);
      });
      console.log(`  ${name.padEnd(36)}${short(median).padStart(10)}${ratios.join('')}`);
    }
  }
}

async function main() {
  const how = options();
  const started = performance.now();
  const loadAverage = os.loadavg()[0].toFixed(1);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-bench-'));
  const cluster = await startCluster({ nodes: 1 });
  try {
    await cluster.primary().sql(TABLE);
    await cluster
      .primary()
      .sql(`INSERT INTO bench_items SELECT i, 'item number ' || i, i % 1000 FROM generate_series(1, ${ROWS}) i`);
    const ways = await openWays(cluster, folder);
    const cpu = `${os.availableParallelism()} x ${os.cpus()[0]?.model}`;
    console.log(`Node.js ${process.version}, PostgreSQL ${cluster.version}, ${cpu}, load average ${loadAverage}`);
    const measured = await measure(ways, how);
    for (const way of ways) await way.close();
    report(measured);
    const at = new Date().toISOString();
    fs.mkdirSync(RESULTS, { recursive: true });
    const file = path.join(RESULTS, `${at.replace(/[:.]/g, '-')}.json`);
    const machine = { node: process.version, postgresql: cluster.version, cpu, loadAverage };
    fs.writeFileSync(file, `${JSON.stringify({ at, ...how, ...machine, measured }, null, 2)}\n`);
    const minutes = ((performance.now() - started) / 60_000).toFixed(1);
    console.log(`\nAll figures: ${path.relative(process.cwd(), file)}, ${minutes} minutes`);
  } finally {
    await cluster.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
