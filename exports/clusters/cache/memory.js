'use strict';

// Entries in the memory of this process: the least recently used one goes first, by number and by bytes.

/**
 * @typedef {object} Entry
 * @property {Buffer} bytes
 * @property {readonly string[]} labels what removes it
 * @property {string} name for events
 * @property {string | undefined} schema
 * @property {number} at when it was stored, by the clock that nobody sets
 * @property {number} wallAt the same by the clock of the wall, which goes on while the machine sleeps
 * @property {number} ttl
 */

/** The time between two looks for entries that have expired and were not asked for. */
const SWEEP_MS = 10_000;

/** @param {Entry} entry @param {number} ttl */
function isOver({ at, wallAt }, ttl) {
  return performance.now() - at >= ttl || Date.now() - wallAt >= ttl;
}

class Memory {
  /** The first is the one that was not used for longest. @type {Map<string, Entry>} */
  #entries = new Map();
  /** The keys of the entries that have a label. @type {Map<string, Set<string>>} */
  #labelled = new Map();
  #bytes = 0;
  #sweptAt = performance.now();

  /**
   * @param {{ maxSize: number, maxBytes: number }} limits
   * @param {(entry: Entry, reason: 'size' | 'bytes' | 'expired') => void} evicted
   */
  constructor({ maxSize, maxBytes }, evicted) {
    this.maxSize = maxSize;
    this.maxBytes = maxBytes;
    this.evicted = evicted;
  }

  get size() {
    this.#sweep();
    return { entries: this.#entries.size, bytes: this.#bytes };
  }

  /** @param {string} key @param {number} ttl of the caller: an older entry is none for it @returns {Buffer | undefined} */
  get(key, ttl) {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (isOver(entry, entry.ttl)) {
      this.#evict(key, entry, 'expired');
      return undefined;
    }
    if (ttl < entry.ttl && isOver(entry, ttl)) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.bytes;
  }

  /**
   * @param {string} key
   * @param {Pick<Entry, 'bytes' | 'labels' | 'name' | 'schema' | 'ttl'>} given
   */
  set(key, { bytes, labels, name, schema, ttl }) {
    this.#delete(key);
    if (bytes.length > this.maxBytes) return;
    if (performance.now() - this.#sweptAt > SWEEP_MS) this.#sweep();
    this.#entries.set(key, { bytes, labels, name, schema, ttl, at: performance.now(), wallAt: Date.now() });
    this.#bytes += bytes.length;
    for (const label of labels) {
      const keys = this.#labelled.get(label);
      if (keys === undefined) this.#labelled.set(label, new Set([key]));
      else keys.add(key);
    }
    while (this.#entries.size > this.maxSize) this.#evictOldest('size');
    while (this.#bytes > this.maxBytes) this.#evictOldest('bytes');
  }

  /** @param {import('./selector.js').Selector} selector how many entries were removed */
  invalidate({ labels, isMatch }) {
    const found = isMatch === undefined ? labels : [...this.#labelled.keys()].filter(isMatch);
    let removed = 0;
    for (const label of found) {
      for (const key of this.#labelled.get(label) ?? []) {
        this.#delete(key);
        removed += 1;
      }
    }
    return removed;
  }

  clear() {
    this.#entries.clear();
    this.#labelled.clear();
    this.#bytes = 0;
  }

  #sweep() {
    this.#sweptAt = performance.now();
    for (const [key, entry] of this.#entries) if (isOver(entry, entry.ttl)) this.#evict(key, entry, 'expired');
  }

  /** @param {'size' | 'bytes'} reason */
  #evictOldest(reason) {
    const [[key, entry]] = this.#entries;
    this.#evict(key, entry, reason);
  }

  /** @param {string} key @param {Entry} entry @param {'size' | 'bytes' | 'expired'} reason */
  #evict(key, entry, reason) {
    this.#delete(key);
    this.evicted(entry, reason);
  }

  /** @param {string} key */
  #delete(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes.length;
    for (const label of entry.labels) {
      const keys = /** @type {Set<string>} */ (this.#labelled.get(label));
      keys.delete(key);
      if (keys.size === 0) this.#labelled.delete(label);
    }
  }
}

module.exports = { Memory };
