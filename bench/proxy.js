'use strict';

// The harness's proxy in a process of its own, so that neither a client nor the runner shares an event loop with it. It
// reports how busy it was: a proxy at its limit would spoil the figures.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const { performance } = require('node:perf_hooks');
const { TcpProxy } = require('../exports/testing/cluster/proxy.js');

/**
 * @param {{ host: string, port: number }} target
 * @param {number} latencyMs longer a round trip
 */
async function startProxy(target, latencyMs) {
  const child = fork(__filename, ['proxy'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the proxy ended')));
  ended.catch(() => {}); // it may end when nobody asks
  const ask = async (/** @type {object} */ question) => {
    child.send(question);
    const [answer] = await Promise.race([once(child, 'message'), ended]);
    return answer;
  };
  const { host, port } = await ask({ target, latencyMs });
  return {
    host: /** @type {string} */ (host),
    port: /** @type {number} */ (port),
    /** Share of time, since it was last asked, that its event loop was busy. */
    utilization: async () => /** @type {number} */ ((await ask({})).utilization),
    stop: () => child.disconnect(),
  };
}

function serve() {
  let last = performance.eventLoopUtilization();
  process.on('message', async (/** @type {any} */ { target, latencyMs }) => {
    if (target !== undefined) {
      const proxy = await TcpProxy.open(target);
      proxy.latency(latencyMs / 2); // it holds back each direction
      process.send?.({ host: proxy.host, port: proxy.port });
    } else {
      const now = performance.eventLoopUtilization();
      process.send?.({ utilization: performance.eventLoopUtilization(now, last).utilization });
      last = now;
    }
  });
  process.on('disconnect', () => process.exit());
}

if (require.main === module && process.argv[2] === 'proxy') serve();

module.exports = { startProxy };
