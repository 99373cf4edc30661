'use strict';

// The last minutes as numbers: a ring of fixed size for each line of a chart. What is not known is NaN.

/** How many samples are kept: 15 minutes, one a second. */
const KEPT = 900;

/** The lines of the pool as a whole. */
const LINES = /** @type {const} */ ([
  'statements',
  'errors',
  'waits',
  'p50',
  'p95',
  'p99',
  'waitP50',
  'waitP99',
  'size',
  'inUse',
  'waiting',
]);
/** Those of each node. */
const NODE_LINES = /** @type {const} */ (['statements', 'p50', 'p95', 'p99', 'lagMs', 'lagBytes']);

/** @typedef {typeof LINES[number]} Line */
/** @typedef {typeof NODE_LINES[number]} NodeLine */
/** @typedef {Record<NodeLine, number | null>} NodePoint */
/** @typedef {{ at: number, values: Record<Line, number | null>, nodes: ReadonlyMap<string, NodePoint> }} Point */
/** @typedef {{ lines: Record<NodeLine, Float32Array>, last: number }} Node `last`: the number of the last point that has it */

/** Four digits are more than a chart can show. @param {number} value */
const short = (value) => (Number.isNaN(value) ? null : Number(value.toPrecision(4)));

/** @template {string} Name @param {readonly Name[]} names @returns {Record<Name, Float32Array>} */
const rings = (names) =>
  /** @type {any} */ (Object.fromEntries(names.map((name) => [name, new Float32Array(KEPT).fill(Number.NaN)])));

class History {
  /** How many points there were. */
  #count = 0;
  #at = new Float64Array(KEPT);
  #lines = rings(LINES);
  /** @type {Map<string, Node>} */
  #nodes = new Map();

  /** @param {Point} point */
  add({ at, values, nodes }) {
    const slot = this.#count++ % KEPT;
    this.#at[slot] = at;
    for (const name of LINES) this.#lines[name][slot] = values[name] ?? Number.NaN;
    for (const label of nodes.keys()) {
      if (!this.#nodes.has(label)) this.#nodes.set(label, { lines: rings(NODE_LINES), last: 0 });
    }
    for (const [label, node] of this.#nodes) {
      const values = nodes.get(label);
      if (values !== undefined) node.last = this.#count;
      // All of its points have left the ring.
      else if (this.#count - node.last >= KEPT) this.#nodes.delete(label);
      for (const name of NODE_LINES) node.lines[name][slot] = values?.[name] ?? Number.NaN;
    }
  }

  /** All points as columns, the oldest first; times are milliseconds since the first. */
  columns() {
    const length = Math.min(this.#count, KEPT);
    const first = this.#count - length;
    const from = length === 0 ? 0 : this.#at[first % KEPT];
    const order = Array.from({ length }, (_, index) => (first + index) % KEPT);
    const column = (/** @type {Float32Array} */ ring) => order.map((slot) => short(ring[slot]));
    const columns = (/** @type {Record<string, Float32Array>} */ lines) =>
      Object.fromEntries(Object.entries(lines).map(([name, ring]) => [name, column(ring)]));
    return {
      from,
      at: order.map((slot) => Math.round(this.#at[slot] - from)),
      lines: columns(this.#lines),
      nodes: Object.fromEntries([...this.#nodes].map(([label, { lines }]) => [label, columns(lines)])),
    };
  }
}

module.exports = { History, KEPT };
