'use strict';

// Prisma with @prisma/adapter-pg, handed the Pool of hyperiondb-client/pg under register: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('prisma');
