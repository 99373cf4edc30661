'use strict';

// hyperiondb-client/metrics: the metrics of all open pools as text for Prometheus, and a handler for node:http that serves them.

const client = /** @type {any} */ (require('../../client.js'));

const { CONTENT_TYPE: contentType, metrics } = client[Symbol.for('hyperiondb-client.options')];

const TEXT = { 'Content-Type': 'text/plain; charset=utf-8' };

/**
 * Answers a scrape, at whatever path.
 * @param {import('node:http').IncomingMessage} req
 * @param {import('node:http').ServerResponse} res
 */
function handler(req, res) {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    answer(res, 405, { ...TEXT, Allow: 'GET, HEAD' }, 'GET and HEAD only\n');
    return;
  }
  let text;
  try {
    text = metrics();
  } catch (error) {
    // An exception here would end the process, and no scrape is worth that.
    answer(res, 500, TEXT, `${/** @type {Error} */ (error).message}\n`);
    return;
  }
  answer(res, 200, { 'Content-Type': contentType, 'Cache-Control': 'no-store' }, text);
}

/**
 * @param {import('node:http').ServerResponse} res
 * @param {number} status
 * @param {Record<string, string>} headers
 * @param {string} text which node:http leaves out of an answer to HEAD
 */
function answer(res, status, headers, text) {
  res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(text) });
  res.end(text);
}

module.exports = { contentType, handler, metrics };
