'use strict';

// A local cluster for other processes: the process that owns it calls serve(), and every other one gets HYPERION_HOSTS and
// an HYPERION_CTL that is this file, run as `node ctl.js <port> <operation> <host:port> [mode]`. So one cluster started by
// hand (cli.js) serves many test runs, and the external mode can be tested without a cluster that is really external.

const net = require('node:net');

/** @typedef {import('../../../exports/testing/cluster/cluster.js').Cluster} Cluster */
/** @typedef {import('../../../exports/testing/cluster/server.js').Server} Server */

/** @type {Record<string, (node: Server, mode: any) => Promise<void>>} */
const OPERATIONS = {
  stop: (node, mode) => node.stop(mode),
  start: (node) => node.start(),
  promote: (node) => node.promote(),
  freeze: (node) => node.freeze(),
  thaw: (node) => node.thaw(),
  kill: (node, mode) => (mode === 'postmaster' ? node.killPostmaster() : node.crash()),
};

/**
 * @param {Cluster} cluster
 * @returns {Promise<{ env: Record<string, string>, close: () => void }>} the environment another process needs
 */
async function serve(cluster) {
  const server = net.createServer({ allowHalfOpen: true }, async (socket) => {
    const answer = await textOf(socket)
      .then((request) => execute(cluster, request))
      .then(
        () => '',
        (error) => error.message,
      );
    socket.end(answer);
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(undefined));
  });
  server.unref();
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  return { env: environment(cluster, port), close: () => server.close() };
}

/**
 * @param {Cluster} cluster
 * @param {number} port
 */
function environment(cluster, port) {
  return {
    HYPERION_HOSTS: cluster.hosts.join(','),
    HYPERION_PORT: String(cluster.nodes[0].port),
    HYPERION_USER: cluster.user,
    HYPERION_PASSWORD: cluster.password,
    HYPERION_DATABASE: cluster.database,
    HYPERION_CTL: `'${process.execPath}' '${__filename}' ${port}`,
  };
}

/**
 * @param {Cluster} cluster
 * @param {string} request
 */
async function execute(cluster, request) {
  const [operation, address, mode] = JSON.parse(request);
  const node = cluster.nodes.find((each) => each.address === address);
  if (!node) throw new Error(`no node ${address}`);
  if (!(operation in OPERATIONS)) throw new Error(`unknown operation ${operation}`);
  await OPERATIONS[operation](node, mode);
}

/**
 * @param {number} port
 * @param {string[]} request
 */
async function ask(port, request) {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(JSON.stringify(request));
  const failure = await textOf(socket);
  if (failure) throw new Error(failure);
}

/**
 * What the other side sends until it ends. Not `for await`, which destroys the socket before an answer can be sent.
 *
 * @param {net.Socket} socket
 * @returns {Promise<string>}
 */
function textOf(socket) {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}

if (require.main === module) {
  const [port, ...request] = process.argv.slice(2);
  ask(Number(port), request).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

exports.serve = serve;
