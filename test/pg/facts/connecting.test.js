'use strict';

// Where a client connects to: connection strings, PG* variables, pg.defaults, sockets. The documentation is
// https://node-postgres.com/features/connecting, and the rest are tests of pg-connection-string.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after } = require('node:test');
const { fact, useServer } = require('../support.js');
const { named } = require('../../support/helpers.js');

// Short, since the name of a socket has at most 107 bytes; open to the account that the server runs under.
const sockets = fs.mkdtempSync(path.join(os.tmpdir(), 'hp-'));
fs.chmodSync(sockets, 0o777);
process.on('exit', () => fs.rmSync(sockets, { recursive: true, force: true }));

const db = useServer({
  settings: { unix_socket_directories: sockets },
  hba: ['local all all scram-sha-256'],
});
if (db !== undefined) after(() => fs.rmSync(sockets, { recursive: true, force: true }));

/** Sets variables for one test. @param {import('node:test').TestContext} t @param {Record<string, string>} variables */
function setVariables(t, variables) {
  Object.assign(process.env, variables);
  t.after(() => {
    for (const name of Object.keys(variables)) delete process.env[name];
  });
}

/** The server as variables. @param {import('../support.js').Face} face */
const variablesOf = ({ config }) => ({
  PGHOST: config.host,
  PGPORT: String(config.port),
  PGUSER: config.user,
  PGPASSWORD: config.password,
  PGDATABASE: config.database,
});

/** The server as a connection string. @param {import('../support.js').Face} face @param {string} [query] */
function stringOf({ config }, query = '') {
  const { host, port, user, password, database } = config;
  return `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}${query}`;
}

/** Connects, asks who it is, and ends. @param {any} client @returns {Promise<any>} */
async function asked(client, text = 'SELECT current_user AS "user", current_database() AS database') {
  await client.connect();
  try {
    return (await client.query(text)).rows[0];
  } finally {
    await client.end();
  }
}

/** @param {import('../support.js').Face} face */
const expected = ({ config: { user, database } }) => ({ user, database });

fact('connecting: a string is the only argument of Client', async (_t, face) => {
  assert.deepEqual(await asked(new face.pg.Client(stringOf(face))), expected(face));
});

fact('connecting: connectionString of a Client', async (_t, face) => {
  assert.deepEqual(await asked(new face.pg.Client({ connectionString: stringOf(face) })), expected(face));
});

fact('connecting: connectionString of a Pool', async (t, face) => {
  const pool = new face.pg.Pool({ connectionString: stringOf(face) });
  t.after(() => pool.end());
  const { rows } = await pool.query('SELECT current_user AS "user", current_database() AS database');
  assert.deepEqual(rows, [expected(face)]);
});

fact('connecting: postgresql:// is another name of the scheme', async (_t, face) => {
  const string = stringOf(face).replace('postgres:', 'postgresql:');
  assert.deepEqual(await asked(new face.pg.Client(string)), expected(face));
});

fact('connecting: what the connection string names comes before the single options', async (_t, face) => {
  const client = new face.pg.Client({ connectionString: stringOf(face), host: 'elsewhere', port: 1, user: 'nobody' });
  assert.deepEqual(await asked(client), expected(face));
});

fact('connecting: a single option that the connection string cannot name is taken beside it', async (_t, face) => {
  const client = new face.pg.Client({ connectionString: stringOf(face), application_name: 'beside it' });
  assert.deepEqual(await asked(client, 'SHOW application_name'), { application_name: 'beside it' });
});

fact('connecting: parameters of the connection string are options', async (_t, face) => {
  const string = stringOf(face, '?application_name=of%20the%20string&statement_timeout=12345');
  assert.deepEqual(
    await asked(
      new face.pg.Client(string),
      "SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS timeout",
    ),
    { name: 'of the string', timeout: '12345ms' },
  );
});

fact('connecting: options of the connection string are settings of the session', async (_t, face) => {
  const string = stringOf(face, `?options=${encodeURIComponent('-c work_mem=7MB -c geqo=off')}`);
  assert.deepEqual(
    await asked(
      new face.pg.Client(string),
      "SELECT current_setting('work_mem') AS work_mem, current_setting('geqo') AS geqo",
    ),
    { work_mem: '7MB', geqo: 'off' },
  );
});

fact('connecting: user, password and database of a connection string are decoded', async (t, face) => {
  const name = `${named('us er')}/@:%`;
  await face.server.sql(`CREATE ROLE "${name}" LOGIN PASSWORD 'p@ss:w/or d%'; `);
  await face.server.sql(`CREATE DATABASE "${name}"`);
  t.after(async () => {
    await face.server.sql(`DROP DATABASE "${name}" WITH (FORCE)`);
    await face.server.sql(`DROP ROLE "${name}"`);
  });
  const { host, port } = face.config;
  const [encoded, secret] = [name, 'p@ss:w/or d%'].map(encodeURIComponent);
  // The name of a database is decoded by decodeURI(), which leaves %2F and its like.
  const client = new face.pg.Client(`postgres://${encoded}:${secret}@${host}:${port}/${face.config.database}`);
  assert.deepEqual(await asked(client), { user: name, database: face.config.database });
});

fact('connecting: host and port as parameters of the connection string', async (_t, face) => {
  const { host, port, user, password, database } = face.config;
  const string = `postgres://${user}:${encodeURIComponent(password)}@/${database}?host=${host}&port=${port}`;
  assert.deepEqual(await asked(new face.pg.Client(string)), expected(face));
});

fact('connecting: a connection string that is no URL throws, without its text', async (_t, face) => {
  assert.throws(
    () => new face.pg.Client('postgres://user:the-secret@host:not-a-port/db'),
    (error) => {
      assert.ok(error instanceof Error);
      assert.ok(!JSON.stringify({ ...error, message: error.message }).includes('the-secret'));
      return true;
    },
  );
});

fact('connecting: without a database its name is that of the user', async (_t, face) => {
  assert.equal(new face.pg.Client({ user: 'somebody' }).database, 'somebody');
  assert.equal(new face.pg.Client('postgres://somebody@localhost').database, 'somebody');
});

fact('connecting: host and port have defaults', async (_t, face) => {
  const client = new face.pg.Client({ user: 'somebody' });
  assert.deepEqual([client.host, client.port], ['localhost', 5432]);
});

fact('connecting: a port may be a text', async (_t, face) => {
  const { port, ...rest } = face.config;
  const client = new face.pg.Client({ ...rest, port: String(port) });
  assert.equal(client.port, port);
  assert.deepEqual(await asked(client), expected(face));
});

fact(
  'connecting: connectionParameters of a client tells where it connects, without showing the password',
  async (_t, face) => {
    const { connectionParameters } = new face.pg.Client(face.config);
    const { host, port, user, database } = connectionParameters;
    const { password, ...rest } = face.config;
    assert.deepEqual({ host, port, user, database }, rest);
    assert.equal(connectionParameters.password, password);
    assert.ok(!Object.keys(connectionParameters).includes('password'));
  },
);

fact('variables: PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say where a Client connects to', async (t, face) => {
  setVariables(t, variablesOf(face));
  assert.deepEqual(await asked(new face.pg.Client()), expected(face));
});

fact('variables: they say where a Pool connects to', async (t, face) => {
  setVariables(t, variablesOf(face));
  const pool = new face.pg.Pool();
  t.after(() => pool.end());
  const { rows } = await pool.query('SELECT current_user AS "user", current_database() AS database');
  assert.deepEqual(rows, [expected(face)]);
});

fact('variables: options come before them', async (t, face) => {
  setVariables(t, { PGHOST: 'elsewhere', PGPORT: '1', PGUSER: 'nobody', PGPASSWORD: 'wrong', PGDATABASE: 'nowhere' });
  assert.deepEqual(await asked(new face.pg.Client(face.config)), expected(face));
});

fact('variables: what a connection string leaves out comes from them', async (t, face) => {
  setVariables(t, variablesOf(face));
  assert.deepEqual(await asked(new face.pg.Client(`postgres:///${face.config.database}`)), expected(face));
});

fact('variables: a user beside a connection string without one does not count, but PGUSER does', async (t, face) => {
  setVariables(t, { PGUSER: 'of the variable' });
  const client = new face.pg.Client({ connectionString: 'postgres://localhost/db', user: 'beside it' });
  assert.equal(client.user, 'of the variable');
});

fact('variables: PGAPPNAME and PGOPTIONS', async (t, face) => {
  setVariables(t, { PGAPPNAME: 'of the variable', PGOPTIONS: '-c work_mem=9MB' });
  assert.deepEqual(
    await asked(
      new face.pg.Client(face.config),
      "SELECT current_setting('application_name') AS name, current_setting('work_mem') AS work_mem",
    ),
    { name: 'of the variable', work_mem: '9MB' },
  );
});

fact('variables: PGPASSFILE has the password when none is given', async (t, face) => {
  const { host, port, user, password, database } = face.config;
  const file = path.join(os.tmpdir(), named('pgpass'));
  const escaped = password.replace(/[\\:]/g, '\\$&');
  fs.writeFileSync(file, `${host}:${port}:${database}:${user}:${escaped}\n`, { mode: 0o600 });
  t.after(() => fs.rmSync(file));
  setVariables(t, { PGPASSFILE: file });
  assert.deepEqual(await asked(new face.pg.Client({ host, port, user, database })), expected(face));
});

fact(
  'defaults: a host, port, user, password and database that are set in pg.defaults are those of a Client without options',
  async (t, face) => {
    const { defaults } = face.pg;
    const before = Object.fromEntries(Object.keys(face.config).map((name) => [name, defaults[name]]));
    t.after(() => Object.assign(defaults, before));
    Object.assign(defaults, face.config);
    assert.deepEqual(await asked(new face.pg.Client()), expected(face));
  },
);

fact('defaults: pg.defaults are shared by all clients, options come before them', async (t, face) => {
  const { defaults } = face.pg;
  t.after(() => {
    defaults.application_name = undefined;
  });
  defaults.application_name = 'of the defaults';
  const SHOW = 'SHOW application_name';
  assert.deepEqual(await asked(new face.pg.Client(face.config), SHOW), { application_name: 'of the defaults' });
  assert.deepEqual(await asked(new face.pg.Client({ ...face.config, application_name: 'given' }), SHOW), {
    application_name: 'given',
  });
});

for (const [name, setting] of /** @type {const} */ ([
  ['statement_timeout', '54321ms'],
  ['lock_timeout', '54321ms'],
  ['idle_in_transaction_session_timeout', '54321ms'],
])) {
  fact(`connecting: ${name} is a setting of the session`, async (_t, face) => {
    const client = new face.pg.Client({ ...face.config, [name]: 54_321 });
    assert.deepEqual(await asked(client, `SHOW ${name}`), { [name]: setting });
  });
}

fact('connecting: keepAlive and keepAliveInitialDelayMillis are taken', async (_t, face) => {
  const client = new face.pg.Client({ ...face.config, keepAlive: true, keepAliveInitialDelayMillis: 1000 });
  assert.deepEqual(await asked(client), expected(face));
});

fact(
  'connecting: stream is the socket that a program makes',
  async (_t, face) => {
    let sockets = 0;
    const stream = () => {
      sockets += 1;
      return new net.Socket();
    };
    assert.deepEqual(await asked(new face.pg.Client({ ...face.config, stream })), expected(face));
    assert.equal(sockets, 1);
  },
  {
    differs: {
      reason: 'The options `stream` and `connection` are refused: the core opens the sockets.',
      test: async (_t, face) => {
        for (const config of [{ stream: () => new net.Socket() }, { connection: {} }]) {
          assert.throws(() => new face.pg.Client({ ...face.config, ...config }), {
            code: 'ERR_INVALID_OPTION',
            message: /^(stream|connection) is not supported/,
          });
        }
      },
    },
  },
);

fact(
  'connecting: client.connection.stream is a socket',
  async (_t, face) => {
    const client = await face.client();
    assert.ok(client.connection.stream instanceof net.Socket);
  },
  {
    differs: {
      reason:
        '`client.connection` has the events and the methods that packages use, and no socket: `client.connection.stream` takes what pg-copy-streams writes to it.',
      test: async (_t, face) => {
        const client = await face.client();
        assert.ok(!(client.connection.stream instanceof net.Socket));
      },
    },
  },
);

fact(
  'connecting: replication opens a session for commands of replication',
  async (_t, face) => {
    const client = await face.client({ replication: 'database' });
    const { rows } = await client.query('IDENTIFY_SYSTEM');
    assert.equal(rows[0].dbname, face.config.database);
  },
  {
    differs: {
      reason: 'The option `replication` is refused: the core does not speak the protocol of replication.',
      test: async (_t, face) => {
        assert.throws(() => new face.pg.Client({ ...face.config, replication: 'database' }), {
          code: 'ERR_INVALID_OPTION',
          message: /^replication is not supported/,
        });
      },
    },
  },
);

fact('sockets: a host that begins with / is the folder of a socket', async (_t, face) => {
  const client = new face.pg.Client({ ...face.config, host: sockets });
  const text = 'SELECT inet_server_addr() AS address, current_user AS "user"';
  assert.deepEqual(await asked(client, text), { address: null, user: face.config.user });
});

fact('sockets: a Pool connects by them, too', async (_t, face) => {
  const { rows } = await face.pool({ host: sockets }).query('SELECT inet_server_addr() AS address');
  assert.deepEqual(rows, [{ address: null }]);
});

fact('sockets: the folder as the encoded host of a connection string', async (_t, face) => {
  const { port, user, password, database } = face.config;
  const string = `postgres://${user}:${encodeURIComponent(password)}@${encodeURIComponent(sockets)}:${port}/${database}`;
  assert.deepEqual(await asked(new face.pg.Client(string), 'SELECT inet_server_addr() AS address'), { address: null });
});

fact('sockets: the folder as the parameter host of a connection string', async (_t, face) => {
  const { port, user, password, database } = face.config;
  const string = `postgres://${user}:${encodeURIComponent(password)}@/${database}?host=${sockets}&port=${port}`;
  assert.deepEqual(await asked(new face.pg.Client(string), 'SELECT inet_server_addr() AS address'), { address: null });
});

fact('sockets: socket: with the folder, user, password and db', async (t, face) => {
  const { port, user, password, database } = face.config;
  setVariables(t, { PGPORT: String(port) });
  const string = `socket://${user}:${encodeURIComponent(password)}@${sockets}?db=${database}`;
  assert.deepEqual(await asked(new face.pg.Client(string), 'SELECT inet_server_addr() AS address'), { address: null });
});

fact('sockets: a text of a folder and a database', async (t, face) => {
  const { port, user, password, database } = face.config;
  setVariables(t, { PGPORT: String(port), PGUSER: user, PGPASSWORD: password });
  const client = new face.pg.Client(`${sockets} ${database}`);
  assert.deepEqual(await asked(client), expected(face));
});

fact('sockets: a folder without a socket rejects with ENOENT', async (_t, face) => {
  const client = new face.pg.Client({ ...face.config, host: path.join(sockets, 'nothing') });
  await assert.rejects(client.connect(), { code: 'ENOENT' });
});
