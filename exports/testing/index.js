'use strict';

// hyperiondb-client/testing: for the tests of programs that use the package. Names only; index.d.ts says what each does.
// test-transaction.js rolls back what a test has done, test-pool.js skips tests where there is no server, test-cluster.js is the face
// of cluster/, which starts real servers and breaks them; the tests of this repository use cluster/ directly.

const { startTestCluster } = require('./test-cluster.js');
const { testPool } = require('./test-pool.js');
const { testTransaction, useTestTransaction } = require('./test-transaction.js');

module.exports = { startTestCluster, testPool, testTransaction, useTestTransaction };
