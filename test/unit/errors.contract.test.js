'use strict';

// Every error that the code can raise has its code and class in client.d.ts, and its paragraph and its class in docs/errors.md;
// and every code there can be raised.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const client = require('../../client.js');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
/** @param {string[]} parts */
const textOf = (...parts) => fs.readFileSync(path.join(ROOT, ...parts), 'utf8');
/** @param {Iterable<string>} names */
const sorted = (names) => [...new Set(names)].sort();

/** The text of all files in a folder. @param {string} folder @param {RegExp} kind */
function sources(folder, kind) {
  const names = fs.readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => kind.test(name) && !/tests/.test(name))
    .map((name) => textOf(folder, name))
    .join('\n');
}

const CODE = /(["'])(ERR_[A-Z_]+|ABORT_ERR)\1/g;
const rust = sources('src', /\.rs$/);
const javascript = sources('lib', /\.js$/);
/** Codes of Node, which the code compares and does not raise. */
const OF_NODE = /^ERR_(PARSE_ARGS|MODULE_NOT_FOUND|DLOPEN)/;
const raised = sorted([...`${rust}\n${javascript}`.matchAll(CODE)].map(([, , code]) => code)).filter(
  (code) => !OF_NODE.test(code),
);

const types = textOf('client.d.ts');
const page = textOf('docs', 'errors.md');
const [, union = ''] = /export type ErrorCode =([^;]*);/.exec(types) ?? [];

test('client.d.ts has every code that can be raised, and no other', () => {
  assert.ok(raised.length > 15, raised.join());
  assert.deepEqual(sorted([...union.matchAll(CODE)].map(([, , code]) => code)), raised);
});

test('docs/errors.md has a paragraph for each code, in alphabetical order, with its class and what to know', () => {
  const paragraphs = page
    .slice(page.indexOf('## Codes'), page.indexOf('## SQLSTATEs'))
    .split(/\n### /)
    .slice(1);
  const codes = paragraphs.map((paragraph) => /^`(\w+)`\n/.exec(paragraph)?.[1] ?? '');
  assert.deepEqual(codes, raised);
  for (const paragraph of paragraphs) {
    const [, name = ''] = /\n\n`(\w+)`/.exec(paragraph) ?? [];
    assert.ok(Object.hasOwn(client, name), `${paragraph.split('\n')[0]}: ${name} is no class`);
  }
});

test('the table of classes in docs/errors.md has every class with its codes', () => {
  const table = page.slice(page.indexOf('## Classes'), page.indexOf('## Codes'));
  assert.deepEqual(sorted([...table.matchAll(/`(\w+Error)`/g)].map(([, name]) => name)), classes());
  for (const code of raised) {
    const ofTheBase = page.includes(`### \`${code}\`\n\n\`HyperionError\``);
    assert.equal(table.includes(`\`${code}\``), !ofTheBase, code);
  }
  assert.match(textOf('README.md'), /\]\(docs\/errors\.md\)/, 'and the README leads there');
});

/** The classes of errors that are exported. */
function classes() {
  const { HyperionError } = client;
  const found = Object.entries(client).filter(
    ([, value]) => value === HyperionError || /** @type {any} */ (value).prototype instanceof HyperionError,
  );
  return sorted(found.map(([name]) => name));
}

test('client.d.ts has every class, each with its codes', () => {
  const written = [...types.matchAll(/export class (\w+) extends (?:Error|HyperionError) \{([\s\S]*?)\n\}/g)];
  assert.deepEqual(sorted(written.map(([, name]) => name)), classes());
  for (const [, name, body] of written) {
    assert.match(body, /readonly code: ('|SqlState|ErrorCode)/, `${name} has no code`);
  }
});

test('the core makes no class that JavaScript does not know', () => {
  const [, body = ''] = /fn class\(&self\) -> &'static str \{([\s\S]*?)\n {4}\}/.exec(rust) ?? [];
  const made = sorted([...body.matchAll(/"(\w+)"/g)].map(([, name]) => name));
  assert.ok(made.length > 5, made.join());
  for (const name of made) assert.ok(classes().includes(name), name);
});

test('the codes of a class in client.d.ts are those of docs/errors.md', () => {
  for (const code of raised) {
    const [, name = ''] = new RegExp(`### \`${code}\`\n\n\`(\\w+)\``).exec(page) ?? [];
    const [, body = ''] = new RegExp(`export class ${name} extends [^{]*\\{([\\s\\S]*?)\n\\}`).exec(types) ?? [];
    if (name !== 'HyperionError') assert.ok(body.includes(`'${code}'`), `${name} has not the code ${code}`);
  }
});
