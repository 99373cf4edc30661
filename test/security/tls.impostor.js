'use strict';

// A man in the middle: ends a client's TLS with a certificate of its own, and speaks to the server by another TLS session.

const net = require('node:net');
const tls = require('node:tls');
const { SSL_REQUEST } = require('../support/relay.js');

/**
 * @param {import('node:test').TestContext} t
 * @param {{ host: string, port: number }} node
 * @param {{ cert: string, key: string }} identity
 * @returns {Promise<number>} its port
 */
async function impostorFor(t, { host, port }, { cert, key }) {
  const context = tls.createSecureContext({ cert, key });
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  const server = net.createServer((client) => {
    client.once('data', () => {
      const upstream = net.connect(port, host, () => upstream.write(SSL_REQUEST, 'latin1'));
      upstream.once('data', () => {
        const inner = new tls.TLSSocket(client, {
          isServer: true,
          secureContext: context,
          ALPNProtocols: ['postgresql'],
        });
        const outer = tls.connect({ socket: upstream, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] });
        client.write('S');
        join(inner, outer);
      });
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on('error', () => {});
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return /** @type {net.AddressInfo} */ (server.address()).port;
}

/** @param {tls.TLSSocket} one @param {tls.TLSSocket} other */
function join(one, other) {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ]) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}

module.exports = { impostorFor };
