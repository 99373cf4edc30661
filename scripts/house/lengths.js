'use strict';

// No file is much longer than 400 lines.

/**
 * @param {Map<string, string>} files
 * @param {{ limit: number, lengths: Record<string, number> }} rules
 */
function tooLong(files, { limit, lengths }) {
  const problems = [];
  for (const [file, text] of files) {
    const lines = text.split('\n').length - 1;
    const most = lengths[file] ?? limit;
    if (lines > most) problems.push(`${file} has ${lines} lines; ${most} are its limit: two subjects, two files`);
    else if (file in lengths && lines <= limit) {
      problems.push(`${file} has only ${lines} lines: take it out of the exceptions in scripts/house/rules.js`);
    }
  }
  const gone = Object.keys(lengths).filter((file) => !files.has(file));
  return [
    ...problems,
    ...gone.map((file) => `${file} is an exception in scripts/house/rules.js, and there is no such file`),
  ];
}

module.exports = { tooLong };
