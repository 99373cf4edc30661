'use strict';

// The passwords of the harness's roles. They are random, so that no file can contain them by accident, and have a form of their
// own, so that scripts/leaks.js recognises them wherever they appear. All clusters of a user on a machine share one seed, because
// a template data directory (template.js) contains them and outlives the process that made it.

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { cacheFolder } = require('./files.js');

const PREFIX = 'hyperion-secret-';
/** Matches every password of the harness, and nothing else. */
const SECRET = new RegExp(`${PREFIX}[0-9a-f]{24}`);

/** @type {string | undefined} */
let seed;

/** The first process makes the file; others find the whole file or none. */
function seedOfThisMachine() {
  const file = path.join(cacheFolder(), 'seed');
  if (!fs.existsSync(file)) {
    const draft = `${file}-${process.pid}-${crypto.randomUUID()}`;
    fs.writeFileSync(draft, crypto.randomBytes(32).toString('hex'), { mode: 0o600 });
    try {
      fs.linkSync(draft, file);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    } finally {
      fs.rmSync(draft);
    }
  }
  return fs.readFileSync(file, 'utf8');
}

/** The password of a role. @param {string} role */
function secretOf(role) {
  seed ??= seedOfThisMachine();
  return `${PREFIX}${crypto.createHmac('sha256', seed).update(role).digest('hex').slice(0, 24)}`;
}

module.exports = { SECRET, secretOf };
