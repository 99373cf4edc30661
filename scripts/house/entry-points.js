'use strict';

// exports/<name>/index.js is what `hyperiondb-client/<name>` loads. It uses the package as its users do: a file of exports/<name>/
// requires client.js and files of exports/<name>/, nothing else of the package.

const { requires, typeImports } = require('./javascript.js');

/** @param {Map<string, string>} files */
function entryPointProblems(files) {
  return [...files].flatMap(([file, text]) => {
    const own = /^exports\/[^/]+\//.exec(file)?.[0];
    if (own === undefined) return file.startsWith('exports/') ? [`${file} stands in no folder of exports/`] : [];
    return [...requires(file, text), ...typeImports(file, text)]
      .filter(({ target }) => target !== 'client.js' && target !== 'package.json' && !target.startsWith(own))
      .map(
        ({ target, line }) => `${file}:${line} requires ${target}: a file of ${own} may require client.js and ${own}`,
      );
  });
}

module.exports = { entryPointProblems };
