'use strict';

// scripts/house.js sees what is wrong with a house, and finds nothing wrong with ours.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { inspect } = require('../../scripts/house.js');
const { test } = require('../support/helpers.js');

const RULES = { limit: 10, lengths: {}, circles: [] };

/** @param {Record<string, string>} files @param {object} [rules] */
const problems = (files, rules = {}) => inspect(new Map(Object.entries(files)), { ...RULES, ...rules }).problems;

const CLUSTER = {
  'src/cluster/mod.rs': 'mod view;\npub(crate) mod conn;\npub(crate) use view::Observation;\n',
  'src/cluster/conn.rs': 'use super::Observation;\n',
};

for (const [name, files, expected] of /** @type {[string, Record<string, string>, string[]][]} */ ([
  ['nothing', { 'src/lib.rs': 'mod binding;', 'lib/a.js': '' }, []],
  [
    'an arrow that goes up',
    {
      'src/error.rs': '',
      'src/engine.rs': 'use crate::query::Context;\n',
      'src/query/mod.rs': 'use crate::error::E;\n',
    },
    ['src/engine.rs:1 (engine) uses src/query/mod.rs (query), which is above it'],
  ],
  [
    'one that goes up among braces, and one in the middle of code',
    {
      'src/codec/mod.rs':
        'use std::fmt;\nuse crate::{\n  engine::x,\n  pool::{y, z},\n};\nfn f() { crate::binding::desk::g() }\n',
      'src/engine.rs': '',
      'src/pool/mod.rs': '',
      'src/binding/desk.rs': '',
    },
    [
      'src/codec/mod.rs:2 (codec) uses src/pool/mod.rs (pool), which is above it',
      'src/codec/mod.rs:6 (codec) uses src/binding/desk.rs (binding), which is above it',
    ],
  ],
  [
    'comments, strings, the tests of a file and test files may say what they like',
    {
      'src/engine.rs':
        '// crate::query::x\nlet a = "crate::query::x";\n#[cfg(test)]\nmod tests {\n use crate::query::x;\n}\n',
      'src/engine/tests.rs': 'use crate::query::x;\n',
      'src/query/mod.rs': '',
    },
    [],
  ],
  [
    'a circle of three files',
    {
      'src/codec/mod.rs': 'mod a; mod b; mod c;',
      'src/codec/a.rs': 'use super::b::B;\n',
      'src/codec/b.rs': 'use crate::codec::c::{self, C};\n',
      'src/codec/c.rs': 'use super::{x::Y, a::A};\n',
    },
    ['in a circle: src/codec/a.rs -> src/codec/b.rs -> src/codec/c.rs -> src/codec/a.rs'],
  ],
  ['a name that is handed on is no circle', { ...CLUSTER, 'src/cluster/view.rs': '' }, []],
  [
    'but a use of the file from which it comes',
    { ...CLUSTER, 'src/cluster/view.rs': 'use super::conn::Conn;\n' },
    ['in a circle: src/cluster/conn.rs -> src/cluster/view.rs -> src/cluster/conn.rs'],
  ],
  [
    'a circle in lib/, one half of it late',
    {
      'lib/a.js': "const { b } = require('./b.js');\nexports.a = b;\n",
      'lib/b.js': "exports.b = () => require('./a.js').a;\n",
    },
    ['in a circle: lib/a.js -> lib/b.js -> lib/a.js'],
  ],
  [
    'exports that nobody takes',
    {
      'lib/a.js': 'module.exports = { taken, tested, typed, dead };\n',
      'lib/b.js': 'exports.one = 1;\nexports.two = 2;\n',
      'client.js': "const { taken } = require('./lib/a.js');\nconst b = require('./lib/b.js');\nexports.x = b.one;\n",
      'test/a.test.js': "const { tested } = require('../lib/a.js');\n/** @type {import('../lib/a.js').typed} */\n",
    },
    ['lib/a.js exports dead, which nobody takes', 'lib/b.js exports two, which nobody takes'],
  ],
  [
    'a file that is too long',
    { 'test/a.test.js': '\n'.repeat(11), 'src/error.rs': '\n'.repeat(10) },
    ['test/a.test.js has 11 lines; 10 are its limit: two subjects, two files'],
  ],
])) {
  test(`the house: ${name}`, () => assert.deepEqual(problems(files), expected));
}

test('an exception is a ceiling, and goes when it is needed no more', () => {
  const lengths = { 'lib/a.js': 12 };
  assert.deepEqual(problems({ 'lib/a.js': '\n'.repeat(12) }, { lengths }), []);
  assert.match(problems({ 'lib/a.js': '\n'.repeat(13) }, { lengths })[0], /has 13 lines; 12 are its limit/);
  assert.match(problems({ 'lib/a.js': '\n'.repeat(10) }, { lengths })[0], /take it out of the exceptions/);
  assert.match(problems({}, { lengths })[0], /there is no such file/);
});

test('an arrow that is allowed makes no circle, and must be a part of one', () => {
  const circles = [{ from: 'lib/a.js', to: 'lib/b.js', why: 'a reason' }];
  const files = { 'lib/a.js': "require('./b.js');\n", 'lib/b.js': "require('./a.js');\n" };
  assert.deepEqual(problems(files, { circles }), []);
  assert.match(problems({ ...files, 'lib/b.js': '' }, { circles })[0], /makes no circle/);
  assert.match(problems({ ...files, 'lib/a.js': '' }, { circles })[0], /makes no circle/);
});

test('ours is in order, and was looked at', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(__dirname, '..', '..', 'scripts', 'house.js')],
    {
      encoding: 'utf8',
    },
  );
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  const [, files, rust, lib] = /(\d+) files, (\d+) uses in src\/, (\d+) in lib\//.exec(stdout)?.map(Number) ?? [];
  assert.ok(files > 200 && rust > 300 && lib > 80, stdout);
});
