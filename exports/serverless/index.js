'use strict';

// hyperiondb-client/serverless: for processes that are frozen with their connections open. Names only; index.d.ts says what each does.

const { createLease, verifyLease } = require('../../client.js');
const { ServerlessClient } = require('./client.js');

module.exports = { ServerlessClient, createLease, verifyLease };
