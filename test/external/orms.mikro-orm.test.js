'use strict';

// MikroORM, handed a dialect of Kysely on the Pool of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('mikro-orm', { node: 22 });
