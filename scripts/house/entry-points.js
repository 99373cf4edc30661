'use strict';

// exports/<name>/index.js is what `hyperiondb-client/<name>` loads. It uses the package as its users do: a file of exports/<name>/
// requires client.js and files of exports/<name>/, nothing else of the package; scripts/house/rules.js has the exceptions.

const { requires, typeImports } = require('./javascript.js');

/**
 * @param {Map<string, string>} files
 * @param {typeof import('./rules.js').entryPoints} exceptions
 */
function entryPointProblems(files, exceptions) {
  const needed = new Set();
  const problems = [...files].flatMap(([file, text]) => {
    const own = /^exports\/[^/]+\//.exec(file)?.[0];
    if (own === undefined) return file.startsWith('exports/') ? [`${file} stands in no folder of exports/`] : [];
    return [...requires(file, text), ...typeImports(file, text)]
      .filter(({ target }) => target !== 'client.js' && target !== 'package.json' && !target.startsWith(own))
      .filter(({ target }) => {
        const exception = exceptions.find(({ from, to }) => file.startsWith(from) && target.startsWith(to));
        needed.add(exception);
        return exception === undefined;
      })
      .map(
        ({ target, line }) => `${file}:${line} requires ${target}: a file of ${own} may require client.js and ${own}`,
      );
  });
  const stale = exceptions
    .filter((exception) => !needed.has(exception))
    .map(({ from, to }) => `the exception for ${from}, which may require ${to}, is not needed`);
  return [...problems, ...stale];
}

module.exports = { entryPointProblems };
