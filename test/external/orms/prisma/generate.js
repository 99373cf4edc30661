'use strict';

// The client that Prisma generates for schema.prisma, in the folder of the packages. `prisma generate` wants to download its schema engine,
// which it then does not use: the client compiles its queries by WebAssembly. So it is told that there is one.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { load } = require('../program.js');

const SCHEMA = path.join(__dirname, 'schema.prisma');

/** @returns {any} the generated module */
function prismaClient() {
  const folder = path.join(path.dirname(load.resolve('prisma/package.json')), '..', '..', 'prisma');
  const schema = path.join(folder, 'schema.prisma');
  const isThere = () => fs.existsSync(schema) && fs.readFileSync(schema, 'utf8') === fs.readFileSync(SCHEMA, 'utf8');
  if (!isThere()) {
    // In a folder of its own that is renamed, because several processes may do so at once.
    const draft = `${folder}-${process.pid}`;
    fs.mkdirSync(draft);
    fs.copyFileSync(SCHEMA, path.join(draft, 'schema.prisma'));
    execFileSync(process.execPath, [load.resolve('prisma/build/index.js'), 'generate', '--schema', 'schema.prisma'], {
      cwd: draft,
      env: { ...process.env, CHECKPOINT_DISABLE: '1', PRISMA_SCHEMA_ENGINE_BINARY: process.execPath },
      stdio: 'pipe',
    });
    try {
      fs.rmSync(folder, { recursive: true, force: true });
      fs.renameSync(draft, folder);
    } catch (error) {
      // Another process was faster.
      if (!isThere()) throw error;
      fs.rmSync(draft, { recursive: true });
    }
  }
  return load(path.join(folder, 'client'));
}

module.exports = { prismaClient };
