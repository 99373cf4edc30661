'use strict';

// The files of the page. No other file can be asked for: a request chooses from this table, and its text is never a path.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const FOLDER = path.join(__dirname, 'page');
const SCRIPT = 'text/javascript; charset=utf-8';
const STYLE = 'text/css; charset=utf-8';

/** What a browser asks for, the file below page/, and its type. @type {Readonly<Record<string, readonly [file: string, type: string]>>} */
const FILES = {
  '': ['index.html', 'text/html; charset=utf-8'],
  'page.css': ['page.css', STYLE],
  'parts.css': ['parts.css', STYLE],
  'charts.css': ['charts.css', STYLE],
  'side.css': ['side.css', STYLE],
  'uplot.css': ['vendor/uPlot.min.css', STYLE],
  'uplot.js': ['vendor/uPlot.iife.min.js', SCRIPT],
  'theme.js': ['theme.js', SCRIPT],
  'icon.svg': ['icon.svg', 'image/svg+xml'],
  ...Object.fromEntries(
    [
      'chart',
      'chart-table',
      'charts',
      'connection',
      'dom',
      'errors',
      'failovers',
      'format',
      'health',
      'nodes',
      'page',
      'palette',
      'pool',
      'settings',
      'store',
      'tiles',
    ].map((name) => [`${name}.mjs`, /** @type {const} */ ([`${name}.mjs`, SCRIPT])]),
  ),
};

/** @typedef {{ body: Buffer, type: string, etag: string }} File */

/** Read once. @type {Map<string, File>} */
const read = new Map();

/** @param {string} name @returns {File | undefined} */
function fileOf(name) {
  const known = read.get(name);
  if (known !== undefined || !Object.hasOwn(FILES, name)) return known;
  const [file, type] = FILES[name];
  const body = fs.readFileSync(path.join(FOLDER, file));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  const made = { body, type, etag };
  read.set(name, made);
  return made;
}

module.exports = { FILES, fileOf };
