'use strict';

// TypeORM, handed the module as the option driver of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('typeorm');
