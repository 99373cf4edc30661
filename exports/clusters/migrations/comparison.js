'use strict';

// What the files say beside what a database says: pure functions.

/** @typedef {import('./files.js').Migration} Migration */
/** @typedef {import('./ledger.js').Applied} Applied */
/** @typedef {import('./errors.js').Problem} Problem */
/** @typedef {Omit<Problem, 'unit'>} Wrong */

/** 1_a and 001_a are one name. @param {string} name */
const unpadded = (name) => name.replace(/^0+(?=\d)/, '');

/**
 * Why nothing may be applied to this unit, in the order of the migrations.
 * @param {string} unit
 * @param {Migration[]} migrations in order
 * @param {Applied[]} applied in order
 * @returns {Problem[]}
 */
function problemsOf(unit, migrations, applied) {
  const files = new Map(migrations.map((one) => [one.number, one]));
  const known = new Set(applied.map(({ number }) => number));
  const [lastFile, lastRow] = [migrations.at(-1), applied.at(-1)];
  return [
    ...applied.flatMap((row) => wrongRow(row, files.get(row.number), lastFile) ?? []),
    ...migrations.flatMap((file) => (known.has(file.number) ? [] : (lateFile(file, lastRow) ?? []))),
  ].map((wrong) => ({ unit, ...wrong, message: `${unit}: ${wrong.name} ${wrong.message}` }));
}

/** A row above the last file is of a newer release, and no problem. @param {Applied} row @param {Migration | undefined} file @param {Migration | undefined} lastFile @returns {Wrong | undefined} */
function wrongRow({ number, name, checksum, state }, file, lastFile) {
  const wrong = (/** @type {Problem['code']} */ code, /** @type {string} */ message) => ({
    number,
    name,
    code,
    message,
  });
  if (state === 'begun') {
    return wrong(
      'ERR_MIGRATION_BEGUN',
      'was begun outside of a transaction, and it is not known what of it was done: see to it, then set the state of its row to ' +
        "'applied', or delete the row",
    );
  }
  if (file === undefined) {
    const isNewer = lastFile === undefined || number > lastFile.number;
    return isNewer ? undefined : wrong('ERR_MIGRATION_MISSING', 'was applied, but there is no such migration here');
  }
  if (unpadded(file.name) !== unpadded(name)) {
    return wrong('ERR_MIGRATION_CHANGED', `was applied, but is called ${file.name} here`);
  }
  return file.checksum === checksum ? undefined : wrong('ERR_MIGRATION_CHANGED', 'has changed since it was applied');
}

/** @param {Migration} file @param {Applied | undefined} lastRow @returns {Wrong | undefined} */
function lateFile({ number, name }, lastRow) {
  if (lastRow === undefined || number > lastRow.number) return undefined;
  return {
    ...{ number, name, code: 'ERR_MIGRATION_ORDER' },
    message: `was not applied, but ${lastRow.name}, which comes after it, was: give it a number above ${lastRow.number}`,
  };
}

/** @param {Migration[]} migrations @param {Applied[]} applied */
function pendingOf(migrations, applied) {
  const known = new Set(applied.map(({ number }) => number));
  return migrations.filter(({ number }) => !known.has(number));
}

module.exports = { pendingOf, problemsOf };
