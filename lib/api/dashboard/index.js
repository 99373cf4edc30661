'use strict';

// pool.dashboard(): a page in the browser that shows a pool, as a handler of HTTP requests. It only shows: no request changes
// anything, and none reaches a server of the cluster.
//
// feed.js looks at the pool (sample.js, history.js, error-minutes.js) and sends to the browsers (viewers.js); files.js has the files of
// page/, access.js says who may see them.

const { DASHBOARD } = require('../../options/dashboard-rows.js');
const { callOptions } = require('../../options/call-options.js');
const { Access } = require('./access.js');
const { Feed } = require('./feed.js');
const { fileOf } = require('./files.js');

/** @typedef {import('node:http').IncomingMessage & { originalUrl?: string, baseUrl?: string }} Request */
/** @typedef {import('node:http').ServerResponse} Response */
/** @typedef {Record<string, string | number>} Headers */

const METHODS = ['GET', 'HEAD'];
const EVENTS = 'events';
/** uPlot sets styles through the DOM, which `style-src` does not forbid (CSP 3, 6.7.3). */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Of every answer. @type {Headers} */
const SAFE = {
  'Content-Security-Policy': POLICY,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

/** Refuses wrong ones before anything is made. @param {unknown} options */
const dashboardOptions = (options) => callOptions(options, DASHBOARD);

/**
 * @param {Feed} feed
 * @param {Record<string, any>} options checked
 * @returns {(request: Request, response: Response) => void}
 */
function dashboardHandler(feed, { path, token, allowedHosts }) {
  const access = new Access({ token, allowedHosts });
  return (request, response) => {
    const [pathname, query] = addressOf(request);
    const name = nameOf(pathname, path);
    const answer = answerTo(request, response);
    if (!METHODS.includes(request.method ?? ''))
      return answer(405, 'Only GET and HEAD.', { Allow: METHODS.join(', ') });
    if (!access.knowsHost(request))
      return answer(403, 'The page is not there under this name: use the address that was printed.');
    const cookie = access.cookieFor(query, /** @type {any} */ (request.socket)?.encrypted === true);
    if (!access.isKnown(request) && cookie === undefined) {
      return answer(401, 'A token is needed: open the address with ?token=... that was printed.', {
        'WWW-Authenticate': 'Bearer realm="dashboard"',
      });
    }
    const isFolder = isMount(request, pathname);
    if (name === undefined && !isFolder) return answer(404, 'There is nothing here.');
    // Without the slash at the end the addresses in the page would lead beside it; and the token does not stay in the address bar.
    if (isFolder || (cookie !== undefined && name === '')) {
      const folder = isFolder ? `./${pathname.split('/').at(-1)}/` : './';
      return answer(303, '', { Location: folder, ...(cookie === undefined ? {} : { 'Set-Cookie': cookie }) });
    }
    if (name === EVENTS) return sendEvents(feed, request, response, answer);
    sendFile(name ?? '', request, response);
  };
}

/** The path as the browser has it, where a framework has taken away the beginning, and what follows the question mark. @param {Request} request @returns {[string, string]} */
function addressOf({ originalUrl, url = '/' }) {
  const [, pathname, query = ''] = /** @type {RegExpExecArray} */ (/^([^?#]*)(?:\?([^#]*))?/.exec(originalUrl ?? url));
  return [pathname, query];
}

/** Which of our files a path means; undefined: none. @param {string} pathname @param {string | undefined} folder where the page has to be */
function nameOf(pathname, folder) {
  const at = pathname.lastIndexOf('/') + 1;
  if (at === 0 || (folder !== undefined && pathname.slice(0, at) !== folder)) return undefined;
  const name = pathname.slice(at);
  return name === EVENTS || fileOf(name) !== undefined ? name : undefined;
}

/** Whether the path is where a framework has mounted the handler, without the slash at the end. @param {Request} request @param {string} pathname */
const isMount = ({ baseUrl }, pathname) => typeof baseUrl === 'string' && baseUrl.length > 1 && baseUrl === pathname;

/** @typedef {(status: number, text: string, headers?: Headers) => void} Answer */

/** A short answer. @param {Request} request @param {Response} response @returns {Answer} */
const answerTo = (request, response) => (status, text, headers) => {
  const body = text === '' ? '' : `${text}\n`;
  response.writeHead(status, {
    ...SAFE,
    'Cache-Control': 'no-store',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
};

/** @param {string} name @param {Request} request @param {Response} response */
function sendFile(name, { method, headers }, response) {
  const { body, type, etag } = /** @type {import('./files.js').File} */ (fileOf(name));
  // The browser asks each time: another version of this package may answer after a restart.
  const caching = { 'Cache-Control': 'no-cache', ETag: etag };
  if (headers['if-none-match'] === etag) {
    response.writeHead(304, { ...SAFE, ...caching }).end();
    return;
  }
  response.writeHead(200, { ...SAFE, ...caching, 'Content-Type': type, 'Content-Length': body.length });
  response.end(method === 'HEAD' ? undefined : body);
}

/** @param {Feed} feed @param {Request} request @param {Response} response @param {Answer} answer */
function sendEvents(feed, { method, headers }, response, answer) {
  // Another site can read nothing of it, and is not to hold connections open either.
  const site = headers['sec-fetch-site'] ?? 'none';
  if (site !== 'same-origin' && site !== 'none') return answer(403, 'The events are for the page itself.');
  if (feed.isFull) return answer(503, 'There are too many viewers.', { 'Retry-After': 10 });
  response.writeHead(200, {
    ...SAFE,
    // `no-transform`: compression would hold events back (of express: `compression`); X-Accel-Buffering: so would nginx.
    'Cache-Control': 'no-store, no-transform',
    'Content-Type': 'text/event-stream; charset=utf-8',
    'X-Accel-Buffering': 'no',
  });
  if (method === 'HEAD') response.end();
  else feed.watch(response);
}

module.exports = { Feed, dashboardHandler, dashboardOptions };
