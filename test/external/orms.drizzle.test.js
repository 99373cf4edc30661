'use strict';

// Drizzle, handed the Pool of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('drizzle');
