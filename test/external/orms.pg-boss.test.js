'use strict';

// pg-boss, which loads pg itself and is given the face by register: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('pg-boss', { node: 24 });
