'use strict';

// Commands of the documentation name what exists: scripts of package.json, files, and options that they know. No command runs,
// since most of them take minutes.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Script } = require('node:vm');
const { readArguments } = require('../../../lib/cli/arguments.js');
const { ROOT } = require('./blocks.js');

const { bin, exports: entries, name: PACKAGE, peerDependencies, scripts } = require('../../../package.json');

/** Commands of other programs that the documentation tells readers to run. @type {Record<string, RegExp>} */
const OTHERS = {
  // The permissions are those of test/external/runtimes.test.js, which reads them in README.md.
  deno: /^run ("?--allow-(env|ffi|read)=[^ ]+ ){3}app\.js$/,
  perf: /^record /,
  git: /^(clone|switch|commit|tag|push) /,
  cargo: /^(fmt( --check)?$|clippy |test|install cargo-fuzz$|build|deny )/,
};

/** Splits a line into words as a shell does, without expansion. @param {string} line */
const words = (line) =>
  (line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []).map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single),
  );

/** @param {string} text a whole block */
function checkShell(text) {
  const lines = text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim());
  const commands = lines.filter(Boolean).flatMap((line) => line.split(/\s+(?:&&|\|)\s+/));
  assert.ok(commands.length > 0, 'an empty block');
  for (const command of commands) checkCommand(words(command).filter((word, at) => at > 0 || !/^[A-Z_]+=/.test(word)));
}

/** @param {string[]} command */
function checkCommand([program, ...args]) {
  if (/^[A-Z_]+=/.test(program)) return checkCommand(args);
  if (program === 'npm') return checkNpm(args);
  if (program === 'npx') return checkNpx(args);
  if (program === 'node') return checkNode(args);
  if (program === 'cargo' && args[0] === 'fuzz') return checkFuzz(args);
  const known = Object.hasOwn(OTHERS, program) ? OTHERS[program] : undefined;
  assert.ok(known?.test(args.join(' ')), `nothing is known of: ${program} ${args.join(' ')}`);
}

/** @param {string[]} args */
function checkNpm([command, ...args]) {
  if (command === 'install' || command === 'ci') {
    const known = [PACKAGE, ...Object.keys(peerDependencies), '--'];
    for (const name of args)
      assert.ok(
        known.some((start) => name.startsWith(start)),
        `npm install ${name}`,
      );
    return;
  }
  if (command === 'pack') return;
  const [script, dashes, ...rest] = command === 'test' ? ['test', ...args] : args;
  assert.ok(command === 'test' || command === 'run', `npm ${command}`);
  assert.ok(Object.hasOwn(scripts, script), `npm run ${script}: there is no such script`);
  if (dashes === undefined) return;
  assert.equal(dashes, '--', `npm run ${script} ${dashes}: options of the script stand behind --`);
  // npm passes what it adds to the last command.
  const last = words(scripts[script].split('&&').at(-1) ?? '');
  checkCommand([...last, ...rest]);
}

/** @param {string[]} args */
function checkNpx([program, ...args]) {
  if (Object.hasOwn(bin, program)) {
    readArguments(args.map((arg) => (arg.startsWith('$') ? 'postgres://db1' : arg)));
    return;
  }
  assert.ok(fs.existsSync(path.join(ROOT, 'node_modules', '.bin', program)), `npx ${program}: it is no dependency`);
}

/** @param {string[]} args */
function checkNode(args) {
  if (args[0] === '--import') {
    assert.ok(Object.hasOwn(entries, args[1].replace(PACKAGE, '.')), `node --import ${args[1]}: it has no such entry`);
    return checkNode(args.slice(2));
  }
  if (args[0] === '--print') return void new Script(args[1]).runInNewContext({ crypto });
  const at = args.findIndex((arg) => !arg.startsWith('--'));
  const [file, ...rest] = args.slice(at);
  if (!/^your-/.test(file)) assert.ok(fs.existsSync(path.join(ROOT, file)), `node ${file}: there is no such file`);
  const options = rest.filter((arg) => arg.startsWith('--')).map((arg) => arg.slice(2).split('=')[0]);
  if (options.length === 0) return;
  const source = sourceOf(file);
  for (const option of options) {
    const known = new RegExp(`(^|[\\s{'])${option}'?: \\{\\s*type|\\[[^\\]]*'${option}'[^\\]]*\\]|'--${option}'`, 'm');
    assert.match(source, known, `node ${file} --${option}: it knows no such option`);
  }
}

/**
 * A program, and the files called options.js that it requires, directly or by others beside or below it.
 * @param {string} file
 */
function sourceOf(file) {
  const all = [path.join(ROOT, file)];
  for (const each of all) {
    for (const [, name] of fs.readFileSync(each, 'utf8').matchAll(/require\('(\.\/[\w./-]+\.js)'\)/g)) {
      const required = path.join(path.dirname(each), name);
      if (!all.includes(required)) all.push(required);
    }
  }
  const told = all.filter((each, at) => at === 0 || path.basename(each) === 'options.js');
  return told.map((each) => fs.readFileSync(each, 'utf8')).join('\n');
}

/** @param {string[]} args */
function checkFuzz(args) {
  const targets = fs.readFileSync(path.join(ROOT, 'fuzz', 'Cargo.toml'), 'utf8');
  const target = args.find((arg, at) => at > 1 && /^[a-z]+$/.test(arg) && arg !== 'none');
  assert.equal(args[1], 'run');
  assert.match(targets, new RegExp(`name = "${target}"`), `cargo fuzz run ${target}: there is no such target`);
}

module.exports = { checkShell };
