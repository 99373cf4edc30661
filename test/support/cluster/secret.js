'use strict';

// The passwords of the harness's roles. They are random, so that nothing can know them by heart, and have a form of their own,
// so that scripts/leaks.js recognises them wherever they appear. One seed for all clusters of this user on this machine,
// because a template data directory (template.js) has them in it and outlives the process that made it.

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { cacheFolder } = require('./files');

const PREFIX = 'hyperion-secret-';
/** Every password of the harness, and nothing else. */
const SECRET = new RegExp(`${PREFIX}[0-9a-f]{24}`);

/** @type {string | undefined} */
let seed;

/** Made by whoever comes first; others find it whole or not at all. */
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
