'use strict';

// Knex, handed the Pool as connectionPool, and the Client by a client class of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('knex');
