'use strict';

// docs/configuration.md and client.d.ts have the options, defaults and keywords that are in the code, no more and no less. (errors.contract.test.js does the same for errors.)

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { KEYWORDS } = require('../../lib/options/keywords.js');
const { forCore, parseOptions } = require('../../lib/options/options.js');
const { refuseUnknown } = require('../../lib/options/validate.js');
const { MEMBERS } = require('../../lib/values/types.js');
const { INTERFACES, differences, withMembers, withTables } = require('../../scripts/options.js');
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

test('client.d.ts and docs/configuration.md say of each option what its row says (npm run options)', () => {
  assert.deepEqual(differences(), []);
});

/** @param {(rows: any) => void} change @param {string} file @returns {string} the first line that differs then */
function differenceAfter(change, file) {
  const row = /** @type {any} */ (INTERFACES.PoolOptions).poolSize;
  const before = { ...row };
  change(row);
  try {
    const [found = ''] = differences().filter((line) => line.startsWith(file));
    return found;
  } finally {
    Object.assign(row, before);
  }
}

for (const file of ['client.d.ts', 'docs/configuration.md']) {
  test(`a default that was changed in the row of an option is missed in ${file}`, () => {
    assert.match(
      differenceAfter((row) => {
        row.value = 11;
      }, file),
      /11/,
    );
  });
}

test('an interface that client.d.ts does not have, and a table that the page does not have, are errors', () => {
  assert.throws(() => withMembers('export interface Host {\n}\n'), /no 'export interface SslOptions {'/);
  assert.throws(() => withTables('# Configuration\n'), /no table 'option'/);
});

test('every default of an option passes its own check', () => {
  for (const [name, row] of Object.entries(INTERFACES.PoolOptions)) {
    if (row.value !== undefined) assert.doesNotThrow(() => row.check(row.value, name), name);
  }
});

test('every option that is a time says by its name that it is milliseconds', () => {
  for (const name of Object.values(INTERFACES).flatMap((rows) => Object.keys(rows))) {
    assert.doesNotMatch(name, /(Timeout|Lifetime|Interval|idle|Delay|Seconds|S)$/, name);
  }
});

test('the core is told every member of an option that is an object', () => {
  const core = JSON.parse(forCore(parseOptions({ ssl: true }, { HOME: '/nowhere' }), { HOME: '/nowhere' }));
  for (const [name, part] of /** @type {const} */ ([
    ['MonitorOptions', core.monitor],
    ['KeepAliveOptions', core.keepAlive],
    ['ReadsOptions', core.reads],
    ['SslOptions', { ...core.ssl, rejectUnauthorized: true }],
    ['Host', core.hosts[0]],
  ])) {
    assert.ok(part, name);
    assert.deepEqual(Object.keys(INTERFACES[name]).sort(), Object.keys(part).sort(), name);
  }
});

test('client.d.ts has the members of the option types', () => {
  const [, body = ''] = /\nexport interface TypeChoices \{\n([\s\S]*?)\n\}/.exec(textOf('client.d.ts')) ?? [];
  assert.deepEqual([...body.matchAll(/^ {2}(\w+)\?: /gm)].map(([, name]) => name).sort(), Object.keys(MEMBERS).sort());
});

for (const [name, rows] of Object.entries(INTERFACES)) {
  test(`${name}: a member that no row describes is refused, with the nearest known name`, () => {
    const [known] = Object.keys(rows);
    const given = { [`${known}x`]: 1 };
    assert.throws(() => refuseUnknown(given, rows), {
      code: 'ERR_INVALID_OPTION',
      message: `unknown option '${known}x': did you mean '${known}'?`,
    });
  });
}
