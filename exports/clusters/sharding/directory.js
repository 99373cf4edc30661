'use strict';

// The strategy `directory`: a function of the caller, or a table, knows the shard of each key. What the table has said is kept for
// `cacheMs`, and many calls for one key at a time ask once.

const { HyperionError, ParameterError } = require('../../../client.js');
const { keyText, quoted } = require('./slots.js');

/** @typedef {(shard: number, sql: string, params: unknown[]) => Promise<ArrayLike<any>>} Lookup */

/** How many answers are kept; the one that was used the longest time ago is forgotten. */
const MOST = 100_000;

/**
 * @param {unknown} answer
 * @param {number} count of shards
 * @param {string} clusterId
 * @returns {number}
 */
function checkShard(answer, count, clusterId) {
  if (answer === undefined || answer === null) {
    throw new ParameterError(`shardKey: the directory of cluster '${clusterId}' does not have this key`);
  }
  const shard = typeof answer === 'bigint' || isDigits(answer) ? Number(answer) : answer;
  if (typeof shard === 'number' && Number.isInteger(shard) && shard >= 0 && shard < count) return shard;
  const shown = typeof shard === 'number' ? shard : typeof answer;
  throw new HyperionError(
    `the directory of cluster '${clusterId}' has answered ${shown}, but the shards are 0 to ${count - 1}`,
    'ERR_UNKNOWN_SHARD',
  );
}

/** A column of int8 or numeric may come as a text. @param {unknown} answer */
const isDigits = (answer) => typeof answer === 'string' && /^\d{1,4}$/.test(answer);

/** The answers of a directory that is a table. */
class TableDirectory {
  #sql;
  #options;
  #lookup;
  #check;
  /** The one that was used last is the last. @type {Map<string, { shard: number, until: number }>} */
  #known = new Map();
  /** @type {Map<string, Promise<number>>} */
  #asked = new Map();

  /**
   * @param {import('./rows.js').DirectoryTable} options
   * @param {Lookup} lookup
   * @param {(answer: unknown) => number} check
   */
  constructor(options, lookup, check) {
    const { table, keyColumn, shardColumn } = options;
    this.#sql = `SELECT ${quoted(shardColumn)} AS shard FROM ${table.split('.').map(quoted).join('.')} WHERE ${quoted(keyColumn)} = $1 LIMIT 2`;
    this.#options = options;
    this.#lookup = lookup;
    this.#check = check;
  }

  /** @param {unknown} key @returns {number | Promise<number>} */
  shardOf(key) {
    const text = keyText(key);
    const known = this.#known.get(text);
    if (known !== undefined) {
      this.#known.delete(text);
      if (performance.now() < known.until) {
        this.#known.set(text, known);
        return known.shard;
      }
    }
    const asked = this.#asked.get(text);
    if (asked !== undefined) return asked;
    const asking = this.#ask(text).finally(() => this.#asked.delete(text));
    this.#asked.set(text, asking);
    return asking;
  }

  /** @param {string} text */
  async #ask(text) {
    const { shard: place, cacheMs, table } = this.#options;
    // From here the answer may be as old as it says: a key that moves meanwhile must not be remembered for longer.
    const until = performance.now() + cacheMs;
    const rows = await this.#lookup(place, this.#sql, [text]);
    if (rows.length > 1) throw new HyperionError(`the directory ${table} has a key twice`, 'ERR_UNKNOWN_SHARD');
    const shard = this.#check(rows[0]?.shard);
    if (cacheMs > 0) {
      this.#known.set(text, { shard, until });
      if (this.#known.size > MOST) this.#known.delete(/** @type {string} */ (this.#known.keys().next().value));
    }
    return shard;
  }
}

/**
 * What answers for a directory.
 * @param {import('./rows.js').DirectoryTable | import('./rows.js').DirectoryFunction} directory
 * @param {{ clusterId: string, count: number, lookup: Lookup }} surroundings
 * @returns {(key: any) => number | Promise<number>}
 */
function openDirectory(directory, { clusterId, count, lookup }) {
  const check = (/** @type {unknown} */ answer) => checkShard(answer, count, clusterId);
  if (typeof directory !== 'function') {
    const table = new TableDirectory(directory, lookup, check);
    return (key) => table.shardOf(key);
  }
  return (key) => {
    keyText(key);
    const answer = /** @type {any} */ (directory(key));
    return typeof answer?.then === 'function' ? Promise.resolve(answer).then(check) : check(answer);
  };
}

module.exports = { openDirectory };
