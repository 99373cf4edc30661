'use strict';

// What moves when the number of shards changes, by slots.

const { ParameterError } = require('../../../client.js');
const { SLOTS, partitionsOfSlots, quoted, slotExpression, slotOfColumn } = require('./slots.js');

/** The function of the triggers, and how their names begin. */
const GUARD = 'hyperiondb_moving';

/**
 * @typedef {object} Move the slots that one shard gives to another
 * @property {number} from
 * @property {number} to
 * @property {number} slots how many
 * @property {number} share of all slots, from 0 to 1
 * @property {[number, number][]} ranges the slots, first and last included
 * @property {string} condition SQL that is true for rows of these slots
 * @property {MoveSql} sql for the rows of `table`, on the shard that gives them away
 */
/**
 * @typedef {object} MoveSql
 * @property {string} count
 * @property {string[]} guard from now on, nothing writes to these rows: not even a process that still has the old configuration
 * @property {string} copy
 * @property {string[]} release ends that
 * @property {string} delete
 */
/** @typedef {{ from: number, to: number, slots: number, moved: number, share: number, table: string, expression: string, moves: Move[] }} Plan `table`: in SQL */

/** @param {unknown} value @param {string} name */
function checkCount(value, name) {
  if (!Number.isInteger(value) || /** @type {number} */ (value) < 1 || /** @type {number} */ (value) > SLOTS) {
    throw new ParameterError(`${name} must be a number of shards, from 1 to ${SLOTS}`);
  }
}

/** @param {number[]} slots ascending @returns {[number, number][]} */
function rangesOf(slots) {
  /** @type {[number, number][]} */
  const ranges = [];
  for (const slot of slots) {
    const last = ranges.at(-1);
    if (last?.[1] === slot - 1) last[1] = slot;
    else ranges.push([slot, slot]);
  }
  return ranges;
}

/** @param {string} expression @param {[number, number][]} ranges */
function conditionOf(expression, ranges) {
  const parts = ranges.map(([first, last]) =>
    first === last ? `${expression} = ${first}` : `${expression} BETWEEN ${first} AND ${last}`,
  );
  return parts.length === 1 ? parts[0] : `(${parts.join(' OR ')})`;
}

/**
 * Triggers that refuse to write rows that move. CREATE TRIGGER waits for transactions that have written to the table, and others wait
 * for it (SHARE ROW EXCLUSIVE): so what is copied later has every write.
 * @param {string} table as it is called, not in SQL
 * @param {number} taker
 * @param {(record: 'NEW' | 'OLD') => string} conditionOn
 */
function guardOf(table, taker, conditionOn) {
  const parts = table.split('.');
  const [name, call] = [parts, [...parts.slice(0, -1), GUARD]].map((names) => names.map(quoted).join('.'));
  const trigger = (/** @type {string} */ end) => quoted(`${GUARD}_to_${taker}_${end}`);
  return {
    guard: [
      `CREATE OR REPLACE FUNCTION ${call}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` +
        `RAISE EXCEPTION 'rows of % move to another shard: nothing was changed', TG_TABLE_NAME USING ERRCODE = '55000'; END $$`,
      `CREATE TRIGGER ${trigger('new')} BEFORE INSERT OR UPDATE ON ${name} FOR EACH ROW WHEN (${conditionOn('NEW')}) EXECUTE FUNCTION ${call}()`,
      `CREATE TRIGGER ${trigger('old')} BEFORE UPDATE OR DELETE ON ${name} FOR EACH ROW WHEN (${conditionOn('OLD')}) EXECUTE FUNCTION ${call}()`,
    ],
    release: ['new', 'old'].map((end) => `DROP TRIGGER ${trigger(end)} ON ${name}`),
  };
}

/**
 * @param {number} from shards now
 * @param {number} to shards then
 * @param {{ key: string, table: string }} names of the column with the key, and of a table, also `schema.table`
 * @returns {Plan}
 */
function planMoves(from, to, { key, table }) {
  checkCount(from, 'from');
  checkCount(to, 'to');
  const expression = slotExpression(key);
  const name = table.split('.').map(quoted).join('.');
  const [now, then] = [partitionsOfSlots(from), partitionsOfSlots(to)];
  /** @type {Map<string, number[]>} */
  const moving = new Map();
  for (let slot = 0; slot < SLOTS; slot++) {
    if (now[slot] === then[slot]) continue;
    const pair = `${now[slot]} ${then[slot]}`;
    moving.set(pair, [...(moving.get(pair) ?? []), slot]);
  }
  const moves = [...moving]
    .map(([pair, slots]) => {
      const [giver, taker] = pair.split(' ').map(Number);
      const ranges = rangesOf(slots);
      const condition = conditionOf(expression, ranges);
      const sql = {
        count: `SELECT count(*) FROM ${name} WHERE ${condition}`,
        ...guardOf(table, taker, (record) => conditionOf(slotOfColumn(`${record}.${quoted(key)}`), ranges)),
        copy: `COPY (SELECT * FROM ${name} WHERE ${condition}) TO STDOUT`,
        delete: `DELETE FROM ${name} WHERE ${condition}`,
      };
      return { from: giver, to: taker, slots: slots.length, share: slots.length / SLOTS, ranges, condition, sql };
    })
    .sort((a, b) => a.from - b.from || a.to - b.to);
  const moved = moves.reduce((sum, { slots }) => sum + slots, 0);
  return { from, to, slots: SLOTS, moved, share: moved / SLOTS, table: name, expression, moves };
}

module.exports = { planMoves };
