'use strict';

// Migrations as they are in files: in the order of their numbers, each with the checksum of its text.

const { createHash } = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');
const { ParameterError } = require('../../../client.js');
const { migrationError } = require('./errors.js');

/**
 * @typedef {object} Migration
 * @property {bigint} number
 * @property {string} name as the file is called, without `.sql`
 * @property {string} sql
 * @property {string} checksum SHA-256 of the text with `\n` as the end of each line, in hex
 * @property {boolean} inTransaction
 */

const NAME = /^(\d{1,18})[_-](.+)$/s;
/** The first line of a file whose statement cannot run in a transaction. */
const NO_TRANSACTION = /^--[ \t]*no transaction[ \t]*(?:\n|$)/i;

/** @param {string} message */
const unfit = (message) => migrationError('ERR_MIGRATION_FILES', message, { retryable: false });

/** @param {string} given with or without `.sql` @param {string} text @returns {Migration} */
function migrationOf(given, text) {
  const name = given.replace(/\.sql$/i, '');
  const [, number] = NAME.exec(name) ?? [];
  if (number === undefined) {
    throw unfit(`${given}: a migration is called by its number and a name, such as 001_accounts.sql`);
  }
  // Git may give a file other line ends on another machine.
  const sql = text.replace(/^\ufeff/, '').replaceAll(/\r\n?/g, '\n');
  if (sql.includes('\0') || !sql.isWellFormed()) throw unfit(`${given} contains what PostgreSQL cannot have in a text`);
  const checksum = createHash('sha256').update(sql).digest('hex');
  return { number: BigInt(number), name, sql, checksum, inTransaction: !NO_TRANSACTION.test(sql) };
}

/** @param {Migration[]} migrations */
function inOrder(migrations) {
  migrations.sort((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : 0));
  for (const [index, { number, name }] of migrations.entries()) {
    const before = migrations[index - 1];
    if (before?.number === number) throw unfit(`${before.name} and ${name} have one number: which is the first?`);
  }
  return migrations;
}

/** @param {string} file @param {string} name */
async function textOf(file, name) {
  const bytes = await fs.readFile(file);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw unfit(`${name} is not UTF-8`);
  }
}

/** The files `NNN_name.sql` of a folder. @param {string} directory */
async function readDirectory(directory) {
  let names;
  try {
    names = await fs.readdir(directory);
  } catch (error) {
    throw new ParameterError(`directory cannot be read: ${/** @type {NodeJS.ErrnoException} */ (error).code}`, {
      cause: error,
    });
  }
  const files = names.filter((name) => /\.sql$/i.test(name));
  if (files.length === 0) throw unfit('the directory has no migration: no file such as 001_accounts.sql');
  return inOrder(
    await Promise.all(files.map(async (name) => migrationOf(name, await textOf(path.join(directory, name), name)))),
  );
}

/** @param {unknown} given @param {number} index */
function checkMember(given, index) {
  const { name, sql, ...rest } = /** @type {any} */ (typeof given === 'object' && given !== null ? given : {});
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new ParameterError(`migrations[${index}] has an unknown member ${unknown}`);
  for (const [member, value] of Object.entries({ name, sql })) {
    if (typeof value !== 'string') throw new ParameterError(`migrations[${index}].${member} must be a string`);
  }
  return migrationOf(name, sql);
}

/**
 * What is to be applied, from files or as it is given.
 * @param {{ directory?: unknown, migrations?: unknown }} given
 * @returns {Promise<Migration[]>}
 */
async function readMigrations({ directory, migrations }) {
  if ((directory === undefined) === (migrations === undefined)) {
    throw new ParameterError('directory or migrations must be given, and not both');
  }
  if (directory !== undefined) {
    if (typeof directory !== 'string' || directory === '') throw new ParameterError('directory must be a path');
    return readDirectory(directory);
  }
  if (!Array.isArray(migrations)) throw new ParameterError('migrations must be an array of { name, sql }');
  if (migrations.length === 0) throw new ParameterError('migrations must have at least one');
  return inOrder(migrations.map(checkMember));
}

module.exports = { readMigrations };
