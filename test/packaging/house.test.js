'use strict';

// scripts/house.js finds what breaks its rules, and finds nothing in this repository.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { inspect } = require('../../scripts/house.js');
const { test } = require('../support/helpers.js');

const RULES = { limit: 10, lengths: {}, circles: [], types: {}, entryPoints: [] };

/** @param {Record<string, string>} files @param {object} [rules] */
const problems = (files, rules = {}) => inspect(new Map(Object.entries(files)), { ...RULES, ...rules }).problems;

const CLUSTER = {
  'src/cluster/mod.rs': 'mod view;\npub(crate) mod conn;\npub(crate) use view::Observation;\n',
  'src/cluster/conn.rs': 'use super::Observation;\n',
};

for (const [name, files, expected] of /** @type {[string, Record<string, string>, string[]][]} */ ([
  ['a tree that keeps all rules has no problem', { 'src/lib.rs': 'mod binding;', 'lib/a.js': '' }, []],
  [
    'a file of src/ that uses a layer above it is a problem',
    {
      'src/error.rs': '',
      'src/engine.rs': 'use crate::query::Context;\n',
      'src/query/mod.rs': 'use crate::error::E;\n',
    },
    ['src/engine.rs:1 (engine) uses src/query/mod.rs (query), which is above it'],
  ],
  [
    'a use among braces counts, and one in the middle of code',
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
    'comments, strings, the tests of a file and test files are not looked at for uses',
    {
      'src/engine.rs':
        '// crate::query::x\nlet a = "crate::query::x";\n#[cfg(test)]\nmod tests {\n use crate::query::x;\n}\n',
      'src/engine/tests.rs': 'use crate::query::x;\n',
      'src/query/mod.rs': '',
    },
    [],
  ],
  [
    'three files of src/ that use one another in a circle are a problem',
    {
      'src/codec/mod.rs': 'mod a; mod b; mod c;',
      'src/codec/a.rs': 'use super::b::B;\n',
      'src/codec/b.rs': 'use crate::codec::c::{self, C};\n',
      'src/codec/c.rs': 'use super::{x::Y, a::A};\n',
    },
    ['in a circle: src/codec/a.rs -> src/codec/b.rs -> src/codec/c.rs -> src/codec/a.rs'],
  ],
  ['a module that re-exports a name makes no circle', { ...CLUSTER, 'src/cluster/view.rs': '' }, []],
  [
    'a use of a re-exported name is a use of the file that declares it',
    { ...CLUSTER, 'src/cluster/view.rs': 'use super::conn::Conn;\n' },
    ['in a circle: src/cluster/conn.rs -> src/cluster/view.rs -> src/cluster/conn.rs'],
  ],
  [
    'two files of lib/ that require each other are a problem, also when one does so late',
    {
      'lib/api/a.js': "const { b } = require('./b.js');\nexports.a = b;\n",
      'lib/api/b.js': "exports.b = () => require('./a.js').a;\n",
    },
    ['in a circle: lib/api/a.js -> lib/api/b.js -> lib/api/a.js'],
  ],
  [
    'a circle of lib/ through the import of a type is a problem',
    {
      'lib/api/a.js': "const { b } = require('./b.js');\nexports.a = b;\n",
      'lib/api/b.js': "/** @param {import('./a.js').a} a */\nexports.b = (a) => a;\n",
    },
    ['in a circle: lib/api/a.js -> lib/api/b.js -> lib/api/a.js'],
  ],
  [
    'a file of lib/ that requires a layer above it, or imports its types, is a problem',
    {
      'client.js': '',
      'exports/pg/index.js': '',
      'lib/api/a.js': "const values = require('../values/d.js');\nvalues();\nrequire('../../client.js');\n",
      'lib/core/b.js': "\nrequire('../api/a.js');\n",
      'lib/values/d.js': "/** @param {import('../core/b.js').B} b */\n",
      'lib/errors.js': "require('./values/d.js');\n",
      'lib/cli/e.js': "require('../../client.js');\nrequire('../errors.js');\n",
    },
    [
      'lib/api/a.js:3 (lib/api) uses client.js (client.js), which is above it',
      'lib/core/b.js:2 (lib/core) uses lib/api/a.js (lib/api), which is above it',
      'lib/values/d.js:1 (lib/values) uses lib/core/b.js (lib/core), which is above it',
      'lib/errors.js:1 (lib/errors.js) uses lib/values/d.js (lib/values), which is above it',
      'in a circle: lib/api/a.js -> lib/values/d.js -> lib/core/b.js -> lib/api/a.js',
    ],
  ],
  [
    'lib/options and lib/values may use each other, in no circle',
    {
      'lib/options/a.js': "require('../values/b.js');\n",
      'lib/values/b.js': '',
      'lib/values/c.js': "require('../options/d.js');\n",
      'lib/options/d.js': '',
    },
    [],
  ],
  [
    'client.js that requires a file of exports/ is a problem',
    { 'client.js': "require('./exports/pg/index.js');\n", 'exports/pg/index.js': '' },
    ['client.js:1 (client.js) uses exports/pg/index.js (exports), which is above it'],
  ],
  [
    'a folder that belongs to no layer is a problem',
    {
      'lib/extra/a.js': "require('../errors.js');\n",
      'lib/errors.js': '',
      'src/extra/a.rs': 'use crate::error::E;\n',
      'src/error.rs': '',
    },
    ['src/extra/a.rs (extra) belongs to no layer', 'lib/extra/a.js (lib/extra) belongs to no layer'],
  ],
  [
    'a file of exports/ may require client.js, package.json and the files of its folder',
    {
      'client.js': '',
      'exports/pg/index.js': "require('./result.js');\nrequire('../../client.js');\nrequire('../../package.json');\n",
      'exports/pg/result.js': "const fs = require('node:fs');\n",
    },
    [],
  ],
  [
    'a file of exports/ that requires lib/, the add-on or another folder of exports/ is a problem',
    {
      'exports/loose.js': '',
      'exports/pg/index.js':
        "require('../../lib/errors.js');\nrequire('../otel/index.js');\nrequire('../../index.js');\n",
      'exports/otel/index.js': "/** @type {import('../../lib/api/pool.js').Pool} */\n",
      'lib/errors.js': '',
      'lib/api/pool.js': 'exports.Pool = 1;\n',
    },
    [
      'exports/loose.js stands in no folder of exports/',
      'exports/pg/index.js:1 requires lib/errors.js: a file of exports/pg/ may require client.js and exports/pg/',
      'exports/pg/index.js:2 requires exports/otel/index.js: a file of exports/pg/ may require client.js and exports/pg/',
      'exports/pg/index.js:3 requires index.js: a file of exports/pg/ may require client.js and exports/pg/',
      'exports/otel/index.js:1 requires lib/api/pool.js: a file of exports/otel/ may require client.js and exports/otel/',
    ],
  ],
  [
    'an export of lib/ that no file requires is a problem; tests and types count',
    {
      'lib/api/a.js': 'module.exports = { taken, tested, typed, dead };\n',
      'lib/api/b.js': 'exports.one = 1;\nexports.two = 2;\n',
      'client.js':
        "const { taken } = require('./lib/api/a.js');\nconst b = require('./lib/api/b.js');\nexports.x = b.one;\n",
      'test/a.test.js':
        "const { tested } = require('../lib/api/a.js');\n/** @type {import('../lib/api/a.js').typed} */\n",
    },
    ['lib/api/a.js exports dead, which no file requires', 'lib/api/b.js exports two, which no file requires'],
  ],
  [
    'an export of exports/ that no file requires is a problem, but not one of an index.js',
    {
      'exports/pg/index.js': "const { parse } = require('./parse.js');\nmodule.exports = { parse };\n",
      'exports/pg/parse.js': 'module.exports = { parse, dead };\n',
    },
    ['exports/pg/parse.js exports dead, which no file requires'],
  ],
  [
    'a file that is longer than the limit is a problem',
    { 'test/a.test.js': '\n'.repeat(11), 'src/error.rs': '\n'.repeat(10) },
    ['test/a.test.js has 11 lines; 10 are its limit: two subjects, two files'],
  ],
  [
    'a comment that names a file which does not exist is a problem',
    {
      'lib/api/a.js': '// lib/api/a.js, test/gone.test.js.\n/* See\n lib/gone.js: */\n',
      'src/error.rs': '//! As lib/gone.js has it.\nfn f() {}\n    /// (docs/gone.md)\n',
    },
    [
      'lib/api/a.js:1 names test/gone.test.js, and there is no such file',
      'lib/api/a.js:3 names lib/gone.js, and there is no such file',
      'src/error.rs:1 names lib/gone.js, and there is no such file',
      'src/error.rs:3 names docs/gone.md, and there is no such file',
    ],
  ],
  [
    'patterns, folders, files of other projects and code are not looked at for names of files',
    {
      'lib/api/a.js': "// lib/x/*.js exports/<name>/index.js src/backend/a.c /usr/lib/a.js\nopen('lib/gone.js');\n",
      'src/error.rs': 'let a = "// lib/gone.js";\n',
    },
    [],
  ],
  [
    'a type name that stands twice in src/ is a problem',
    {
      'src/codec/mod.rs': 'pub(crate) struct Step {\n}\n\nenum Once {}\n',
      'src/engine/mod.rs': 'struct Other;\ntype Step<T> = Option<T>;\n',
    },
    ['the type name Step stands more than once: src/codec/mod.rs:1, src/engine/mod.rs:2'],
  ],
  [
    'type names in comments, in tests and in traits may stand twice',
    {
      'src/codec/mod.rs': 'struct Step;\nimpl Iterator for X {\n    type Item = u8;\n}\n',
      'src/codec/tests.rs': 'struct Step;\n',
      'src/engine/mod.rs':
        '// \nstruct Item;\n/*\nstruct Step;\n*/\n#[cfg(test)]\nmod tests {\n    struct Item;\nstruct Step;\n}\n',
    },
    [],
  ],
])) {
  test(`the house: ${name}`, () => assert.deepEqual(problems(files), expected));
}

test('the house: an exception for a length is a limit, and is a problem when it is not needed', () => {
  const lengths = { 'lib/a.js': 12 };
  assert.deepEqual(problems({ 'lib/a.js': '\n'.repeat(12) }, { lengths }), []);
  assert.match(problems({ 'lib/a.js': '\n'.repeat(13) }, { lengths })[0], /has 13 lines; 12 are its limit/);
  assert.match(problems({ 'lib/a.js': '\n'.repeat(10) }, { lengths })[0], /take it out of the exceptions/);
  assert.match(problems({}, { lengths })[0], /there is no such file/);
});

test('the house: an exception for a circle is a problem when there is no circle', () => {
  const circles = [{ from: 'lib/api/a.js', to: 'lib/api/b.js', why: 'a reason' }];
  const files = { 'lib/api/a.js': "require('./b.js');\n", 'lib/api/b.js': "require('./a.js');\n" };
  assert.deepEqual(problems(files, { circles }), []);
  assert.match(problems({ ...files, 'lib/api/b.js': '' }, { circles })[0], /makes no circle/);
  assert.match(problems({ ...files, 'lib/api/a.js': '' }, { circles })[0], /makes no circle/);
});

test('the house: an exception for an entry point is for one folder and another, and is a problem when it is not needed', () => {
  const entryPoints = [{ from: 'exports/register/modules/', to: 'exports/pg/', why: 'a reason' }];
  const files = {
    'exports/pg/index.js': '',
    'exports/otel/index.js': '',
    'exports/register/modules/pg.js': "require('../../pg/index.js');\n",
  };
  assert.deepEqual(problems(files, { entryPoints }), []);
  assert.match(problems({ ...files, 'exports/register/modules/pg.js': '' }, { entryPoints })[0], /is not needed/);
  const wider = {
    ...files,
    'exports/register/modules/otel.js': "require('../../otel/index.js');\n",
    'exports/register/index.js': "require('../pg/index.js');\n",
  };
  assert.deepEqual(problems(wider, { entryPoints }), [
    'exports/register/modules/otel.js:1 requires exports/otel/index.js: a file of exports/register/ may require client.js and exports/register/',
    'exports/register/index.js:1 requires exports/pg/index.js: a file of exports/register/ may require client.js and exports/register/',
  ]);
});

test('the house: an exception for a type name is a problem when the name stands once', () => {
  const types = { Step: 'a reason' };
  const files = { 'src/codec/mod.rs': 'struct Step;\n', 'src/engine/mod.rs': 'struct Step;\n' };
  assert.deepEqual(problems(files, { types }), []);
  assert.match(
    problems({ ...files, 'src/engine/mod.rs': '' }, { types })[0],
    /Step is an exception .* not stand twice/,
  );
});

test('the house: this repository has no problem, and its files were read', () => {
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
