'use strict';

// docs/configuration.md and client.d.ts name what is in the code, no more and no less.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { KEYWORDS } = require('../lib/keywords.js');
const { OPTIONS } = require('../lib/options.js');
const { fact } = require('./helpers.js');

/** @param {string[]} parts */
const textOf = (...parts) => fs.readFileSync(path.join(__dirname, '..', ...parts), 'utf8');

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

fact('docs/configuration.md has every keyword, its variable and its option', () => {
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

fact('docs/configuration.md says what is refused', () => {
  for (const [keyword, , , remarks] of table(textOf('docs', 'configuration.md'), 'keyword ')) {
    const { only, why } = KEYWORDS[bare(keyword)];
    const values = only?.map((value) => `\`${value}\``).join(', ');
    const expected = only === undefined ? remarks : `refused${values ? `, but ${values}` : ''}: ${why}`;
    assert.equal(remarks, expected, keyword);
  }
});

fact('the README has every option', () => {
  const written = table(textOf('README.md'), 'option ').flatMap(([names]) => bare(names).split(', '));
  assert.deepEqual([...new Set(written)].sort(), Object.keys(OPTIONS).sort());
});

fact('client.d.ts has every option', () => {
  const types = textOf('client.d.ts');
  const body = types.slice(types.indexOf('export interface PoolOptions {'));
  const names = [...body.slice(0, body.indexOf('\n}')).matchAll(/^ {2}(\w+)\?: /gm)].map(([, name]) => name);
  assert.deepEqual(names.sort(), Object.keys(OPTIONS).sort());
});
