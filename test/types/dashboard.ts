// Type tests of pool.dashboard(). Compiled, never run.

import http from 'node:http';
import type { DashboardOptions, Pool } from '../../client.js';

declare const pool: Pool;

// Every option is named here, so that removing one, or changing its type, is noticed.
const options: Required<DashboardOptions> = { token: '', path: '/', allowedHosts: [''] };

http.createServer(pool.dashboard());
http.createServer(pool.dashboard(options));
http.createServer(pool.dashboard({ token: undefined }));

// @ts-expect-error a name, not a list
pool.dashboard({ allowedHosts: 'localhost' });
// @ts-expect-error no such option
pool.dashboard({ port: 8432 });
// @ts-expect-error it is a handler, not a server
pool.dashboard().listen(8432);
