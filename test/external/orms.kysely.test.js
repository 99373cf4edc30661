'use strict';

// Kysely, handed the Pool of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('kysely', { node: 22 });
