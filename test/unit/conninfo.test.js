'use strict';

// Connection strings. The first table is libpq's own: every case of src/interfaces/libpq/t/001_uri.pl (PostgreSQL 18), with what
// its regression program prints for it; of the expected errors the kind is compared, because our words never have a value.

const assert = require('node:assert/strict');
const util = require('node:util');
const { parseConninfo } = require('../../lib/options/conninfo.js');
const { OptionError } = require('../../lib/errors.js');
const { parseOptions } = require('../../lib/options/options.js');
const { test } = require('../support/helpers.js');

/** The kinds of errors. */
const UNKNOWN = /unknown keyword/;
const NO_EQUALS = /no '='/;
const TWO_EQUALS = /more than one '='/;
const PERCENT = /two hexadecimal digits/;
const SPACES = /spaces/;

/** [the string, what it says, environment] @type {[string, Record<string, string> | RegExp, NodeJS.ProcessEnv?][]} */
const LIBPQ = [
  [
    'postgresql://uri-user:secret@host:12345/db',
    { user: 'uri-user', password: 'secret', dbname: 'db', host: 'host', port: '12345' },
  ],
  ['postgresql://uri-user@host:12345/db', { user: 'uri-user', dbname: 'db', host: 'host', port: '12345' }],
  ['postgresql://uri-user@host/db', { user: 'uri-user', dbname: 'db', host: 'host' }],
  ['postgresql://host:12345/db', { dbname: 'db', host: 'host', port: '12345' }],
  ['postgresql://host/db', { dbname: 'db', host: 'host' }],
  ['postgresql://uri-user@host:12345/', { user: 'uri-user', host: 'host', port: '12345' }],
  ['postgresql://uri-user@host/', { user: 'uri-user', host: 'host' }],
  ['postgresql://uri-user@', { user: 'uri-user' }],
  ['postgresql://host:12345/', { host: 'host', port: '12345' }],
  ['postgresql://host:12345', { host: 'host', port: '12345' }],
  ['postgresql://host/db', { dbname: 'db', host: 'host' }],
  ['postgresql://host/', { host: 'host' }],
  ['postgresql://host', { host: 'host' }],
  ['postgresql://', {}],
  ['postgresql://?hostaddr=127.0.0.1', { hostaddr: '127.0.0.1' }],
  ['postgresql://example.com?hostaddr=63.1.2.4', { host: 'example.com', hostaddr: '63.1.2.4' }],
  ['postgresql://%68ost/', { host: 'host' }],
  ['postgresql://host/db?user=uri-user', { user: 'uri-user', dbname: 'db', host: 'host' }],
  ['postgresql://host/db?user=uri-user&port=12345', { user: 'uri-user', dbname: 'db', host: 'host', port: '12345' }],
  [
    'postgresql://host/db?u%73er=someotheruser&port=12345',
    { user: 'someotheruser', dbname: 'db', host: 'host', port: '12345' },
  ],
  ['postgresql://host/db?u%7aer=someotheruser&port=12345', UNKNOWN],
  ['postgresql://host:12345?user=uri-user', { user: 'uri-user', host: 'host', port: '12345' }],
  ['postgresql://host?user=uri-user', { user: 'uri-user', host: 'host' }],
  ['postgresql://host?  user = uri-user & port  = 12345 ', { user: 'uri-user', host: 'host', port: '12345' }],
  ['postgresql://host?  user user  =  uri  & port = 12345 12 ', SPACES],
  ['postgresql://host?  user  =  uri-user  & port = 12345 12 ', SPACES],
  ['postgresql://host?', { host: 'host' }],
  ['postgresql://[::1]:12345/db', { dbname: 'db', host: '::1', port: '12345' }],
  ['postgresql://[::1]/db', { dbname: 'db', host: '::1' }],
  ['postgresql://[2001:db8::1234]/', { host: '2001:db8::1234' }],
  ['postgresql://[200z:db8::1234]/', { host: '200z:db8::1234' }],
  ['postgresql://[::1]', { host: '::1' }],
  ['postgres://', {}],
  ['postgres:///', {}],
  ['postgres:///db', { dbname: 'db' }],
  ['postgres://uri-user@/db', { user: 'uri-user', dbname: 'db' }],
  ['postgres://?host=/path/to/socket/dir', { host: '/path/to/socket/dir' }],
  ['postgresql://host?uzer=', UNKNOWN],
  ['postgre://', NO_EQUALS],
  ['postgres://[::1', /'\[' at character 12 is not closed/],
  ['postgres://[]', /IPv6 address at character 12 is empty/],
  ['postgres://[::1]z', /unexpected character at 17: .*':' or '\/'/],
  ['postgresql://host?zzz', NO_EQUALS],
  ['postgresql://host?value1&value2', NO_EQUALS],
  ['postgresql://host?key=key=value', TWO_EQUALS],
  ['postgres://host?dbname=%XXfoo', PERCENT],
  ['postgresql://a%00b', /%00/],
  ['postgresql://%zz', PERCENT],
  ['postgresql://%1', PERCENT],
  ['postgresql://%', PERCENT],
  ['postgres://@host', { host: 'host' }],
  ['postgres://host:/', { host: 'host' }],
  ['postgres://:12345/', { port: '12345' }],
  ['postgres://otheruser@?host=/no/such/directory', { user: 'otheruser', host: '/no/such/directory' }],
  ['postgres://otheruser@/?host=/no/such/directory', { user: 'otheruser', host: '/no/such/directory' }],
  [
    'postgres://otheruser@:12345?host=/no/such/socket/path',
    { user: 'otheruser', host: '/no/such/socket/path', port: '12345' },
  ],
  [
    'postgres://otheruser@:12345/db?host=/path/to/socket',
    { user: 'otheruser', dbname: 'db', host: '/path/to/socket', port: '12345' },
  ],
  ['postgres://:12345/db?host=/path/to/socket', { dbname: 'db', host: '/path/to/socket', port: '12345' }],
  ['postgres://:12345?host=/path/to/socket', { host: '/path/to/socket', port: '12345' }],
  ['postgres://%2Fvar%2Flib%2Fpostgresql/dbname', { dbname: 'dbname', host: '/var/lib/postgresql' }],
  ['postgresql://host?sslmode=disable', { host: 'host', sslmode: 'disable' }, { PGSSLROOTCERT: 'system' }],
  ['postgresql://host?sslmode=prefer', { host: 'host', sslmode: 'prefer' }, { PGSSLROOTCERT: 'system' }],
  // There it is the default, which is not printed: see `sslrootcert=system` in options.test.js.
  ['postgresql://host?sslmode=verify-full', { host: 'host', sslmode: 'verify-full' }, { PGSSLROOTCERT: 'system' }],
];

/** What else the grammar allows, as psql 15 to 18 take it. @type {[string, Record<string, string> | RegExp][]} */
const URIS = [
  ['postgres://a,b,c/d', { host: 'a,b,c', port: ',,', dbname: 'd' }],
  ['postgres://a:1,b:2/d', { host: 'a,b', port: '1,2', dbname: 'd' }],
  ['postgres://a:1,b/d', { host: 'a,b', port: '1,', dbname: 'd' }],
  ['postgres://a,[::1]:2,%2Ftmp:3/', { host: 'a,::1,/tmp', port: ',2,3' }],
  ['postgres://,', { host: ',', port: ',' }],
  ['postgres://[::1],[::2]?user=u', { host: '::1,::2', port: ',', user: 'u' }],
  ['postgres://u:@h', { user: 'u', host: 'h' }],
  ['postgres://:p@h', { password: 'p', host: 'h' }],
  ['postgres://u:a:b@h', { user: 'u', password: 'a:b', host: 'h' }],
  ['postgres://u:a?b=c@h', { user: 'u', password: 'a?b=c', host: 'h' }],
  ['postgres://u%40x:%2F%3A%40%25@h/d%2Fe', { user: 'u@x', password: '/:@%', host: 'h', dbname: 'd/e' }],
  ['postgres://h/d?user=me@server', { host: 'h', dbname: 'd', user: 'me@server' }],
  ['postgres://h/%C3%A4?user=ö', { host: 'h', dbname: 'ä', user: 'ö' }],
  ['postgres://h/a/b', { host: 'h', dbname: 'a/b' }],
  ['postgres://h/d?port=1&port=2', { host: 'h', dbname: 'd', port: '2' }],
  ['postgres://h/d?dbname=e&host=i', { host: 'i', dbname: 'e' }],
  ['postgres://h?user=u&', { host: 'h', user: 'u' }],
  ['postgres://h?password=', { host: 'h', password: '' }],
  ['postgres://h?ssl=true', { host: 'h', sslmode: 'require' }],
  ['postgres://h?requiressl=1', { host: 'h', sslmode: 'require' }],
  ['postgres://h?requiressl=0', { host: 'h', sslmode: 'prefer' }],
  ['postgres://h?options=-c%20geqo%3Doff', { host: 'h', options: '-c geqo=off' }],
  ['postgres:// u : p @ h ', { user: 'u', password: 'p', host: 'h' }],
  ['postgres://h?ssl=false', /unknown keyword 'ssl': did you mean 'sslmode'/],
  ['postgres://h?&user=u', NO_EQUALS],
  ['postgres://h?=x', UNKNOWN],
  ['postgres://u:%ff@h', /percent-encoded in the password is not UTF-8/],
  ['POSTGRES://h', NO_EQUALS],
];

/** @type {[string, Record<string, string> | RegExp][]} */
const PAIRS = [
  ['', {}],
  [' \t\n', {}],
  ['host=h', { host: 'h' }],
  ['host=a,b port=1,2 dbname=d user=u password=p', { host: 'a,b', port: '1,2', dbname: 'd', user: 'u', password: 'p' }],
  [' host = h \n user\t=\tu ', { host: 'h', user: 'u' }],
  ["user='a b' host=h", { user: 'a b', host: 'h' }],
  ["user='it\\'s' password='back\\\\slash'", { user: "it's", password: 'back\\slash' }],
  ["user=it\\'s\\ me host=h", { user: "it's me", host: 'h' }],
  ["user=a'b", { user: "a'b" }],
  ["user='a'host=h", { user: 'a', host: 'h' }],
  ["user='' host=h", { user: '', host: 'h' }],
  ["user=''", { user: '' }],
  ['user=', { user: '' }],
  // Blanks behind '=' are skipped, whatever stands there.
  ['user= host=h', { user: 'host=h' }],
  ['user=a=b', { user: 'a=b' }],
  ['user=a\\', { user: 'a' }],
  ['user=a user=b', { user: 'b' }],
  ['requiressl=1', { sslmode: 'require' }],
  ['host', NO_EQUALS],
  ['host=h user', /no '='.*character 8/],
  ['a b=c', NO_EQUALS],
  ['=h', UNKNOWN],
  ["user='a", /quote at character 6 is not closed/],
  ["user='a\\'", /quote at character 6 is not closed/],
  ['hots=h', /unknown keyword 'hots': did you mean 'host'\? \(at character 1\)/],
  ['host=h databse=d', /unknown keyword 'databse': did you mean 'dbname'\?/],
  ['database=d', /did you mean 'dbname'/],
  ['sslMode=require', /did you mean 'sslmode'/],
  ['frobnicate=1', /unknown keyword 'frobnicate' \(/],
];

for (const [source, table] of /** @type {const} */ ([
  ["libpq's own", LIBPQ],
  ['URI', URIS],
  ['keyword=value', PAIRS],
])) {
  for (const [string, expected] of table) {
    test(`${source}: ${string}`, () => {
      if (expected instanceof RegExp) {
        assert.throws(
          () => parseConninfo(string),
          (/** @type {any} */ error) => error instanceof OptionError && expected.test(error.message),
        );
      } else {
        assert.deepEqual(Object.fromEntries(parseConninfo(string)), expected);
      }
    });
  }
}

// What libpq calls (inet) and (local) is where it connects to; without a server's socket ours is localhost.
for (const [string, expected, env] of LIBPQ) {
  if (expected instanceof RegExp || env !== undefined) continue;
  test(`libpq's own, in a pool: ${string}`, () => {
    const { hosts, user, database, password } = parseOptions(string, { HOME: '/nowhere' });
    const [{ host, port, address }] = hosts;
    if (expected.host ?? expected.hostaddr) assert.equal(host, expected.host ?? expected.hostaddr);
    assert.equal(address, expected.hostaddr ?? null);
    assert.equal(port, Number(expected.port ?? 5432));
    if (expected.user) assert.equal(user, expected.user);
    assert.equal(database, expected.dbname ?? user);
    assert.equal(password, expected.password);
  });
}

// Mistakes that put a password, or a piece of it, where something else is expected: it says hunter2 wherever it does.
const LEAKS = [
  'postgres://u:hunter2 x@h',
  'postgres://u:hunter2%@h',
  'postgres://u:hunter2%zz@h',
  'postgres://u:hunter2%00@h',
  'postgres://u:hunter2%ff@h',
  'postgres://u:hunter2/w@h/d',
  'postgres://u:1/hunter2@h/d',
  'postgres://u:1/w?hunter2=x@h',
  'postgres://u:1/w?hunter2@h',
  'postgres://u:w@hunter2@h/d',
  'postgres://u:[hunter2/@h',
  'postgres://h?password=hunter2=',
  'postgres://h?password=%zzhunter2',
  'postgres://h?password=hunter2 2',
  'postgres://h?sslmode=hunter2',
  'postgres://h?port=hunter2',
  'postgres://h:hunter2',
  'postgres://h?hostaddr=hunter2',
  'postgres://h?connect_timeout=hunter2',
  'postgres://h?client_encoding=hunter2',
  'postgres://h?require_auth=hunter2',
  'postgres://h?requirepeer=hunter2',
  'postgres://h?sslpassword=hunter2',
  'postgres://h?hunter2!=x',
  'password=my hunter2',
  'password=my hunter2=x',
  "password='my hunter2",
  'password=my hunter2 host=h',
  'hunter2',
  'mysql://u:hunter2@h',
  'sslpassword=a hunter2=x',
  'sslmode=require\\ password=hunter2',
  'host=h:5432 password=hunter2',
  'host=u:hunter2@h',
  'passwort=hunter2',
];
for (const string of LEAKS) {
  test(`refused, and the password is not shown: ${string}`, () => {
    for (const given of [string, { connectionString: string }]) {
      assert.throws(
        () => parseOptions(given, {}),
        (/** @type {any} */ error) => {
          assert.ok(error instanceof OptionError, String(error));
          assert.doesNotMatch(util.inspect(error, { showHidden: true, depth: 9 }), /hunter2/);
          return true;
        },
      );
    }
  });
}
