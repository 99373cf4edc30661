'use strict';

// docs/configuration.md, client.d.ts and the README name the options, defaults and keywords that are in the code, no more and no
// less. (errors.contract.test.js does the same for errors.)

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { KEYWORDS } = require('../../lib/options/keywords.js');
const { OPTIONS, forCore, parseOptions } = require('../../lib/options/options.js');
const { test } = require('../support/helpers.js');

/** @param {string[]} parts */
const textOf = (...parts) => fs.readFileSync(path.join(__dirname, '..', '..', ...parts), 'utf8');

/** The rows of the table whose head begins with these words, without backticks. @param {string} text @param {string} head */
function table(text, head) {
  const rows = text.slice(text.indexOf(`\n| ${head}`) + 1).split('\n');
  const end = rows.findIndex((row) => !row.startsWith('|'));
  return rows.slice(2, end).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** @param {string} cell */
const bare = (cell) => cell.replaceAll('`', '');

test('docs/configuration.md has every keyword, its variable and its option', () => {
  const written = table(textOf('docs', 'configuration.md'), 'keyword ').map(([keyword, env, option]) =>
    [keyword, env, option].map(bare),
  );
  const known = Object.entries(KEYWORDS).map(([keyword, { env = '', option = '', inner }]) => [
    keyword,
    env,
    inner ? '' : option,
  ]);
  assert.deepEqual(written, known);
});

test('docs/configuration.md says what is refused', () => {
  for (const [keyword, , , remarks] of table(textOf('docs', 'configuration.md'), 'keyword ')) {
    const { only, why } = KEYWORDS[bare(keyword)];
    const values = only?.map((value) => `\`${value}\``).join(', ');
    const expected = only === undefined ? remarks : `refused${values ? `, but ${values}` : ''}: ${why}`;
    assert.equal(remarks, expected, keyword);
  }
});

/** The properties of an interface in client.d.ts, each with its comment. @param {string} name */
function properties(name) {
  const types = textOf('client.d.ts');
  const [, parents = '', body = ''] =
    new RegExp(`\nexport interface ${name}(?: extends ([^{]+))? \\{\n([\\s\\S]*?)\n\\}`).exec(types) ?? [];
  assert.ok(body, `client.d.ts has no interface ${name}`);
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const [, parent, omitted = ''] of parents.matchAll(/(?:Omit<)?(\w+)(?:, ([^>]*)>)?/g)) {
    for (const [property, comment] of properties(parent)) {
      if (!omitted.includes(`'${property}'`)) found.set(property, comment);
    }
  }
  for (const [, comment = '', property] of body.matchAll(/(?: {2}\/\*\*([\s\S]*?)\*\/\n)? {2}(\w+)\?: /g)) {
    found.set(property, comment.replaceAll(/\s*\n\s*\*\s?/g, ' ').trim());
  }
  return found;
}

/** How a default is written. @param {unknown} value */
const literal = (value) => (typeof value === 'string' ? `'${value}'` : String(value));

/** Options whose default says more than their value in OPTIONS. @type {Record<string, string>} */
const IN_WORDS = {
  monitor: '{ intervalMs: 1000, nodeTimeoutMs: 3000 }',
  keepAlive: '{ idleMs: 10000, intervalMs: 5000 }',
  options: '{}',
};

/** What a table or comment must have as the default; null: it comes from elsewhere, or there is none. @param {string} name */
function defaultOf(name) {
  if (Object.hasOwn(IN_WORDS, name)) return IN_WORDS[name];
  const { value } = OPTIONS[name];
  return value === undefined || value === '' || typeof value === 'object' ? null : literal(value);
}

test('the README has every option, with its default', () => {
  const rows = table(textOf('README.md'), 'option ').flatMap(([names, preset]) =>
    bare(names)
      .split(', ')
      .map((name) => [name, bare(preset)]),
  );
  assert.deepEqual(rows.map(([name]) => name).sort(), Object.keys(OPTIONS).sort());
  for (const [name, preset] of rows) {
    const expected = defaultOf(name);
    if (expected !== null)
      assert.ok(preset.startsWith(expected) || preset.endsWith(expected), `${name}: ${preset}, not ${expected}`);
    assert.ok(preset, name);
  }
});

test('client.d.ts has every option, with its default', () => {
  const options = properties('PoolOptions');
  assert.deepEqual([...options.keys()].sort(), Object.keys(OPTIONS).sort());
  for (const [name, comment] of options) {
    assert.match(comment, /[Dd]efault/, `${name}: its comment says no default`);
    const expected = defaultOf(name);
    if (expected !== null)
      assert.ok(bare(comment).includes(expected), `${name}: the default ${expected} is not in: ${comment}`);
  }
});

test('client.d.ts says of every time that it is milliseconds by its name, and of no other number', () => {
  const names = ['PoolOptions', 'QueryOptions', 'ExecOptions', 'BatchOptions', 'BeginOptions', 'MonitorOptions'];
  for (const name of names.flatMap((one) => [...properties(one).keys()])) {
    assert.doesNotMatch(name, /(Timeout|Lifetime|Interval|idle|Delay|Seconds|S)$/, name);
  }
});

test('client.d.ts has the parts of options that are objects', () => {
  const core = JSON.parse(forCore(parseOptions({ ssl: true }, { HOME: '/nowhere' }), { HOME: '/nowhere' }));
  for (const [name, part] of /** @type {const} */ ([
    ['MonitorOptions', core.monitor],
    ['KeepAliveOptions', core.keepAlive],
    ['SslOptions', { ...core.ssl, rejectUnauthorized: true }],
    ['TypeChoices', core.types],
  ])) {
    assert.ok(part, name);
    const written = [...properties(name).keys()].sort();
    if (name === 'TypeChoices')
      for (const choice of ['int8', 'numeric', 'date', 'json']) assert.ok(written.includes(choice));
    else assert.deepEqual(written, Object.keys(part).sort(), name);
  }
});

/** The names in a list of the code, and in those that it takes in. @param {string} file @param {string} list @returns {string[]} */
function listed(file, list) {
  const [, names] = new RegExp(`\nconst ${list} = \\[([^\\]]*)\\];`).exec(textOf('lib', file)) ?? [];
  assert.ok(names, `lib/${file} has no ${list}`);
  const taken = [...names.matchAll(/\.\.\.(\w+)/g)].flatMap(([, other]) => listed(file, other));
  return [...taken, ...[...names.matchAll(/'(\w+)'/g)].map(([, name]) => name)];
}

for (const [name, file, list] of [
  ['QueryOptions', 'api/call-options.js', 'KNOWN'],
  ['StreamOptions', 'api/call-options.js', 'STREAM_OPTIONS'],
  ['BatchOptions', 'api/batch.js', 'OPTIONS'],
  ['ExecOptions', 'api/exec.js', 'OPTIONS'],
  ['CopyFromOptions', 'api/copy/options.js', 'LOAD_OPTIONS'],
  ['CopyToOptions', 'api/copy/options.js', 'UNLOAD_OPTIONS'],
  ['BeginOptions', 'api/transaction.js', 'BEGIN_OPTIONS'],
  ['TransactionOptions', 'api/transaction.js', 'TRANSACTION_OPTIONS'],
]) {
  test(`client.d.ts has the options of a call: ${name}`, () => {
    const options = properties(name);
    assert.deepEqual([...options.keys()].sort(), listed(file, list).sort());
    for (const [option, comment] of options) assert.ok(comment, `${name}.${option} has no comment`);
  });
}
