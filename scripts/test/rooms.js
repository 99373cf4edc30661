'use strict';

// The test files, and those that a command names. A room is a folder of test/ whose files need the same.

const fs = require('node:fs');
const path = require('node:path');
const { nearest } = require('../../lib/options/did-you-mean.js');

const ROOT = path.join(__dirname, '..', '..');

/** The rooms of `npm test`, which has five minutes on two cores. */
const QUICK = [
  'unit',
  'server',
  'cluster',
  'reads',
  'kit',
  'ambient',
  'database',
  'exactly-once',
  'serverless',
  'clusters',
  'pg',
  'observability',
];
/** Every room with test files, in the order in which they are run. */
const ROOMS = [...QUICK, 'security', 'packaging', 'external', 'chaos', 'consistency'];

/** Files of these rooms that take long, because they count to thousands, wait or break servers: only `npm run test:full` runs them. */
const LONG = [
  'test/cluster/cli.test.js',
  'test/cluster/doctor.test.js',
  'test/cluster/exec.failures.test.js',
  'test/cluster/fence.lifted.test.js',
  'test/cluster/harness.start.test.js',
  'test/cluster/harness.test.js',
  'test/cluster/listen.test.js',
  'test/cluster/monitor.test.js',
  'test/cluster/pool.hosts.test.js',
  'test/cluster/pool.load.test.js',
  'test/clusters/cache.broadcast.test.js',
  'test/clusters/cache.redis.faults.test.js',
  'test/clusters/cache.redis.test.js',
  'test/clusters/cache.torture.test.js',
  'test/clusters/cli.migrate.test.js',
  'test/clusters/contract.faults.test.js',
  'test/clusters/contract.test.js',
  'test/clusters/health.failures.test.js',
  'test/clusters/health.multi.test.js',
  'test/clusters/migrations.failover.test.js',
  'test/clusters/migrations.races.test.js',
  'test/clusters/migrations.test.js',
  'test/clusters/routing.kinds.cases.test.js',
  'test/clusters/routing.kinds.test.js',
  'test/clusters/sharding.move.test.js',
  'test/clusters/strategies.test.js',
  'test/clusters/two-phase.answers.test.js',
  'test/clusters/two-phase.crash.test.js',
  'test/clusters/two-phase.failover.test.js',
  'test/clusters/two-phase.recovery.test.js',
  'test/clusters/two-phase.table.test.js',
  'test/exactly-once/replication.test.js',
  'test/observability/channels.test.js',
  'test/observability/dashboard.cluster.test.js',
  'test/observability/dashboard.looks.test.js',
  'test/observability/dashboard.page.test.js',
  'test/observability/failover.timeline.test.js',
  'test/observability/loggers.test.js',
  'test/observability/prometheus.live.test.js',
  'test/observability/stats.faults.test.js',
  'test/observability/stats.retries.test.js',
  'test/observability/transactions.test.js',
  'test/pg/chaos.test.js',
  'test/pg/copy.handed.test.js',
  'test/pg/facts/client.connect.test.js',
  'test/pg/facts/connecting.test.js',
  'test/pg/facts/copy-streams.abuse.test.js',
  'test/pg/facts/copy-streams.test.js',
  'test/pg/facts/listen.test.js',
  'test/pg/facts/packages.test.js',
  'test/pg/facts/pool.edges.test.js',
  'test/pg/facts/pool.lifetime.test.js',
  'test/pg/facts/pool.limits.test.js',
  'test/pg/facts/pool.process.test.js',
  'test/pg/facts/query.queue.test.js',
  'test/pg/facts/sizes.test.js',
  'test/pg/facts/timeouts.test.js',
  'test/pg/facts/tls.refusals.test.js',
  'test/pg/facts/tls.test.js',
  'test/pg/failover.clients.test.js',
  'test/pg/failover.test.js',
  'test/pg/pipelines.faults.test.js',
  'test/pg/traces.test.js',
  'test/pg/values.ssl.test.js',
  'test/reads/reads.balance.test.js',
  'test/reads/reads.fallback.test.js',
  'test/reads/reads.lag.test.js',
  'test/reads/reads.promotion.test.js',
  'test/server/cancel.commit.test.js',
  'test/server/classify.test.js',
  'test/server/copy.errors.test.js',
  'test/server/notices.test.js',
  'test/server/oracle.test.js',
  'test/server/plans.batch.test.js',
  'test/server/plans.ddl.test.js',
  'test/server/plans.errors.test.js',
  'test/server/plans.search-path.test.js',
  'test/server/plans.torture.test.js',
  'test/server/plans.types.test.js',
  'test/server/plans.views.test.js',
  'test/server/process.test.js',
  'test/server/reset.settings.test.js',
  'test/server/reset.ways.test.js',
  'test/serverless/cli.leases.test.js',
  'test/serverless/client.faults.test.js',
  'test/serverless/client.lost-replies.test.js',
  'test/serverless/heartbeat.test.js',
  'test/serverless/lambda.test.js',
  'test/serverless/reaper.foreign.test.js',
  'test/serverless/reaper.races.test.js',
  'test/serverless/renewal.test.js',
  'test/serverless/storm.test.js',
  'test/serverless/thaw.test.js',
];

/**
 * Files that measure memory or time, or load both cores: they run one after the other when all others have ended.
 */
const ALONE = [
  'test/ambient/torture.test.js',
  'test/chaos/matrix.test.js',
  'test/clusters/cache.torture.test.js',
  'test/clusters/two-phase.torture.test.js',
  'test/consistency/torture.test.js',
  'test/exactly-once/torture.test.js',
  'test/packaging/demo-clusters.test.js',
  'test/packaging/demo.test.js',
  'test/packaging/docs.test.js',
  'test/packaging/package.test.js',
  'test/pg/chaos.test.js',
  'test/security/hostile.memory.test.js',
  'test/security/hostile.sessions.test.js',
  'test/security/hostile.test.js',
  'test/serverless/client.lost-replies.test.js',
];

/** @param {string} folder @returns {string[]} */
function testFilesUnder(folder) {
  return fs.readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return testFilesUnder(name);
    return entry.name.endsWith('.test.js') ? [name] : [];
  });
}

/** @param {readonly string[]} rooms */
const filesOf = (rooms) => rooms.flatMap((room) => testFilesUnder(`test/${room}`).sort());

/** The files of `npm test`. */
const quickFiles = () => filesOf(QUICK).filter((file) => !LONG.includes(file));

/** `test/server/types.test.js` is `types`. @param {string} file */
const nameOf = (file) => path.basename(file, '.test.js');

/**
 * The files that a word names: a room, a file's path, or a part of a file's name.
 * @param {string} word
 * @returns {string[]}
 */
function filesNamed(word) {
  if (ROOMS.includes(word)) return filesOf([word]);
  if (word.endsWith('.js') && fs.existsSync(path.resolve(ROOT, word))) return [word];
  const all = filesOf(ROOMS);
  const found = all.filter((file) => nameOf(file).includes(nameOf(word)));
  if (found.length > 0) return found;
  const near = nearest(word, [...ROOMS, ...all.map(nameOf)]);
  const hint = near === undefined ? `the rooms are ${ROOMS.join(', ')}` : `did you mean '${near}'?`;
  throw new Error(`no room and no test file is called '${word}': ${hint}`);
}

/** @param {readonly string[]} words */
const filesNamedByAll = (words) => [...new Set(words.flatMap(filesNamed))];

module.exports = { ALONE, ROOMS, ROOT, filesNamedByAll, filesOf, quickFiles };
