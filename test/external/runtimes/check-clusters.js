'use strict';

// The check of hyperiondb-client/clusters: a cache, a commit on two clusters, health. Both clusters are the one that there is.

const { MultiClusterPostgres } = require('hyperiondb-client/clusters');

/** @param {any} pool @param {any} login @param {(value: unknown) => unknown} shown */
async function checkClusters(pool, login, shown) {
  await pool.exec('DROP TABLE IF EXISTS taken, paid; CREATE TABLE taken (n int4); CREATE TABLE paid (n int4)');
  const multi = new MultiClusterPostgres();
  await multi.initialize({ stock: { schemas: ['stock'], ...login }, money: { schemas: ['money'], ...login } });
  const read = () => multi.query('SELECT $1::int8 AS v', [7n], { schema: 'stock', cache: true });
  const seen = [await read(), await read()].map(({ rows, cached }) => [shown(rows[0].v), cached]);
  await multi.withTransaction(['stock', 'money'], async (tx) => {
    await tx.query('INSERT INTO taken VALUES (1)', [], { schema: 'stock' });
    await tx.query('INSERT INTO paid VALUES (2)', [], { schema: 'money' });
  });
  const stored = await pool.many('SELECT n FROM taken UNION ALL SELECT n FROM paid');
  const { healthy } = await multi.healthCheck();
  const { transactions } = multi.getMetrics();
  await multi.close();
  return { seen, stored: stored.map(({ n }) => n), healthy, committed: transactions.committed };
}

module.exports = { checkClusters };
