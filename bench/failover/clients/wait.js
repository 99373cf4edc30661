'use strict';

/** How long a caller waits for a primary, with every client that has such a limit. */
exports.WAIT_MS = 30_000;
