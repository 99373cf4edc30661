'use strict';

// What follows from who uses whom.

/**
 * @typedef {object} Arrow
 * @property {string} from the file that uses
 * @property {string} to the file that is used
 * @property {string} fromLayer
 * @property {string} toLayer
 * @property {number} line
 */

/** @typedef {{ from: string, to: string, why: string }} Exception an arrow that is left out when circles are looked for */

/**
 * @param {Arrow[]} arrows
 * @param {readonly string[] | null} layers from the top down; null: no layers
 * @param {readonly Exception[]} exceptions
 */
function check(arrows, layers, exceptions) {
  const upwards = layers === null ? [] : arrows.filter((arrow) => isUpwards(arrow, layers));
  return [
    ...upwards.map(
      ({ from, line, fromLayer, to, toLayer }) =>
        `${from}:${line} (${fromLayer}) uses ${to} (${toLayer}), which is above it`,
    ),
    ...circles(arrows.filter(({ from, to }) => !exceptions.some((one) => one.from === from && one.to === to))).map(
      (files) => `in a circle: ${[...files, files[0]].join(' -> ')}`,
    ),
  ];
}

/** @param {Arrow} arrow @param {readonly string[]} layers */
function isUpwards({ fromLayer, toLayer }, layers) {
  return layers.indexOf(toLayer) < layers.indexOf(fromLayer);
}

/**
 * One shortest circle for each file that is on one, each told once.
 * @param {Arrow[]} arrows
 * @returns {string[][]}
 */
function circles(arrows) {
  /** @type {Map<string, Set<string>>} */
  const uses = new Map();
  for (const { from, to } of arrows) uses.set(from, (uses.get(from) ?? new Set()).add(to));
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const start of [...uses.keys()].sort()) {
    const circle = shortest(uses, start);
    if (circle !== null) found.set([...circle].sort().join(), turned(circle));
  }
  return [...found.values()];
}

/** The shortest way from a file back to itself. @param {Map<string, Set<string>>} uses @param {string} start */
function shortest(uses, start) {
  /** @type {string[][]} */
  const ways = [[start]];
  const seen = new Set();
  for (const way of ways) {
    for (const next of [...(uses.get(way[way.length - 1]) ?? [])].sort()) {
      if (next === start) return way;
      if (!seen.has(next)) ways.push([...way, next]);
      seen.add(next);
    }
  }
  return null;
}

/** The same circle, beginning with its first file. @param {string[]} circle */
function turned(circle) {
  const at = circle.indexOf([...circle].sort()[0]);
  return [...circle.slice(at), ...circle.slice(0, at)];
}

/** Whether one file uses another, at any remove. @param {Arrow[]} arrows @param {string} from @param {string} to */
function reaches(arrows, from, to) {
  const seen = new Set([from]);
  for (const file of seen) {
    for (const arrow of arrows) if (arrow.from === file) seen.add(arrow.to);
  }
  return seen.has(to);
}

module.exports = { check, reaches };
