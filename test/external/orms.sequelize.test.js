'use strict';

// Sequelize, handed the module as dialectModule of hyperiondb-client/pg: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('sequelize');
