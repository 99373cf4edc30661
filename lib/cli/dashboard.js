'use strict';

// `dashboard`: a page in the browser that shows a cluster, live, until Ctrl-C. The page is that of pool.dashboard().

const { randomBytes } = require('node:crypto');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');

/** @typedef {import('../../client.js').Pool} Pool */

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
const TOKEN_BYTES = 24;
const PROBE_EVERY_MS = 1_000;
const PROBE_TIMEOUT_MS = 5_000;
const PROBE = 'SELECT 1';
/** What this machine is called by a browser on it. */
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/**
 * @param {import('./arguments.js').Arguments} asked
 * @param {(options: import('../../client.js').PoolOptions) => Pool} openPool
 * @param {NodeJS.WritableStream} out
 * @returns {Promise<number>} the exit code
 */
async function serveDashboard({ pool: options, page }, openPool, out) {
  const pool = openPool({
    ...options,
    applicationName: 'hyperiondb-client dashboard',
    name: 'dashboard',
    poolSize: 2,
    reads: { balance: 'round-robin', poolSize: 1 },
  });
  const server = http.createServer();
  try {
    const { address, port } = await listen(server, page);
    const isLoopback = isLoopbackAddress(address);
    const token = isLoopback ? undefined : randomBytes(TOKEN_BYTES).toString('base64url');
    const allowedHosts = isLoopback ? [...new Set([...LOOPBACK, inUrl(address)])] : undefined;
    server.on('request', pool.dashboard({ path: '/', token, allowedHosts }));
    const url = `http://${nameOf(address)}:${port}/${token === undefined ? '' : `?token=${token}`}`;
    out.write(`dashboard: ${url}  (Ctrl-C ends it)\n`);
    if (token !== undefined) {
      out.write(
        'The page is not encrypted: in a network that you do not trust, leave it on loopback and use an SSH tunnel.\n',
      );
    }
    const stopProbes = probe(pool);
    await untilStopped();
    stopProbes();
    return 0;
  } finally {
    server.close();
    // It ends the streams of the page, too.
    await pool.end({ timeoutMs: PROBE_EVERY_MS });
    server.closeAllConnections();
  }
}

/** @param {http.Server} server @param {{ host: string, port: number }} page @returns {Promise<net.AddressInfo>} */
function listen(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const reasons = /** @type {Record<string, string>} */ ({
        EADDRINUSE: `port ${port} of ${host} is in use: choose another one with --port`,
        EACCES: `port ${port} of ${host} is not for this user: choose another one with --port`,
        EADDRNOTAVAIL: `${host} is no address of this machine: choose one with --host`,
        ENOTFOUND: `${host} is no address of this machine: choose one with --host`,
      });
      reject(new Error(reasons[error.code ?? ''] ?? error.message));
    });
    server.listen(port, host, () => resolve(/** @type {net.AddressInfo} */ (server.address())));
  });
}

/** @param {string} address */
const isLoopbackAddress = (address) => address === '::1' || (net.isIPv4(address) && address.startsWith('127.'));

/** @param {string} address */
const inUrl = (address) => (net.isIPv6(address) ? `[${address}]` : address);

/** What to write into a browser: an address that means all of them is none. @param {string} address */
const nameOf = (address) => (address === '0.0.0.0' || address === '::' ? os.hostname() : inUrl(address));

/**
 * Asks the primary and each standby once a second, so that the page has latencies to show.
 * @param {Pool} pool
 * @returns {() => void} ends it
 */
function probe(pool) {
  // One at a time on the primary: those that wait for the next one would tell nothing more.
  let isAsking = false;
  const limits = { timeoutMs: PROBE_TIMEOUT_MS };
  // A failure is on the page: it has been counted.
  const ignore = () => {};
  const timer = setInterval(() => {
    for (const { role, fit } of pool.nodes()) if (role === 'standby' && fit) pool.read(PROBE, [], limits).catch(ignore);
    if (isAsking) return;
    isAsking = true;
    pool
      .query(PROBE, [], limits)
      .catch(ignore)
      .then(() => {
        isAsking = false;
      });
  }, PROBE_EVERY_MS);
  return () => clearInterval(timer);
}

/** Resolves at a signal; a second one ends the process. */
async function untilStopped() {
  await new Promise((resolve) => {
    for (const signal of SIGNALS) process.once(signal, resolve);
  });
}

module.exports = { serveDashboard };
