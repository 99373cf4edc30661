'use strict';

// The steps of a release, each by itself, and then all of them as far as one machine can: scripts/release/. The rest of the
// workflows is checked by actionlint.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe } = require('node:test');
const { plan } = require('../../scripts/ci/postgres.js');
const { lint, workflows } = require('../../scripts/release/actionlint.js');
const { inspect } = require('../../scripts/release/artefact.js');
const { bump, nextPatch } = require('../../scripts/release/bump.js');
const { commit } = require('../../scripts/release/commit.js');
const { programs } = require('../../scripts/release/quickstart.js');
const { replay } = require('../../scripts/release/replay.js');
const { suffixOf, thisMachine } = require('../../lib/core/binding.js');
const { UnsupportedError } = require('../support/cluster');
const { test } = require('../support/helpers.js');

const ROOT = path.join(__dirname, '..', '..');
const ADDON = path.join(ROOT, `hyperiondb-client.${suffixOf(thisMachine())}.node`);
const VERSIONED = ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock', 'index.js', 'npm'];
const manifest = require('../../package.json');

/** A folder that is removed when its test ends. @param {import('node:test').TestContext} t */
function folderFor(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperiondb-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of the files that contain the version. @param {string} folder */
function copyVersioned(folder) {
  for (const name of VERSIONED) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, name), {
      recursive: true,
      filter: (file) => !file.endsWith('.node'),
    });
  }
  return folder;
}

/** @param {string} folder @param {string} text @returns {string[]} the lines of VERSIONED's files that have it */
function linesWith(folder, text) {
  return VERSIONED.flatMap((name) => {
    const full = path.join(folder, name);
    const files = fs.statSync(full).isDirectory()
      ? fs.readdirSync(full).map((sub) => `${name}/${sub}/package.json`)
      : [name];
    return files.flatMap((file) =>
      fs
        .readFileSync(path.join(folder, file), 'utf8')
        .split('\n')
        .filter((line) => line.includes(text))
        .map((line) => `${file}: ${line.trim()}`),
    );
  });
}

describe('release: bump of the version', () => {
  test('release bump adds one to the patch number', () => {
    assert.equal(nextPatch('0.1.0'), '0.1.1');
    assert.equal(nextPatch('1.9.99'), '1.9.100');
    for (const wrong of ['1.2', '1.2.3-beta.1', 'v1.2.3', '']) assert.throws(() => nextPatch(wrong), /no version/);
  });

  test('release bump changes the version in every file that has it, and nothing else', (t) => {
    const folder = copyVersioned(folderFor(t));
    const from = bump(folder, '7.6.5') && linesWith(folder, '7.6.5');
    assert.equal(bump(folder), '7.6.6');
    assert.deepEqual(
      linesWith(folder, '7.6.6'),
      from.map((line) => line.replaceAll('7.6.5', '7.6.6')),
    );
    assert.deepEqual(linesWith(folder, '7.6.5'), []);
    const said = (/** @type {string} */ name) => from.filter((line) => line.startsWith(name)).length;
    assert.deepEqual(
      { ...Object.fromEntries(VERSIONED.map((name) => [name, said(name)])), 'index.js': said('index.js') > 20 },
      { 'package.json': 8, 'package-lock.json': 9, 'Cargo.toml': 1, 'Cargo.lock': 1, 'index.js': true, npm: 7 },
    );
    bump(folder, manifest.version);
    for (const name of VERSIONED.filter((name) => name !== 'npm')) {
      assert.equal(
        fs.readFileSync(path.join(folder, name), 'utf8'),
        fs.readFileSync(path.join(ROOT, name), 'utf8'),
        name,
      );
    }
  });

  test('release bump is refused where the files do not agree', (t) => {
    const folder = copyVersioned(folderFor(t));
    fs.writeFileSync(path.join(folder, 'Cargo.toml'), '[package]\nname = "hyperiondb-client"\nversion = "9.9.9"\n');
    assert.throws(() => bump(folder), /Cargo\.toml says 9\.9\.9, package\.json says/);
    fs.writeFileSync(path.join(folder, 'Cargo.toml'), '[package]\n');
    assert.throws(() => bump(copyVersioned(folder) && folder, 'next'), /next is no version/);
  });

  test('release bump writes the repository where it is known', (t) => {
    const folder = copyVersioned(folderFor(t));
    bump(folder, undefined, 'somebody/hyperiondb-client');
    const repository = { type: 'git', url: 'git+https://github.com/somebody/hyperiondb-client.git' };
    for (const file of ['package.json', 'npm/linux-x64-gnu/package.json', 'npm/win32-x64-msvc/package.json']) {
      assert.deepEqual(JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8')).repository, repository, file);
    }
  });
});

describe('release: commit of a version', () => {
  /** A git repository with the files, and its origin. @param {import('node:test').TestContext} t */
  function clone(t) {
    const folder = folderFor(t);
    const [origin, work] = [path.join(folder, 'origin'), path.join(folder, 'work')];
    const who = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'init.defaultBranch=main'];
    const git = (/** @type {string[]} */ ...args) =>
      execFileSync('git', [...who, ...args], { cwd: work, encoding: 'utf8', stdio: 'pipe' });
    fs.mkdirSync(work);
    copyVersioned(work);
    try {
      git('init', '--quiet', '--bare', origin);
    } catch {
      throw new UnsupportedError('git', 'it is not there');
    }
    git('init', '--quiet');
    git('add', '.');
    git('commit', '--quiet', '-m', 'first');
    git('remote', 'add', 'origin', origin);
    git('push', '--quiet', 'origin', 'HEAD:refs/heads/main');
    const history = (/** @type {string} */ of) => git('--git-dir', origin, 'log', '--format=%s', of).trim().split('\n');
    return { work, git, history };
  }

  test('release commit is pushed with its tag', (t) => {
    const { work, git, history } = clone(t);
    const version = bump(work);
    assert.equal(commit(work, version), 'committed');
    assert.deepEqual(history('main'), [`Release ${version}`, 'first']);
    assert.deepEqual(history(`v${version}`), [`Release ${version}`, 'first']);
    assert.equal(git('status', '--porcelain'), '');
    assert.doesNotMatch(history('main')[0], /\[cd\]/);
  });

  test('release commit goes on top of what was pushed meanwhile, and the tag stays with what was built', (t) => {
    const { work, git, history } = clone(t);
    const built = git('rev-parse', 'HEAD').trim();
    fs.writeFileSync(path.join(work, 'other'), '');
    git('add', 'other');
    git('commit', '--quiet', '-m', 'meanwhile');
    git('push', '--quiet', 'origin', 'HEAD:refs/heads/main');
    git('checkout', '--quiet', '--detach', built);
    const version = bump(work);
    assert.equal(commit(work, version), 'committed');
    assert.deepEqual(history('main'), [`Release ${version}`, 'meanwhile', 'first']);
    assert.deepEqual(history(`v${version}`), [`Release ${version}`, 'first']);
    assert.equal(git('rev-parse', 'HEAD'), git('rev-parse', `v${version}`), 'and is what is published');
  });

  test('release commit is made once, however often the job runs', (t) => {
    const { work, git, history } = clone(t);
    const version = bump(work);
    commit(work, version);
    git('checkout', '--quiet', '--detach', 'HEAD~1');
    bump(work, version);
    assert.equal(commit(work, version), 'was there');
    assert.deepEqual(history('main'), [`Release ${version}`, 'first']);
  });
});

describe('release: add-on to be published', () => {
  /** The smallest ELF file with these section names. @param {string[]} sections @param {string} rest */
  function elf(sections, rest, machine = 62) {
    const strings = `\0${sections.map((name) => `${name}\0`).join('')}`;
    const names = sections.map((_, i) => 1 + sections.slice(0, i).join(' ').length + (i > 0 ? 1 : 0));
    const bytes = Buffer.alloc(64 + 64 * (sections.length + 1));
    bytes.writeUInt32BE(0x7f454c46, 0);
    bytes.writeUInt16LE(machine, 18);
    bytes.writeBigUInt64LE(64n, 0x28);
    bytes.writeUInt16LE(64, 0x3a);
    bytes.writeUInt16LE(sections.length + 1, 0x3c);
    names.forEach((at, i) => bytes.writeUInt32LE(at, 64 + 64 * (i + 1)));
    bytes.writeBigUInt64LE(BigInt(bytes.length), 64 + 0x18);
    return Buffer.concat([bytes, Buffer.from(`${strings}${rest}`)]);
  }
  const good = 'napi_register_module_v1\0';

  test('release add-on is small, stripped, and for the platform in its name', (t) => {
    const folder = folderFor(t);
    /** @type {[string, Buffer, RegExp | null][]} */
    const TABLE = [
      ['x.linux-x64-gnu.node', elf(['.text'], `${good}GLIBC_2.17\0`), null],
      ['x.linux-x64-musl.node', elf(['.text'], good), null],
      ['x.linux-arm64-musl.node', elf(['.text'], good, 183), null],
      ['x.linux-x64-musl.node', elf(['.text'], `${good}GLIBC_2.17\0`), /needs glibc 2\.17/],
      ['x.linux-arm64-gnu.node', elf(['.text'], good), /is for linux-x64/],
      ['x.darwin-x64.node', elf(['.text'], good), /is for linux-x64/],
      ['x.linux-x64-gnu.node', elf(['.text', '.symtab'], good), /not stripped: it has \.symtab/],
      ['x.linux-x64-gnu.node', elf(['.text', '.debug_info'], good), /not stripped: it has \.debug_info/],
      ['x.linux-x64-gnu.node', elf(['.text'], ''), /no addon/],
      ['x.linux-x64-gnu.node', elf(['.text'], good + ' '.repeat(6_000_000)), /too many/],
    ];
    for (const [name, bytes, expected] of TABLE) {
      const file = path.join(folder, name);
      fs.writeFileSync(file, bytes);
      const { wrong } = inspect(file);
      if (expected === null) assert.deepEqual(wrong, [], name);
      else assert.match(wrong.join(), expected, name);
    }
    fs.writeFileSync(path.join(folder, 'x.node'), 'stand-in');
    assert.throws(() => inspect(path.join(folder, 'x.node')), /no library/);
  });
});

describe('release: workflows', () => {
  test('workflows: actionlint finds nothing, and actions are pinned', async () => {
    assert.deepEqual(
      workflows()
        .map(({ name }) => name)
        .sort(),
      ['ci.yml', 'release.yml'],
    );
    for (const { name, text } of workflows()) assert.deepEqual(await lint(name, text), []);
  });

  test('workflows: a mistake in a workflow is found', async () => {
    const [{ text }] = workflows().filter(({ name }) => name === 'release.yml');
    /** @type {[string, string, RegExp][]} */
    const TABLE = [
      ['needs.version.outputs.sha', 'needs.version.outputs.sah', /property "sah" is not defined/],
      ['runs-on: ubuntu-latest', 'runs-on: ubuntu-oldest', /label "ubuntu-oldest" is unknown/],
      ['needs: [version, build]', 'needs: [version, biuld]', /biuld/],
      [/@[0-9a-f]{40} # v6\.0\.2/.exec(text)?.[0] ?? '', '@v6', /actions\/checkout@v6 is not pinned/],
      ['timeout-minutes: 20', 'timeout: 20', /unexpected key "timeout"/],
    ];
    for (const [from, to, expected] of TABLE) {
      assert.ok(from !== '' && text.includes(from), from);
      assert.match((await lint('release.yml', text.replace(from, to))).join('\n'), expected, to);
    }
  });

  test('workflows: release.yml builds and tries each target of package.json', () => {
    const [{ text }] = workflows().filter(({ name }) => name === 'release.yml');
    const built = [...text.matchAll(/^ +- \{ target: (\S+?),(.*)\}$/gm)];
    const targets = [...manifest.napi.targets].sort();
    const [builds, tries] = [false, true].map((isTry) =>
      built.filter(([, , rest]) => rest.includes('arch:') === isTry),
    );
    assert.deepEqual(builds.map(([, target]) => target).sort(), targets);
    assert.deepEqual(tries.map(([, target]) => target).sort(), targets);
    for (const [, target, rest] of builds) {
      assert.equal(rest.includes('--cross-compile'), target.includes('linux'), target);
      assert.equal(rest.includes('.2.17'), target.includes('linux-gnu'), target);
    }
  });

  test('workflows: where CI has its PostgreSQL from', () => {
    assert.deepEqual(plan('18', 'linux', {}), { commands: [], variables: {} });
    assert.deepEqual(plan('18', 'darwin', {}), { commands: [], variables: {} });
    assert.deepEqual(plan('14', 'linux', {}).variables, { HYPERION_PG_BIN: '/usr/lib/postgresql/14/bin' });
    assert.equal(plan('14', 'linux', {}).commands.at(-1)?.at(-1), 'postgresql-14');
    assert.deepEqual(plan('17', 'win32', {}).variables.HYPERION_HOSTS, '127.0.0.1:5432');
    for (const wrong of ['', '12', '19', '16; rm'])
      assert.throws(() => plan(wrong, 'linux', {}), /not one that CI tests/);
  });
});

describe('release: replay', () => {
  test('release replay finds the quick start whatever its options are', () => {
    const readme =
      "```sh\nnpm install\n```\n```js\nconst { createPool, sql } = require('hyperiondb-client');\nconst pool = createPool({\n  password: () => ask('x'.length),\n});\nconst rows = [];\n```\n";
    const made = programs(readme);
    assert.match(made.esm, /^import \{ createPool, sql \} from 'hyperiondb-client';$/m);
    assert.match(made.esm, /createPool\(JSON\.parse\(.*\)\);\nconst rows/);
    assert.match(made.mts, /createPool\(login\);/);
    assert.throws(() => programs('# nothing'), /no quick start/);
  });

  test('release replay: packages, install without a compiler, CommonJS, ES modules, TypeScript, threads and copies', {
    timeout: 240_000,
  }, async () => {
    if (process.platform === 'win32') throw new UnsupportedError('the replay', 'it is for Linux and macOS');
    const { HYPERION_HOSTS, HYPERION_PG_BIN } = process.env;
    if (HYPERION_HOSTS || HYPERION_PG_BIN) {
      throw new UnsupportedError('the replay', 'no server makes a difference to it: it is run with the embedded one');
    }
    const { wrong } = inspect(ADDON);
    if (wrong.length > 0)
      throw new UnsupportedError('the replay', `the addon at hand is no release build: it ${wrong.join(', ')}`);
    const { ran, addonBytes, packages } = await replay({ addon: ADDON });
    assert.equal(ran.length, 9);
    assert.ok(addonBytes < 6_000_000);
    assert.deepEqual(
      packages.map(({ name }) => name),
      ['hyperiondb-client', `hyperiondb-client-${suffixOf(thisMachine())}`],
    );
  });
});
