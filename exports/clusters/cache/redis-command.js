'use strict';

// One way to send a command through a client of ioredis or of the package redis (node-redis), of one server or of a cluster. The
// clients are told apart by their methods, so that neither package is required.

/** So that node-redis leaves bytes in a reply as they are, from version 5 on (36 is `$`, the mark of a blob in the protocol) and in 4. */
const AS_BUFFERS = { typeMapping: { 36: Buffer }, returnBuffers: true };

/** @typedef {(key: string, args: (string | Buffer)[]) => Promise<any>} Command sends a command; `key` is one of its keys */

/** How a command is sent, by the kind of the client. @type {Record<string, (client: any) => Command>} */
const SEND = {
  ioredis: (client) => (_, args) => client.callBuffer(...args),
  'node-redis': (client) => (_, args) => client.sendCommand(args, AS_BUFFERS),
  'node-redis cluster': (client) => (key, args) => client.sendCommand(key, false, args, AS_BUFFERS),
  'node-redis sentinel': (client) => (_, args) => client.sendCommand(false, args, AS_BUFFERS),
};

/** @param {any} client @returns {keyof typeof SEND | null} null: none of those */
function kindOfRedis(client) {
  if (typeof client !== 'object' || client === null) return null;
  if (typeof client.callBuffer === 'function') return 'ioredis';
  if (typeof client.sendCommand !== 'function') return null;
  if (typeof client.getSlotRandomNode === 'function') return 'node-redis cluster';
  if (typeof client.getMasterNode === 'function') return 'node-redis sentinel';
  return 'node-redis';
}

/** @param {any} client @returns {Command} */
const commandOf = (client) => SEND[/** @type {string} */ (kindOfRedis(client))](client);

/** Whether the client says that it is not connected: a command would wait for that, and run at a time that nobody knows. @param {any} client */
function isDisconnected({ isReady, status }) {
  if (typeof status === 'string') return status !== 'ready' && status !== 'wait';
  return isReady === false;
}

module.exports = { commandOf, isDisconnected, kindOfRedis };
