'use strict';

// connect-pg-simple with express-session, handed the Pool of hyperiondb-client/pg, and with a pool that it makes itself: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('connect-pg-simple');
