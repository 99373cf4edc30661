'use strict';

// slonik with @slonik/pg-driver, which loads pg itself and is given the face by register: beside pg, and while the primary is replaced.

const { testLibrary } = require('./orms/library.js');

testLibrary('slonik', { node: 24 });
