'use strict';

// Standbys that are listeners only: they log a client in, answer the questions of its monitor and the point select, and take no
// memory of a PostgreSQL server. In a process of their own, so that their CPU time is not the client's.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const { FakeServer } = require('../../test/security/hostile/server.js');
const wire = require('../../test/security/hostile/wire.js');
const { load } = require('./point.js');

/** @param {string} systemIdentifier of the cluster that they belong to */
function script(systemIdentifier) {
  const { OID, int32 } = wire;
  const identity = wire.rowDescription(['system_identifier', 'timeline'].map((name) => [name, OID.text]));
  return {
    control: [identity, wire.dataRow([systemIdentifier, '1']), wire.complete('SELECT 1'), wire.ready()],
    statements: {
      [load.statements[0]]: {
        params: [OID.int4],
        columns: /** @type {import('../../test/security/hostile/wire.js').Column[]} */ ([
          ['id', OID.int4],
          ['name', OID.text],
          ['score', OID.int4],
        ]),
        rows: [[int32(1), 'item number 1', int32(1)]],
      },
    },
  };
}

/**
 * @param {number} count
 * @param {string} systemIdentifier
 * @returns {Promise<{ addresses: string[], stop(): void }>}
 */
async function startFakes(count, systemIdentifier) {
  const child = fork(__filename, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.send({ count, systemIdentifier });
  const [addresses] = await once(child, 'message');
  return { addresses, stop: () => child.kill() };
}

if (require.main === module) {
  process.once('message', async (/** @type {{ count: number, systemIdentifier: string }} */ job) => {
    const open = () => FakeServer.open(script(job.systemIdentifier), { role: 'standby' });
    const servers = await Promise.all(Array.from({ length: job.count }, open));
    process.send?.(servers.map(({ address }) => address));
  });
  process.on('disconnect', () => process.exit());
}

module.exports = { startFakes };
