// Types of hyperiondb-client/metrics, and of what a pool tells Prometheus.

import { createServer } from 'node:http';
import { createPool } from '../../client.js';
import { contentType, handler, metrics } from '../../exports/metrics/index.js';

const pool = createPool({ name: 'orders' });
const text: string = metrics() + pool.metrics();
const type: string = contentType;
const name: string = pool.name;
createServer(handler);
export { name, text, type };

// @ts-expect-error the name is that of the option
pool.name = 'stock';
// @ts-expect-error a name is text
createPool({ name: 5 });
// @ts-expect-error it takes nothing
metrics('orders');
