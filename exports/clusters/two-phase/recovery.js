'use strict';

// The recovery: finishes what was left by processes that have ended, or that could not reach a cluster. Any process may run it, and several
// at once: each step may be done twice.

const { endPrepared, gidOf, listPrepared } = require('./prepared.js');

/** @typedef {import('./asking.js').Unit} Unit */
/** @typedef {import('./decision-table.js').Decision} Decision */
/** @typedef {import('./prepared.js').Prepared} Prepared */
/** What could not be done. @typedef {{ id: string | null, cluster: string, reason: string }} Problem */
/** @typedef {{ committed: number, rolledBack: number, pending: number, inProgress: number, foreign: number, problems: Problem[] }} Recovered */

class Recovery {
  #context;
  #units;
  /** @type {Problem[]} */
  #problems = [];
  #ended = { committed: 0, rolledBack: 0 };
  /** Transactions that stay in doubt, with the clusters that are to blame. @type {Map<string, Set<string>>} */
  pending = new Map();
  /** Those that are prepared and not decided, and may be at work. @type {Set<string>} */
  #inProgress = new Set();

  /**
   * @param {import('./context.js').Context} context
   * @param {Unit[]} units
   */
  constructor(context, units) {
    this.#context = context;
    this.#units = units;
  }

  /** When a step that begins now is given up. Each has its time: a cluster that is away takes all of the one in which it is asked. */
  #until() {
    return performance.now() + this.#context.options.finishTimeoutMs;
  }

  /** @returns {Promise<Recovered>} */
  async run() {
    const { decisions, options, isActive } = this.#context;
    const coordinator = await decisions.coordinatorIfAny(this.#until());
    const { own, foreign } = await this.#list(coordinator);
    if (coordinator !== undefined) {
      // After the list of what is prepared: whoever has decided in between is found here.
      const decided = await decisions.list([...own.keys()], this.#until());
      const open = decided.filter(({ id }) => !isActive(id));
      const certain = await decisions.confirm(
        open.map(({ id }) => id),
        this.#until(),
      );
      await Promise.all(certain.map((decision) => this.#finish(coordinator, decision, own.get(decision.id) ?? [])));
      const known = new Set(decided.map(({ id }) => id));
      const undecided = [...own].filter(([id]) => !known.has(id));
      const old = undecided.filter(([id, parts]) => !isActive(id) && parts.some(({ age }) => age > options.graceMs));
      const isOld = new Set(old.map(([id]) => id));
      for (const [id] of undecided) if (!isOld.has(id)) this.#inProgress.add(id);
      await Promise.all(old.map(([id, parts]) => this.#abandon(coordinator, id, parts)));
      // It can wait.
      await decisions.removeOld(this.#until()).catch(() => {});
    }
    const [pending, inProgress] = [this.pending.size, this.#inProgress.size];
    return { ...this.#ended, pending, inProgress, foreign, problems: this.#problems };
  }

  /** Whether a transaction is certainly not in doubt any more. @param {string} id */
  isOver(id) {
    const hasSeenAll = this.#problems.every((problem) => problem.id !== null);
    return hasSeenAll && !this.pending.has(id) && !this.#inProgress.has(id);
  }

  /** What is prepared on all units, by transaction. @param {string | undefined} coordinator */
  async #list(coordinator) {
    /** @type {Map<string, Prepared[]>} */
    const own = new Map();
    let foreign = 0;
    await Promise.all(
      this.#units.map(async (unit) => {
        try {
          const found = await listPrepared(unit, coordinator, this.#until(), this.#context.isClosing);
          foreign += found.foreign;
          for (const prepared of found.own) own.set(prepared.id, [...(own.get(prepared.id) ?? []), prepared]);
        } catch (error) {
          this.#note(null, unit.name, error);
        }
      }),
    );
    return { own, foreign };
  }

  /** @param {string | null} id @param {string} cluster @param {unknown} error */
  #note(id, cluster, error) {
    this.#problems.push({ id, cluster, reason: error instanceof Error ? error.message : String(error) });
    if (id === null) return;
    const clusters = this.pending.get(id) ?? new Set();
    this.pending.set(id, clusters.add(cluster));
  }

  /**
   * Carries out what is decided.
   * @param {string} coordinator
   * @param {Decision} decision
   * @param {Prepared[]} parts that are prepared
   */
  async #finish(coordinator, { id, outcome, participants }, parts) {
    if (outcome === 'abort') return this.#rollBack(id, parts);
    await Promise.all(
      participants.map(async (name, part) => {
        const unit = this.#units.find((one) => one.name === name);
        try {
          if (unit === undefined) throw new Error('no cluster of this name is configured');
          await endPrepared(unit, 'COMMIT', gidOf(coordinator, id, part), this.#until(), this.#context.isClosing);
        } catch (error) {
          this.#note(id, name, error);
        }
      }),
    );
    if (this.pending.has(id) || outcome === 'committed') return;
    this.#ended.committed++;
    // If it fails the same is done the next time.
    await this.#context.decisions.settle(id, this.#until()).catch(() => {});
  }

  /** @param {string} id @param {Prepared[]} parts */
  async #rollBack(id, parts) {
    const ended = await Promise.all(
      parts.map(async ({ unit, gid }) => {
        try {
          return await endPrepared(unit, 'ROLLBACK', gid, this.#until(), this.#context.isClosing);
        } catch (error) {
          this.#note(id, unit.name, error);
          return false;
        }
      }),
    );
    if (!this.pending.has(id) && ended.includes(true)) this.#ended.rolledBack++;
  }

  /**
   * Rolls back what nobody has decided on. First that is decided, for its coordinator may only have been slow: it cannot decide to commit
   * any more, or it has, and then that is carried out.
   * @param {string} coordinator
   * @param {string} id
   * @param {Prepared[]} parts
   */
  async #abandon(coordinator, id, parts) {
    const names = [...new Set(parts.map(({ unit }) => unit.name))];
    try {
      const decision = await this.#context.decisions.decide(id, 'abort', names, Infinity, this.#until());
      await this.#finish(coordinator, { id, ...decision }, parts);
    } catch (error) {
      for (const name of names) this.#note(id, name, error);
    }
  }
}

module.exports = { Recovery };
