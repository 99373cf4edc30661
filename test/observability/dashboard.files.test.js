'use strict';

// The files of the dashboard's page: which there are, that uPlot is the one that npm has, and that nothing is fetched from elsewhere.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { FILES } = require('../../lib/api/dashboard/files.js');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const PAGE = path.join(ROOT, 'lib', 'api', 'dashboard', 'page');
const UPLOT = path.join(ROOT, 'node_modules', 'uplot');

const read = (/** @type {string} */ name) => fs.readFileSync(path.join(PAGE, name), 'utf8');

test('dashboard files: uPlot and its licence are those of the npm package', () => {
  for (const [ours, theirs] of [
    ['uPlot.iife.min.js', 'dist/uPlot.iife.min.js'],
    ['uPlot.min.css', 'dist/uPlot.min.css'],
    ['LICENSE', 'LICENSE'],
  ]) {
    const [a, b] = [path.join(PAGE, 'vendor', ours), path.join(UPLOT, theirs)].map((file) => fs.readFileSync(file));
    assert.ok(a.equals(b), ours);
  }
  const { version } = JSON.parse(fs.readFileSync(path.join(UPLOT, 'package.json'), 'utf8'));
  assert.match(read('vendor/uPlot.iife.min.js'), new RegExp(`\\(v${version.replaceAll('.', '\\.')}\\)`));
});

test('dashboard files: what is sent to browsers is what is there', () => {
  const present = fs
    .readdirSync(PAGE, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll(path.sep, '/'))
    .filter((name) => fs.statSync(path.join(PAGE, name)).isFile() && name !== 'vendor/LICENSE');
  assert.deepEqual(
    Object.values(FILES)
      .map(([file]) => file)
      .sort(),
    present.sort(),
  );
});

test('dashboard files: every module and style that one of them names is sent', () => {
  for (const [file] of Object.values(FILES)) {
    if (file.startsWith('vendor/')) continue;
    const names = [...read(file).matchAll(/from '\.\/([^']+)'|(?:src|href)="([\w.-]+)"/g)].map(
      ([, module, other]) => module ?? other,
    );
    for (const name of names) assert.ok(Object.hasOwn(FILES, name), `${file} names ${name}`);
  }
});

test('dashboard files: no address of another site, no inline script or style, no markup from texts', () => {
  for (const [file] of Object.values(FILES)) {
    const text = read(file).replaceAll('http://www.w3.org/2000/svg', '');
    if (!file.startsWith('vendor/')) assert.doesNotMatch(text, /https?:\/\/|\/\/[a-z]+\.[a-z]/, file);
    assert.doesNotMatch(
      text,
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|@import|url\(/,
      file,
    );
  }
  assert.doesNotMatch(read('index.html'), /<script>|<style|style=|\son\w+=/);
});

test('dashboard files: every error that the core counts has a name', async () => {
  const { NAMES } = await import('../../lib/api/dashboard/page/errors.mjs');
  const rust = fs.readFileSync(path.join(ROOT, 'src', 'engine', 'statistics.rs'), 'utf8');
  const codes = [
    .../** @type {RegExpExecArray} */ (/const ERRORS: [^[]*\[[^\]]*\] = \[([^\]]*)\]/.exec(rust))[1].matchAll(
      /"(\w+)"/g,
    ),
  ].map(([, code]) => code);
  assert.ok(codes.length > 50, String(codes.length));
  assert.deepEqual(
    codes.filter((code) => !Object.hasOwn(NAMES, code)),
    [],
  );
});

test('dashboard files: numbers, times and sizes as text', async () => {
  const { ago, bytes, count, counted, duration, listed, percent, rate, trimmed } = await import(
    '../../lib/api/dashboard/page/format.mjs'
  );
  for (const [made, text] of [
    [duration(null), '–'],
    [duration(0), '0 ms'],
    [duration(0.004), '<0.01 ms'],
    [duration(0.42), '0.42 ms'],
    [duration(4.25), '4.3 ms'],
    [duration(312.4), '312 ms'],
    [duration(1_412), '1.41 s'],
    [duration(61_000), '1 min 1 s'],
    [duration(5_400_000), '1.5 h'],
    [bytes(null), '–'],
    [bytes(999), '999 B'],
    [bytes(3_400), '3.3 kB'],
    [bytes(5_000_000_000_000_000), '4547 TB'],
    [count(1_234_567), '1,234,567'],
    [rate(12_345), '12.3 k'],
    [rate(0), '0'],
    [rate(0.25), '0.25'],
    [rate(9.96), '10'],
    [percent(1), '100 %'],
    [percent(0.99999), '99.9 %'],
    [percent(0.00001), '<0.01 %'],
    [percent(0), '0 %'],
    [ago(300), 'just now'],
    [ago(130_000), '2 min ago'],
    [trimmed('1.50 s'), '1.5 s'],
    [trimmed('2.00 s'), '2 s'],
    [trimmed('500 ms'), '500 ms'],
    [trimmed('10 k'), '10 k'],
    [counted(1, 'node'), '1 node'],
    [listed(['a', 'b', 'c']), 'a, b and c'],
  ]) {
    assert.equal(made, text);
  }
});

test('dashboard files: the scripts of the page have no type errors', () => {
  const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '--project', path.join(ROOT, 'tsconfig.page.json')], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '');
});
