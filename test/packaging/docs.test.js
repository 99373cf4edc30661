'use strict';

// The code blocks of the documentation do what they say: js runs against a real cluster, ts compiles, sql runs, json is JSON,
// commands and their options exist, and the output of a command looks like what the command prints.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ROOT, allBlocks, blocksOf, documents } = require('./docs/blocks.js');
const { checkShell } = require('./docs/shell.js');
const { createLease } = require('../../client.js');
const { World } = require('./docs/world.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { HANG_MS, test, useCluster } = require('../support/helpers.js');

const LANGUAGES = ['js', 'ts', 'sh', 'sql', 'json', ''];
const blocks = allBlocks();
const db = useCluster({ nodes: 3, settings: { fsync: true, max_prepared_transactions: 10 } });

/** @param {string} language */
const written = (language) => blocks.filter((block) => block.language === language);
/** @param {import('./docs/blocks.js').Block} block */
const nameOf = ({ file, line, text }) => `${file}:${line}: ${text.split('\n')[0].slice(0, 60)}`;

test('docs: every block is in a language that is tested', (t) => {
  const strange = blocks.filter(({ language }) => !LANGUAGES.includes(language));
  assert.deepEqual(strange.map(nameOf), []);
  const counts = LANGUAGES.map((language) => `${written(language).length} ${language || 'output'}`);
  t.diagnostic(`${blocks.length} blocks: ${counts.join(', ')}`);
  assert.ok(blocks.length > 40 && LANGUAGES.every((language) => written(language).length > 0), counts.join());
});

// Those of docs/orms.md need published libraries: test/external/orms.docs.test.js runs them.
for (const block of written('js').filter(({ file }) => file !== 'docs/orms.md')) {
  test(`docs: js block runs: ${nameOf(block)}`, async (t) => {
    const world = new World(db);
    t.after(() => world.end());
    await world.run(block);
  });
}

for (const block of written('sql')) {
  test(`docs: sql block runs: ${nameOf(block)}`, async (t) => {
    const world = new World(db);
    t.after(() => world.end());
    await world.run({ ...block, text: `await pool.exec(${JSON.stringify(block.text)});` });
  });
}

for (const block of written('json')) test(`docs: json block is JSON: ${nameOf(block)}`, () => JSON.parse(block.text));

for (const block of written('sh'))
  test(`docs: commands of a sh block exist: ${nameOf(block)}`, () => checkShell(block.text));

test('docs: ts blocks compile, and so does client.d.ts', { timeout: HANG_MS * 5 }, async (t) => {
  const folder = fs.mkdtempSync(path.join(__dirname, 'docs', 'ts-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const { file, line, text } of written('ts')) {
    fs.writeFileSync(path.join(folder, `${file.replaceAll(/\W/g, '_')}_${line}.ts`), `${text}\nexport {};\n`);
  }
  const compilerOptions = {
    ...JSON.parse(fs.readFileSync(path.join(ROOT, 'tsconfig.json'), 'utf8')).compilerOptions,
    paths: {
      'hyperiondb-client': [path.join(ROOT, 'client.d.ts')],
      'hyperiondb-client/clusters': [path.join(ROOT, 'exports', 'clusters', 'index.d.ts')],
      'hyperiondb-client/metrics': [path.join(ROOT, 'exports', 'metrics', 'index.d.ts')],
      'hyperiondb-client/pg': [path.join(ROOT, 'exports', 'pg', 'index.d.ts')],
      'hyperiondb-client/serverless': [path.join(ROOT, 'exports', 'serverless', 'index.d.ts')],
      'hyperiondb-client/testing': [path.join(ROOT, 'exports', 'testing', 'index.d.ts')],
    },
    // Checks client.d.ts itself, too, which skipLibCheck of tsconfig.json leaves out.
    skipLibCheck: false,
  };
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
  fs.writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  const { code, out } = await printed(path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), [
    '--project',
    folder,
  ]);
  assert.deepEqual({ code, out }, { code: 0, out: '' });
});

/** @param {string} script @param {string[]} args @param {NodeJS.ProcessEnv} [env] @returns {Promise<{ code: number | null, out: string }>} */
function printed(script, args, env) {
  const child = spawn(process.execPath, [script, ...args], { cwd: ROOT, env: { ...process.env, ...env } });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
  }
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, out }));
  });
}

/** A line without the parts that differ between clusters: addresses, numbers, and the spaces between them. @param {string} line */
const shapeOf = (line) =>
  line
    .replaceAll(/(db\d|127\.0\.0\.1):\d+/g, 'NODE')
    .replaceAll(/[+-]?\d[\d./A-F]*|(?<= )-(?= )/g, '0')
    .replaceAll(/\s+/g, ' ')
    .trim();

const SECRET = 'a secret of the documentation';

/** The sessions that the documentation shows: of a process that runs, and of two that are frozen. @param {import('node:test').TestContext} t */
async function openLeases(t) {
  for (const [instance, seconds] of /** @type {const} */ ([
    ['Qm9vZ2xl', -420],
    ['bQ81k2Lm', -240],
    ['aZ09_-xQ', 61],
    ['aZ09_-xQ', 88],
  ])) {
    const expiresAt = Date.now() + seconds * 1000;
    const applicationName = createLease({ secret: SECRET, serviceName: 'checkout', instance, expiresAt });
    await db.pool(t, { poolSize: 1, monitor: false, applicationName }).query('SELECT 1');
  }
}

for (const block of written('')) {
  test(`docs: output is what the command prints: ${nameOf(block)}`, async (t) => {
    const [, line = '', more] =
      /^output of npx hyperiondb-client (\w[\w -]*?)( with one node more, that is down)?$/.exec(block.note ?? '') ?? [];
    assert.ok(line, 'a block without a language says above it of which command it is the output');
    const [command, ...args] = line.split(' ');
    const { hosts, user, password, database } = db.cluster;
    const all = more ? [...hosts, `127.0.0.1:${await freePort()}`] : hosts;
    const place = command === 'shards' ? args : ['--hosts', all.join(), ...args];
    if (command === 'leases') await openLeases(t);
    const { out } = await printed(path.join(ROOT, 'lib', 'cli', 'index.js'), [command, ...place], {
      ...{ PGUSER: user, PGPASSWORD: password, PGDATABASE: database, HYPERION_COORDINATION_SECRET: SECRET },
    });
    const real = new Set(out.split('\n').map(shapeOf));
    const [first, ...rest] = block.text.split('\n');
    assert.ok(real.has(shapeOf(first.replace(/ +last error$/, ''))), `${first}\nis not in\n${out}`);
    assert.ok(real.has(shapeOf(rest.at(-1) ?? '')), `${rest.at(-1)}\nis not in\n${out}`);
    // The block may also show what is rare, but half of its lines must be what every user sees.
    const seen = rest.filter((line) => real.has(shapeOf(line))).length;
    assert.ok(seen * 2 >= rest.length, `${seen} of ${rest.length} lines are in\n${[...real].join('\n')}`);
  });
}

/** The anchor that GitHub makes of a heading. @param {string} heading */
const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .trim()
    .replaceAll(' ', '-');

/** The broken links of a document. @param {string} file @param {string} text */
function brokenLinks(file, text) {
  const prose = text.replaceAll(/```[\s\S]*?```/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
    if (/^https?:/.test(link)) return [];
    const [name, anchor] = link.split('#');
    const target = path.join(ROOT, name === '' ? file : path.join(path.dirname(file), name));
    if (!fs.existsSync(target)) return [`${file}: ${link}: there is no such file`];
    if (anchor === undefined) return [];
    const headings = fs.readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm);
    return [...headings].some(([, heading]) => anchorOf(heading) === anchor)
      ? []
      : [`${file}: ${link}: there is no such heading`];
  });
}

test('docs: links lead to files and headings', () => {
  const broken = documents().flatMap((file) => brokenLinks(file, fs.readFileSync(path.join(ROOT, file), 'utf8')));
  assert.deepEqual(broken, []);
  assert.deepEqual(brokenLinks('docs/x.md', 'see [a](nothing.md), [b](types.md#nothing), [c](../README.md#types)'), [
    'docs/x.md: nothing.md: there is no such file',
    'docs/x.md: types.md#nothing: there is no such heading',
  ]);
});

test('docs: files that are named exist', () => {
  const named = documents().flatMap((file) => {
    const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
    // Not `knex/lib/...`, which is a file of a library.
    return [...text.matchAll(/(?<![\w-]\/)\b(?:src|lib|exports|test|scripts|bench)\/[\w./-]+\.(?:rs|js|ts)\b/g)].map(
      ([name]) => ({
        file,
        name,
      }),
    );
  });
  assert.ok(named.length > 50, `${named.length} files are named`);
  assert.deepEqual(
    named.filter(({ name }) => !fs.existsSync(path.join(ROOT, name))),
    [],
  );
});

test('docs: the README names every page', () => {
  const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  for (const file of documents()) if (file !== 'README.md') assert.ok(readme.includes(file), file);
});

// --- the checks can fail

test('docs checker: a block that never ends, or has no fence, is found', () => {
  assert.throws(() => blocksOf('x.md', '```js\nlet a;\n'), /x\.md:1 begins a block that never ends/);
  assert.throws(() => blocksOf('x.md', 'Do this:\n\n    npm test\n'), /x\.md:3 looks like a block without a fence/);
  const [block] = blocksOf('x.md', '\n<!-- test: assert.ok(a) -->\n\n```js\nlet a;\n```\n');
  assert.deepEqual(block, { file: 'x.md', line: 4, language: 'js', text: 'let a;', note: 'assert.ok(a)' });
});

for (const [text, why] of /** @type {[string, RegExp][]} */ ([
  ['npm run bnech', /there is no such script/],
  ['npm run bench -- --onyl W2', /it knows no such option/],
  ['npm run bench --only W2', /stand behind --/],
  ['npx hyperiondb-client statsu', /unknown command/],
  ['npx hyperiondb-client status --intervall 5', /unknown option/],
  ['npx hyperion', /it is no dependency/],
  ['node bench/nothing.js', /there is no such file/],
  ['node --import hyperiondb-client/regster your-app.js', /it has no such entry/],
  ['npm install left-pad', /npm install left-pad/],
  ['npm test && curl https://example.com', /nothing is known of: curl/],
  ['cargo fuzz run nothing', /there is no such target/],
])) {
  test(`docs checker refuses the command: ${text}`, () => assert.throws(() => checkShell(text), why));
}

test('docs checker: js that throws, wrong options and failed checks are found', async (t) => {
  for (const [text, note, why] of /** @type {[string, string | null, RegExp][]} */ ([
    ["await pool.query('SELECT * FROM nowhere');", null, /"nowhere" does not exist/],
    ['createPool({ hosts, poolSzie: 3 });', null, /unknown option 'poolSzie'/],
    ["createPool({ hosts, ssl: { ca: '/etc/ssl/nothing.pem' } });", null, /nothing\.pem|ENOENT|cannot be read/],
    ['const a = 1;', 'assert.equal(a, 2)', /Expected values to be strictly equal/],
    ['undefinedName();', null, /undefinedName is not defined/],
  ])) {
    const world = new World(db);
    t.after(() => world.end());
    await assert.rejects(() => world.run({ file: 'x.md', line: 1, language: 'js', text, note }), why);
  }
});
