'use strict';

// The decisions: what is written into their table, and read from it. Nothing here is done within a caller's transaction, and all of it may
// be asked again: a lost answer changes nothing.

const { ask, persist } = require('./asking.js');
const { EXAMINE, fault, quotedTable, randomId, statementsOf, tableDdl } = require('./decision-table.js');
const { errorOf } = require('./errors.js');

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {import('./decision-table.js').Outcome} Outcome */
/** @typedef {import('./decision-table.js').Decision} Decision */

const UNDEFINED_TABLE = '42P01';
/** Two processes make the table at the same time: its name, its type's name, or its row in a catalogue is there already. */
const RACES = new Set(['23505', '42P07', '42710', 'XX000']);
/** How often the table is looked for while others are making it. */
const MOST_LOOKS = 20;

class Decisions {
  #table;
  #unit;
  #isClosing;
  #statements;
  /** @type {string | undefined} */
  #coordinator;
  /** @type {Promise<string> | undefined} */
  #identifying;
  /** Ids of transactions that every participant has committed, whose rows are to go. @type {Set<string>} */
  #done = new Set();
  /** @type {Promise<void> | undefined} */
  #removing;

  /**
   * @param {string} table
   * @param {() => Unit} unit
   * @param {() => boolean} isClosing whether nothing is asked again; a decision may still be
   */
  constructor(table, unit, isClosing) {
    this.#table = table;
    this.#unit = unit;
    this.#isClosing = isClosing;
    this.#statements = statementsOf(table);
  }

  /**
   * The name of the coordinator, which all processes with this table share. Makes the table if there is none.
   * @param {number} until
   * @returns {Promise<string>}
   */
  async coordinator(until) {
    if (this.#coordinator !== undefined) return this.#coordinator;
    // One question for all who want to know; each waits for it within its own limits.
    this.#identifying ??= this.#identify(until).finally(() => {
      this.#identifying = undefined;
    });
    return this.#identifying;
  }

  /** The same, but undefined where there is no table: then nothing was ever decided. @param {number} until */
  async coordinatorIfAny(until) {
    if (this.#coordinator === undefined && !(await this.#exists(until))) return undefined;
    return this.coordinator(until);
  }

  /** @param {number} until */
  async #identify(until) {
    for (let looks = 1; !(await this.#exists(until)); looks++) await this.#make(until, looks);
    const [{ participants }] = await this.#run(this.#statements.identify, [randomId()], until);
    this.#coordinator = participants[0];
    return participants[0];
  }

  /** @param {number} until @returns {Promise<boolean>} */
  async #exists(until) {
    const [row] = await this.#run(EXAMINE, [quotedTable(this.#table)], until);
    if (row === undefined) return false;
    const found = fault(row);
    if (found !== undefined) throw this.#unfit(found);
    return true;
  }

  /** @param {number} until @param {number} looks */
  async #make(until, looks) {
    try {
      await this.#run(tableDdl(this.#table), [], until);
    } catch (/** @type {any} */ error) {
      if (!RACES.has(error.code) || looks === MOST_LOOKS) throw error;
    }
  }

  /**
   * @param {string} sql
   * @param {unknown[]} params
   * @param {number} until
   * @param {() => boolean} [isOver]
   */
  async #run(sql, params, until, isOver = this.#isClosing) {
    try {
      return await persist((timeoutMs) => ask(this.#unit(), sql, params, timeoutMs), until, { isOver });
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** An error that only the owner of the database can do something about says what. @param {any} error */
  #explained(error) {
    const { code } = error;
    if (code === UNDEFINED_TABLE) this.#coordinator = undefined;
    const isOfTable = ['42501', '3F000', '42703', '42P10', '42P01', '42804', '23514'].includes(code);
    return isOfTable ? this.#unfit(`cannot be used: ${error.message}`, error) : error;
  }

  /** @param {string} reason @param {any} [cause] */
  #unfit(reason, cause) {
    const name = quotedTable(this.#table);
    const { name: cluster } = this.#unit();
    return errorOf(
      `the table of decisions ${name} of cluster '${cluster}' ${reason}\nIt is made by:\n${tableDdl(this.#table)};\n` +
        `and used with: GRANT SELECT, INSERT, UPDATE, DELETE ON ${name} TO the user of the cluster`,
      'ERR_DECISION_TABLE',
      { cause, outcome: cause?.outcome === 'unknown' ? 'unknown' : 'not-applied' },
    );
  }

  /**
   * Decides, or finds what somebody else has decided. When it is too late to commit, and nobody has decided, the decision is `abort`.
   * @param {string} id
   * @param {Outcome} outcome
   * @param {string[]} participants
   * @param {number} before seconds since 1970, by the clock of the server
   * @param {number} until
   * @param {() => boolean} [isOver]
   * @returns {Promise<{ outcome: Outcome, participants: string[] }>}
   */
  async decide(id, outcome, participants, before, until, isOver) {
    const [row] = await this.#run(this.#statements.decide, [id, outcome, participants, before], until, isOver);
    return row ?? this.decide(id, 'abort', participants, Infinity, until, isOver);
  }

  /**
   * All decisions to commit, and what was decided on the given ids. A failover may lose them.
   * @param {string[]} ids
   * @param {number} until
   * @returns {Promise<Decision[]>}
   */
  list(ids, until) {
    return this.#run(this.#statements.list, [ids], until);
  }

  /**
   * Those of the decisions that still are there, and that a failover does not lose.
   * @param {string[]} ids
   * @param {number} until
   * @returns {Promise<Decision[]>}
   */
  async confirm(ids, until) {
    return ids.length === 0 ? [] : this.#run(this.#statements.confirm, [ids], until);
  }

  /**
   * Notes that every participant has committed, for those who still may ask.
   * @param {string} id
   * @param {number} until
   */
  async settle(id, until) {
    await this.#run(this.#statements.settle, [id], until);
  }

  /** Removes what nobody can ask for any more. @param {number} until */
  async removeOld(until) {
    await this.#run(this.#statements.removeOld, [], until);
  }

  /**
   * Removes the decision of this process on a transaction that every participant has committed. Those of one moment go together. A row that
   * stays is found by the recovery.
   * @param {string} id
   */
  remove(id) {
    this.#done.add(id);
    this.#removing ??= this.#removeAll().finally(() => {
      this.#removing = undefined;
    });
    return this.#removing;
  }

  async #removeAll() {
    while (this.#done.size > 0) {
      const ids = [...this.#done];
      this.#done.clear();
      await ask(this.#unit(), this.#statements.remove, [ids]).catch(() => {});
    }
  }
}

module.exports = { Decisions };
