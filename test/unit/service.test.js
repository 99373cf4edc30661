'use strict';

// The two files beside a connection string: the service file and the password file. What they say, where they are looked for,
// and what is refused or ignored.

const assert = require('node:assert/strict');
const path = require('node:path');
const { describe } = require('node:test');
const { setImmediate } = require('node:timers/promises');
const { FOLDER, core, file, refused } = require('../support/configured.js');
const { test } = require('../support/helpers.js');

describe('service file', () => {
  const PGSERVICEFILE = file(
    'services',
    `# comment
host=outside
[db]
  # another
  host=h  \t
port=6000\r
user=first
user=second

password= with = signs#
sslmode=require

[other]
host=o
[db]
dbname=too-late
[empty]
[spaces ]
host=s
[a]b]
host=odd
`,
  );
  const home = path.dirname(path.dirname(file('home/.pg_service.conf', '[db]\nhost=home\n[mine]\nhost=mine\n')));
  const HOME = path.join(home, 'home');
  const PGSYSCONFDIR = path.dirname(file('etc/pg_service.conf', '[db]\nhost=etc\n[theirs]\nhost=theirs\n'));

  // What is given, environment, host and port, what else.
  const TOLD = /** @type {[unknown, NodeJS.ProcessEnv, string, object?][]} */ ([
    [
      { service: 'db' },
      { PGSERVICEFILE },
      'h:6000',
      { user: 'first', passwords: [' with = signs#'], database: 'first' },
    ],
    ['service=db', { PGSERVICEFILE }, 'h:6000'],
    ['postgres:///?service=db', { PGSERVICEFILE }, 'h:6000'],
    [{}, { PGSERVICEFILE, PGSERVICE: 'db' }, 'h:6000'],
    [{ service: 'other', connectionString: 'service=db' }, { PGSERVICEFILE, PGSERVICE: 'empty' }, 'o:5432'],
    ['service=other', { PGSERVICEFILE, PGSERVICE: 'db' }, 'o:5432'],
    [{ service: 'spaces ' }, { PGSERVICEFILE }, 's:5432'],
    [{ service: 'a]b' }, { PGSERVICEFILE }, 'odd:5432'],
    // Between the string and the environment.
    ['service=db host=s', { PGSERVICEFILE, PGPORT: '7' }, 's:6000'],
    [{ service: 'other' }, { PGSERVICEFILE, PGPORT: '7', PGHOST: 'e' }, 'o:7'],
    [{ service: 'db', hosts: 'x', user: 'u' }, { PGSERVICEFILE }, 'x:6000', { user: 'u' }],
    [{ service: 'empty' }, { PGSERVICEFILE, PGHOST: 'e' }, 'e:5432'],
    // Where it is.
    [{ service: 'db' }, { HOME, PGSYSCONFDIR }, 'home:5432'],
    [{ service: 'mine' }, { HOME, PGSYSCONFDIR }, 'mine:5432'],
    [{ service: 'theirs' }, { HOME, PGSYSCONFDIR }, 'theirs:5432'],
    [{ service: 'theirs' }, { HOME: '/nowhere', PGSYSCONFDIR }, 'theirs:5432'],
    [{ service: 'theirs' }, { PGSERVICEFILE, HOME, PGSYSCONFDIR }, 'theirs:5432'],
    [{ hosts: 'x' }, { PGSERVICEFILE, PGSERVICE: '' }, 'x:5432'],
  ]);
  for (const [given, env, address, more = {}] of TOLD) {
    const names = Object.keys(env).join();
    test(`${JSON.stringify(given)} ${names}: ${address}`, () => {
      const told = core(given, { HOME: '/nowhere', ...env });
      assert.equal(told.hosts.map((/** @type {any} */ { host, port }) => `${host}:${port}`).join(), address);
      for (const [name, value] of Object.entries(more)) assert.deepEqual(told[name], value);
    });
  }

  test('its TLS is as if it stood in the string', () => {
    assert.equal(core({ service: 'db' }, { PGSERVICEFILE, HOME: '/nowhere' }).ssl.mode, 'require');
  });

  // A section's only line, and what is said of it.
  const WRONG = /** @type {[string, RegExp][]} */ ([
    ['hots=x', /service file ".*", line 2: unknown keyword 'hots': did you mean 'host'\?/],
    ['host = x', /line 2: there must be no space before '='/],
    ['hunter2', /line 2: there is no '='/],
    ['service=x', /line 2: a service cannot name another/],
    ['ldap://h/x', /line 2: a look-up by LDAP is not supported/],
    ['requirepeer=hunter2', /service 's': requirepeer is not supported/],
    ['sslmode=require password=hunter2', /service 's': sslmode must be one of/],
    ['port=hunter2', /service 's': port must be an integer/],
  ]);
  for (const [line, message] of WRONG) {
    test(`refused: ${line}`, () => {
      refused({ service: 's' }, { PGSERVICEFILE: file('wrong', `[s]\n${line}\n`) }, message);
    });
  }

  test('refused: a service that is not there, a file that is not there', () => {
    refused({ service: 'no' }, { PGSERVICEFILE, HOME, PGSYSCONFDIR }, /^service 'no' is not defined/);
    refused({}, { PGSERVICE: 'no', HOME, PGSYSCONFDIR }, /^service 'no' is not defined/);
    refused({ service: 'db' }, { PGSERVICEFILE: '/nowhere/x' }, /"\/nowhere\/x" \(PGSERVICEFILE\) does not exist/);
    refused({ service: 'db' }, { PGSERVICEFILE: FOLDER }, /cannot be read \(EISDIR\)/);
  });
});

describe('password file', () => {
  // The lines, and the password for user u, database d, host h, port 5432; each as psql 15 takes it.
  const TOLD = /** @type {[string, string | null][]} */ ([
    ['h:5432:d:u:p', 'p'],
    ['h:5432:d:u:p\r\n', 'p'],
    ['*:*:*:*:p', 'p'],
    ['*:*:*:*:first\n*:*:*:*:second', 'first'],
    ['x:*:*:*:p', null],
    ['*:5433:*:*:p', null],
    ['*:*:x:*:p', null],
    ['*:*:*:U:p', null],
    ['#h:5432:d:u:p', null],
    [' h:5432:d:u:p', null],
    ['\n\nh:5432:d:u:p', 'p'],
    ['h:5432:d:u', null],
    // Backslashes.
    ['\\h:5432:d:u:p', 'p'],
    ['\\*:*:*:*:star\n*:*:*:*:p', 'p'],
    ['h*:*:*:*:star\n*:*:*:*:p', 'p'],
    ['*:*:*:*:a\\:b\\\\c\\d', 'a:b\\cd'],
    ['*:*:*:*:a:b', 'a'],
    ['*:*:*:*:end\\', 'end\\'],
    ['*:*:*:*:kept  ', 'kept  '],
    // An empty one is none, and ends the search.
    ['*:*:*:*:\n*:*:*:*:p', null],
  ]);
  for (const [text, password] of TOLD) {
    test(`${JSON.stringify(text)}: ${password}`, () => {
      const passfile = file('pgpass', text);
      assert.deepEqual(core({ hosts: 'h', user: 'u', database: 'd', passfile }, {}).passwords, [password]);
    });
  }

  test('which host a line is for', () => {
    const passfile = file(
      'pgpass',
      'localhost:*:*:*:local\n10.0.0.1:*:*:*:address\nname:*:*:*:name\n/run/x:*:*:*:dir\n',
    );
    const table = /** @type {[string, (string | null)[]][]} */ ([
      ['host=/var/run/postgresql,/tmp,/run/x,localhost', ['local', 'local', 'dir', 'local']],
      // By the name where there is one, else by the address.
      ['hostaddr=10.0.0.1', ['address']],
      ['host=name hostaddr=10.0.0.1', ['name']],
      ['host=other hostaddr=10.0.0.1', [null]],
    ]);
    for (const [string, passwords] of table)
      assert.deepEqual(core(string, { PGPASSFILE: passfile }).passwords, passwords);
  });

  test('where it is: the option, the string, the environment, the home directory', () => {
    const home = path.dirname(file('home2/.pgpass', '*:*:*:*:home'));
    const [o, s, e] = ['o', 's', 'e'].map((name) => file(name, `*:*:*:*:${name}`));
    const table = /** @type {[unknown, NodeJS.ProcessEnv, string | null][]} */ ([
      [{ hosts: 'h', passfile: o, connectionString: `passfile=${s}` }, { PGPASSFILE: e, HOME: home }, 'o'],
      [`host=h passfile=${s}`, { PGPASSFILE: e, HOME: home }, 's'],
      ['host=h', { PGPASSFILE: e, HOME: home }, 'e'],
      ['host=h', { HOME: home }, 'home'],
      ['host=h', { PGPASSFILE: '/nowhere/x', HOME: home }, null],
      // It comes last.
      ['host=h', { PGPASSWORD: 'env', HOME: home }, 'env'],
      ["host=h password=''", { PGPASSWORD: 'env', HOME: home }, 'home'],
      [{ hosts: 'h', password: '' }, { HOME: home }, 'home'],
    ]);
    for (const [given, env, password] of table) assert.deepEqual(core(given, env).passwords, [password]);
  });

  for (const [why, make, complaint] of /** @type {const} */ ([
    ['others may read it', () => file('open', '*:*:*:*:p', 0o640), /has group or world access/],
    ['it is no file', () => FOLDER, /is not a plain file/],
  ])) {
    test(`ignored with one warning: ${why}`, async () => {
      /** @type {Error[]} */
      const warnings = [];
      const hear = (/** @type {Error} */ warning) => warnings.push(warning);
      process.on('warning', hear);
      assert.deepEqual(core({ hosts: 'a,b', passfile: make() }, {}).passwords, [null, null]);
      await setImmediate();
      process.off('warning', hear);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0].message, complaint);
    });
  }
});
