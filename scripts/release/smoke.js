'use strict';

// Whether an addon works on the machine it is for: `node scripts/release/smoke.js [ADDON]`. Needs nothing but Node, so that it runs
// in a bare container, and no PostgreSQL: a server of a few lines refuses the login, and its reason has to arrive as an
// error of the client. That takes the whole way: sockets, the protocol, the core's thread, the wake-up of the event loop.
//
// In the main thread, in worker threads, and in a second copy of the package in the same process.

const assert = require('node:assert/strict');
const net = require('node:net');
const path = require('node:path');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');
const { suffixOf, thisMachine } = require('../../lib/core/binding.js');
const { inspect } = require('./artefact.js');

const CLIENT = path.join(__dirname, '..', '..', 'client.js');
const WORD = 'smoke, and no fire';

/** A server that refuses every login with an ErrorResponse. @returns {Promise<{ port: number, close: () => void }>} */
function refuser() {
  const fields = ['SFATAL', 'VFATAL', 'C28P01', `M${WORD}`, ''].map((field) => `${field}\0`).join('');
  const answer = Buffer.alloc(5 + fields.length);
  answer.write('E');
  answer.writeInt32BE(answer.length - 1, 1);
  answer.write(fields, 5);
  const server = net.createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(answer)));
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address());
      resolve({ port, close: () => server.close() });
    });
  });
}

/** The error that a copy of the package reports. @param {number} port */
async function told(port) {
  const { createPool } = require(CLIENT);
  const pool = createPool({
    hosts: `127.0.0.1:${port}`,
    user: 'u',
    password: 'p',
    database: 'd',
    ssl: false,
    monitor: false,
  });
  const error = await pool.query('SELECT 1').then(
    () => ({ name: 'nothing', message: '' }),
    (/** @type {Error} */ error) => error,
  );
  await pool.end();
  return `${error.name}: ${error.message}`;
}

/** @param {number} port @returns {Promise<string>} */
function toldInWorker(port) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: port });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

async function main() {
  const machine = suffixOf(thisMachine());
  const file = path.resolve(process.argv[2] ?? path.join(CLIENT, '..', `hyperiondb-client.${machine}.node`));
  const { bytes, platform, arch, glibc, wrong } = inspect(file);
  assert.deepEqual(wrong, [], file);
  process.env.NAPI_RS_NATIVE_LIBRARY_PATH = file;
  const server = await refuser();
  try {
    const said = [await told(server.port)];
    for (const name of Object.keys(require.cache)) delete require.cache[name];
    said.push(await told(server.port), ...(await Promise.all([toldInWorker(server.port), toldInWorker(server.port)])));
    for (const line of said) assert.match(line, new RegExp(`^DatabaseError: .*${WORD}`));
  } finally {
    server.close();
  }
  const needs = glibc === null ? '' : `, glibc ${glibc}`;
  console.log(
    `${path.basename(file)}: ${platform}-${arch}${needs}, ${(bytes / 1e6).toFixed(2)} MB; works on ${machine}, Node ${process.version}`,
  );
}

if (isMainThread) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
} else {
  told(workerData).then((line) => parentPort?.postMessage(line));
}
