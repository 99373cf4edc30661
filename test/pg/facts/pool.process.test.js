'use strict';

// What keeps a process that has a pool running, and what does not.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { Program } = require('./processes.js');
const { sleep, until } = require('../../support/helpers.js');

fact('process: it ends when its pool has ended', async (t, face) => {
  const program = new Program(
    t,
    face,
    `const pool = new pg.Pool({ ...config, idleTimeoutMillis: 600_000 });
     await pool.query('SELECT 1');
     await pool.end();
     console.log('ended');`,
  );
  const { code, lines, errors } = await program.ended;
  assert.deepEqual({ code, lines, errors }, { code: 0, lines: ['ended'], errors: '' });
});

fact('process: it ends when the idle clients have been closed by idleTimeoutMillis', async (t, face) => {
  const program = new Program(
    t,
    face,
    `const pool = new pg.Pool({ ...config, idleTimeoutMillis: 100 });
     pool.on('remove', () => console.log('removed'));
     await pool.query('SELECT 1');`,
  );
  const { code, lines, errors } = await program.ended;
  assert.deepEqual({ code, lines, errors }, { code: 0, lines: ['removed'], errors: '' });
});

fact('process: with allowExitOnIdle it ends although idle clients are there', async (t, face) => {
  const program = new Program(
    t,
    face,
    `const pool = new pg.Pool({ ...config, idleTimeoutMillis: 600_000, allowExitOnIdle: true });
     await pool.query('SELECT 1');
     (await pool.connect()).release();
     process.on('exit', () => console.log(pool.totalCount, pool.idleCount));`,
  );
  const { code, lines, errors } = await program.ended;
  assert.deepEqual({ code, lines, errors }, { code: 0, lines: ['1 1'], errors: '' });
});

fact('process: a statement that runs keeps it, with allowExitOnIdle, too', async (t, face) => {
  const program = new Program(
    t,
    face,
    `const pool = new pg.Pool({ ...config, allowExitOnIdle: true });
     await pool.query('SELECT 1');
     console.log((await pool.query("SELECT pg_sleep(0.3), 'answered' AS told")).rows[0].told);`,
  );
  const { code, lines } = await program.ended;
  assert.deepEqual({ code, lines }, { code: 0, lines: ['answered'] });
});

for (const [what, options, code] of /** @type {const} */ ([
  ['an idle client', '{ idleTimeoutMillis: 0 }', "await pool.query('SELECT 1');"],
  ['a client that is out', '{ allowExitOnIdle: true }', 'globalThis.client = await pool.connect();'],
])) {
  fact(`process: ${what} keeps it running`, async (t, face) => {
    const program = new Program(
      t,
      face,
      `const pool = new pg.Pool({ ...config, ...${options} }); ${code} console.log('held');`,
    );
    await until('the client is there', () => program.lines.length === 1);
    await sleep(300);
    assert.ok(program.isRunning);
  });
}
