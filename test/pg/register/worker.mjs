// Loads pg in a worker thread, which inherits the flags of its process.

import { isMainThread, parentPort, Worker } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  worker.on('message', (seen) => console.log(JSON.stringify(seen)));
} else {
  const { createRequire } = await import('node:module');
  const require = createRequire(import.meta.url);
  const face = require('hyperiondb-client/pg');
  parentPort.postMessage({ isFace: require('pg') === face && (await import('pg')).default === face });
}
