'use strict';

// Connecting: https://node-postgres.com/apis/client, and pg's own test/integration/client and test/unit/client.

const assert = require('node:assert/strict');
const { failureOf } = require('../../support/helpers.js');
const { fact } = require('../support.js');

fact('client: connect() resolves to the client', async (_t, face) => {
  const client = face.unconnected();
  assert.equal(await client.connect(), client);
});

fact('client: connecting twice is an error', async (_t, face) => {
  const client = await face.client();
  const error = await failureOf(client.connect());
  assert.equal(error.message, 'Client has already been connected. You cannot reuse a client.');
});
