'use strict';

// Shows what a pool sends, piece by piece.

const net = require('node:net');

/**
 * A relay in front of a node that records each piece that the client sends, and may change it. The pieces of a login are recorded,
 * too.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ host: string, port: number }} node
 * @param {(piece: Buffer) => Buffer} [change]
 * @param {(piece: Buffer) => boolean} [cuts] whether the connection is cut in place of this piece of the server
 */
async function relayTo(t, { host, port }, change = (piece) => piece, cuts = () => false) {
  /** @type {string[]} */
  const pieces = [];
  /** @type {string[]} */
  const conversations = [];
  const server = net.createServer((client) => {
    const number = conversations.push('') - 1;
    const upstream = net.connect(port, host);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on('data', (piece) => {
      pieces.push(piece.toString('latin1'));
      conversations[number] += piece.toString('latin1');
      upstream.write(change(piece));
    });
    upstream.on('data', (piece) => (cuts(piece) ? client.destroy() : client.write(piece)));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => server.close());
  const address = /** @type {net.AddressInfo} */ (server.address());
  // Without the pieces of the monitor, which are not work of the pool.
  const sent = () => pieces.splice(0).filter((piece) => !piece.includes('pg_is_in_recovery'));
  return {
    host: `127.0.0.1:${address.port}`,
    port: address.port,
    sent,
    /** Everything that clients have sent, a text for each connection. */
    conversations: () => [...conversations],
  };
}

/** The beginnings of a connection that asks for TLS, and of one that cancels a statement (PostgreSQL docs, 54.7 "Message Formats"). */
const SSL_REQUEST = '\0\0\0\x08\x04\xd2\x16\x2f';
const CANCEL_REQUEST = '\0\0\0\x10\x04\xd2\x16\x2e';

/**
 * The messages that a client has sent on a connection without TLS, from its login on: each by its type, with its body.
 * @param {string} conversation
 */
function messagesIn(conversation) {
  const bytes = Buffer.from(conversation, 'latin1');
  let at = conversation.startsWith(SSL_REQUEST) ? SSL_REQUEST.length : 0;
  // The message of the startup has no type.
  at += bytes.readInt32BE(at);
  /** @type {{ type: string, body: string }[]} */
  const messages = [];
  while (at < bytes.length) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    messages.push({ type: conversation[at], body: conversation.slice(at + 5, end) });
    at = end;
  }
  return messages;
}

module.exports = { CANCEL_REQUEST, SSL_REQUEST, messagesIn, relayTo };
