'use strict';

// What index.d.ts declares is there, and what is there is declared.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const pg = /** @type {any} */ (require('../../exports/pg'));
const ConnectionParameters = require('../../exports/pg/connection-parameters.js');
const { test } = require('../support/helpers.js');

const text = fs.readFileSync(path.join(__dirname, '..', '..', 'exports', 'pg', 'index.d.ts'), 'utf8');

/** Of pg, undocumented, and not in @types/pg. */
const UNDECLARED = ['_pools'];

/** The names of members in the block behind a head. @param {string} head */
function membersOf(head) {
  const start = text.search(new RegExp(`${head}\\b`));
  assert.ok(start >= 0, head);
  const block = text.slice(start, text.indexOf('\n}', start));
  const lines = block
    .split('\n')
    .slice(1)
    .join('\n')
    .replaceAll(/\/\*\*[\s\S]*?\*\//g, (comment) => (comment.includes('@deprecated') ? '@gone ' : ''));
  return [...lines.matchAll(/^ {2}(@gone\s+)?(?:readonly )?(\w+)[?(<:]/gm)]
    .filter(([, gone]) => gone === undefined)
    .map(([, , name]) => name)
    .filter((name) => name !== 'constructor');
}

test('declarations: every class, constant and function is exported, and nothing else', () => {
  const declared = [...text.matchAll(/^export (?:class|const|function) (\w+)/gm)].map(([, name]) => name);
  const exported = Object.getOwnPropertyNames(pg).filter((name) => !UNDECLARED.includes(name) && name !== '__esModule');
  assert.deepEqual([...new Set(declared)].sort(), exported.sort());
});

test('declarations: the members of objects and classes are there', () => {
  const pool = new pg.Pool();
  const client = new pg.Client();
  for (const [head, object] of /** @type {[string, any][]} */ ([
    ['export class Pool', pool],
    ['declare class ClientBase', client],
    ['export class Client', client],
    ['export class Connection', client.connection],
    ['export class Query', new pg.Query('SELECT 1')],
    ['export class Cursor', new pg.Cursor('SELECT 1')],
    ['export class QueryStream', new pg.QueryStream('SELECT 1')],
    ['export class Result', new pg.Result()],
    ['export class TypeOverrides', new pg.TypeOverrides()],
    ['export interface Types', pg.types],
    ['export interface TypesBuiltins', pg.types.builtins],
    ['export const utils', pg.utils],
    ['export const copyStreams', pg.copyStreams],
    ['export interface PoolOptions', pool.options],
  ])) {
    const members = membersOf(head);
    assert.ok(members.length > 0, head);
    assert.deepEqual(
      members.filter((name) => !(name in object)),
      [],
      head,
    );
  }
  const parameters = new ConnectionParameters({ host: 'a,b' });
  assert.deepEqual(
    membersOf('export interface ConnectionParameters').filter((name) => !(name in parameters)),
    [],
  );
});
