'use strict';

// graphile-worker, handed the Pool of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('graphile-worker', { node: 24 });
