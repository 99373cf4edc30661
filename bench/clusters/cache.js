'use strict';

// `npm run bench:cache`: what a hit of the cache costs beside the query that it saves.
//
//   node bench/clusters/cache.js [--rounds 9] [--calls 2000] [--redis 127.0.0.1:6379]
//
// One call at a time, of one row and of 100 rows: the query through MultiClusterPostgres, the same from the memory of the process, stored
// as it is and deflated, with --redis from a Redis that is there already, and for comparison what a cache without copies of its own
// does: an object in a Map, and the same copied by structuredClone. All ways take turns; printed is the median of the rounds, with the
// half of the rounds that is in the middle, in microseconds a call.

const os = require('node:os');
const { parseArgs } = require('node:util');
const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
const { startCluster } = require('../../test/support/cluster');

const STATEMENTS = {
  'one row': "SELECT 7 AS id, 'a name' AS name, 12.50::numeric AS price, now() AS at",
  '100 rows': "SELECT n AS id, 'a name' AS name, 12.50::numeric AS price, now() AS at FROM generate_series(1, 100) n",
};

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '9' },
      calls: { type: 'string', default: '2000' },
      redis: { type: 'string' },
    },
  });
  const [rounds, calls] = [Number(values.rounds), Number(values.calls)];
  for (const [name, value] of Object.entries({ rounds, calls })) {
    if (!(Number.isInteger(value) && value > 0)) throw new Error(`--${name} must be a whole number from 1`);
  }
  return { rounds, calls, redis: values.redis };
}

/** @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round((sorted.length - 1) * share)];
}

/** @param {() => Promise<unknown>} call @param {number} calls @returns {Promise<number>} us a call */
async function measure(call, calls) {
  const began = performance.now();
  for (let i = 0; i < calls; i++) await call();
  return ((performance.now() - began) * 1_000) / calls;
}

async function main() {
  const { rounds, calls, redis } = options();
  const cluster = await startCluster({ nodes: 1, settings: { shared_buffers: '64MB', jit: false } });
  const { hosts, user, password, database } = cluster;
  const [host, port] = (redis ?? '').split(':');
  const client = redis === undefined ? null : new (require('ioredis').Redis)({ host, port: Number(port) });
  /** @type {Record<string, any>} */
  const caches = {
    'hit in memory': {},
    'hit in memory, deflated': { enableCompression: true, compressionThreshold: 0 },
  };
  if (client !== null) caches['hit in Redis'] = { provider: { redis: client, prefix: 'hyperiondb-bench' } };
  const multis = await Promise.all(
    Object.entries(caches).map(async ([way, cache]) => {
      const multi = new MultiClusterPostgres({ enableTransactions: false, cache });
      await multi.initialize({ items: { schemas: ['items'], hosts, user, password, database } });
      return /** @type {const} */ ([way, multi]);
    }),
  );
  try {
    console.log(
      `Node.js ${process.version}, PostgreSQL ${cluster.version}, ${os.availableParallelism()} x ${os.cpus()[0]?.model}`,
    );
    for (const [title, sql] of Object.entries(STATEMENTS)) {
      const [[, plain]] = multis;
      const kept = new Map([[sql, await plain.query(sql)]]);
      /** @type {Record<string, () => Promise<any>>} */
      const ways = {
        'the query': () => plain.query(sql),
        ...Object.fromEntries(multis.map(([way, multi]) => [way, () => multi.query(sql, [], { cache: true })])),
        'a Map, copied by structuredClone': async () => structuredClone(kept.get(sql)),
        'a Map, the same object for all': async () => kept.get(sql),
      };
      for (const [way, call] of Object.entries(ways)) {
        await measure(call, Math.ceil(calls / 4));
        if (way.startsWith('hit') && !(await call()).cached) throw new Error(`${way}: no hit`);
      }
      /** @type {Record<string, number[]>} */
      const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
      for (let round = 0; round < rounds; round++) {
        for (const [way, call] of Object.entries(ways)) times[way].push(await measure(call, calls));
      }
      console.log(`\n${title}`);
      for (const [way, all] of Object.entries(times)) {
        const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(all, share).toFixed(1));
        console.log(`  ${way.padEnd(34)} ${middle.padStart(8)} us   (${low}..${high})`);
      }
    }
  } finally {
    for (const [, multi] of multis) await multi.close();
    client?.disconnect();
    await cluster.stop();
  }
}

main();
