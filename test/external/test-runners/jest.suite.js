'use strict';

const { facts } = require('./facts.js');

const { it, beforeEach, afterEach, afterAll } = /** @type {any} */ (globalThis);
facts({ it, beforeEach, afterEach, end: afterAll });
