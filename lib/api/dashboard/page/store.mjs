// What the page knows: the last minutes as columns, and the last sample.

/** The lines that the history has of the pool and of each node. They are named as the server names them. */
const LINES = ['statements', 'errors', 'waits', 'p50', 'p95', 'p99', 'waitP50', 'waitP99', 'size', 'inUse', 'waiting'];
const NODE_LINES = ['statements', 'p50', 'p95', 'p99', 'lagMs', 'lagBytes'];

/** @typedef {(number | null)[]} Column */

export class Store {
  /** Seconds since 1970, as uPlot wants them. @type {number[]} */
  at = [];
  /** @type {Record<string, Column>} */
  lines = {};
  /** @type {Map<string, Record<string, Column>>} */
  nodes = new Map();
  /** @type {any} */
  sample = null;
  minutes = 5;
  #kept = 0;

  /** @param {any} data of the event `hello` */
  hello({ kept, history: { from, at, lines, nodes }, sample }) {
    this.#kept = kept;
    this.at = at.map((/** @type {number} */ offset) => (from + offset) / 1000);
    this.lines = lines;
    this.nodes = new Map(Object.entries(nodes));
    this.sample = sample;
  }

  /** @param {any} sample of the event `sample` */
  add(sample) {
    // What is left out has not changed.
    const { failovers = this.sample.failovers, errors = this.sample.errors } = sample;
    this.sample = { ...sample, failovers, errors };
    const { rate, latencyMs, waitMs, pool } = sample;
    const point = { ...rate, ...latencyMs, ...pool, waitP50: waitMs.p50, waitP99: waitMs.p99 };
    this.at.push(sample.at / 1000);
    for (const name of LINES) this.lines[name].push(point[name] ?? null);
    for (const node of sample.nodes) this.#addNode(node);
    for (const lines of this.nodes.values()) {
      for (const name of NODE_LINES) if (lines[name].length < this.at.length) lines[name].push(null);
    }
    if (this.at.length <= this.#kept) return;
    for (const column of [this.at, ...this.#columns()]) column.shift();
  }

  /** @param {any} node */
  #addNode({ node, latencyMs, ...values }) {
    let lines = this.nodes.get(node);
    if (lines === undefined) {
      lines = Object.fromEntries(NODE_LINES.map((name) => [name, Array(this.at.length - 1).fill(null)]));
      this.nodes.set(node, lines);
    }
    const point = { ...values, ...latencyMs };
    for (const name of NODE_LINES) lines[name].push(point[name] ?? null);
  }

  *#columns() {
    yield* Object.values(this.lines);
    for (const lines of this.nodes.values()) yield* Object.values(lines);
  }

  /** The names of the nodes in the order of the present look; those that have gone come last. @returns {string[]} */
  get nodeNames() {
    const present = (this.sample?.nodes ?? []).map((/** @type {any} */ { node }) => node);
    return [...present, ...[...this.nodes.keys()].filter((name) => !present.includes(name))];
  }

  /** The first and the last second that are shown. @returns {[number, number]} */
  get range() {
    const to = this.at.at(-1) ?? Date.now() / 1000;
    return [to - this.minutes * 60, to];
  }
}
