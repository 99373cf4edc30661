'use strict';

// The worker of bridge.js: runs one statement after another, and wakes the main thread.

const { workerData } = require('node:worker_threads');
const { Client, types } = require('pg');

const { login, signal, port } = workerData;
types.setTypeParser(types.builtins.INT8, Number);

const client = new Client(login);
const connected = client.connect();

port.on('message', async (/** @type {{ sql: string, params: unknown[] }} */ { sql, params }) => {
  try {
    await connected;
    const result = await client.query(sql, params.length === 0 ? undefined : params);
    port.postMessage({ rows: result.rows, rowCount: result.rowCount });
  } catch (error) {
    const { message, code } = /** @type {any} */ (error);
    port.postMessage({ error: { message, code } });
  }
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
});
