'use strict';

// `npm run lint` runs it: checks that the tree keeps to docs/internals/architecture.md. What each check looks for stands at the
// head of its file in scripts/house/; scripts/house/rules.js has the limits and the exceptions, each exception with its reason.
// `node scripts/house.js --arrows` prints the arrows between layers.

const fs = require('node:fs');
const path = require('node:path');
const { missingFiles } = require('./house/comments.js');
const { deadExports } = require('./house/dead-exports.js');
const { entryPointProblems } = require('./house/entry-points.js');
const { check, staleCircles } = require('./house/graph.js');
const { JAVASCRIPT_LAYERS, javascriptArrows } = require('./house/javascript.js');
const { tooLong } = require('./house/lengths.js');
const { LAYERS, rustArrows } = require('./house/rust.js');
const { doubleTypes } = require('./house/type-names.js');
const RULES = require('./house/rules.js');

/** The folders whose files are read. */
const FOLDERS = ['src', 'lib', 'exports', 'scripts', 'test', 'bench'];
/** Folders whose files comments name, but that are not read. */
const NAMED_FOLDERS = ['docs', 'fuzz'];

/** Every file below a folder. @param {string} root @param {string} folder */
function filesIn(root, folder) {
  if (!fs.existsSync(path.join(root, folder))) return [];
  return fs
    .readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join(folder, name.split(path.sep).join('/')))
    .filter((file) => !/(^|\/)(node_modules|target)\//.test(file));
}

/**
 * The sources with their texts, and the names of all files that comments may name.
 * @param {string} root
 */
function readTree(root) {
  const names = [...FOLDERS, ...NAMED_FOLDERS].flatMap((folder) => filesIn(root, folder));
  const sources = ['client.js', ...names].filter(
    (file) => /\.(rs|[cm]?js)$/.test(file) && !NAMED_FOLDERS.includes(file.split('/')[0]),
  );
  return {
    files: new Map(sources.map((file) => [file, fs.readFileSync(path.join(root, file), 'utf8')])),
    names: new Set(names),
  };
}

/**
 * All problems, and the arrows that were looked at.
 * @param {Map<string, string>} files sources by their paths
 * @param {typeof RULES} rules
 * @param {Set<string>} names of files that comments may name
 */
function inspect(files, rules, names = new Set(files.keys())) {
  const rust = rustArrows(files);
  const javascript = javascriptArrows(files);
  const problems = [
    ...check(rust, LAYERS, rules.circles),
    ...check(javascript, JAVASCRIPT_LAYERS, rules.circles),
    ...staleCircles([...rust, ...javascript], rules.circles),
    ...entryPointProblems(files, rules.entryPoints),
    ...deadExports(files),
    ...tooLong(files, rules),
    ...missingFiles(files, names),
    ...doubleTypes(files, rules.types),
  ];
  return { problems, rust, javascript };
}

function main() {
  const { files, names } = readTree(path.join(__dirname, '..'));
  const { problems, rust, javascript } = inspect(files, RULES, names);
  if (process.argv.includes('--arrows')) {
    const between = new Set([...rust, ...javascript].map(({ fromLayer, toLayer }) => `${fromLayer} -> ${toLayer}`));
    for (const arrow of [...between].sort()) console.log(arrow);
  }
  for (const problem of problems) console.error(`house: ${problem}`);
  console.log(
    `house: ${files.size} files, ${rust.length} uses in src/, ${javascript.length} in lib/: ` +
      (problems.length === 0 ? 'all is well' : `${problems.length} problems`),
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (require.main === module) main();

module.exports = { inspect };
