'use strict';

// Arrows (a file uses another) go down between the layers, and never in a circle.

/**
 * @typedef {object} Arrow
 * @property {string} from the file that uses
 * @property {string} to the file that is used
 * @property {string} fromLayer
 * @property {string} toLayer
 * @property {number} line
 */

/** @typedef {{ from: string, to: string, why: string }} Exception an arrow that is left out when circles are looked for */
/** @typedef {readonly (string | readonly string[])[]} Layers from the top down; layers in one array are at the same height */

/**
 * @param {Arrow[]} arrows
 * @param {Layers} layers
 * @param {readonly Exception[]} exceptions
 */
function check(arrows, layers, exceptions) {
  const upwards = arrows.filter((arrow) => isUpwards(arrow, layers));
  return [
    ...strangers(arrows, layers).map(([file, layer]) => `${file} (${layer}) belongs to no layer`),
    ...upwards.map(
      ({ from, line, fromLayer, to, toLayer }) =>
        `${from}:${line} (${fromLayer}) uses ${to} (${toLayer}), which is above it`,
    ),
    ...circles(arrows.filter(({ from, to }) => !exceptions.some((one) => one.from === from && one.to === to))).map(
      (files) => `in a circle: ${[...files, files[0]].join(' -> ')}`,
    ),
  ];
}

/** The height of a layer from the top; -1: there is no such layer. @param {string} layer @param {Layers} layers */
const rankOf = (layer, layers) => layers.findIndex((beside) => [beside].flat().includes(layer));

/** @param {Arrow} arrow @param {Layers} layers */
function isUpwards({ fromLayer, toLayer }, layers) {
  const to = rankOf(toLayer, layers);
  return to !== -1 && to < rankOf(fromLayer, layers);
}

/** Files of folders that have no place in the order. @param {Arrow[]} arrows @param {Layers} layers */
function strangers(arrows, layers) {
  /** @type {Map<string, string>} */
  const layerOf = new Map();
  for (const { from, to, fromLayer, toLayer } of arrows) layerOf.set(from, fromLayer).set(to, toLayer);
  return [...layerOf].filter(([, layer]) => rankOf(layer, layers) === -1);
}

/**
 * One shortest circle for each file that is on one; no circle twice.
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

/** Exceptions that are part of no circle. @param {Arrow[]} arrows @param {readonly Exception[]} exceptions */
function staleCircles(arrows, exceptions) {
  return exceptions
    .filter(
      ({ from, to }) => !arrows.some((arrow) => arrow.from === from && arrow.to === to) || !reaches(arrows, to, from),
    )
    .map(({ from, to }) => `${from} -> ${to} is an exception in scripts/house/rules.js, and makes no circle`);
}

/** Whether one file uses another, directly or through others. @param {Arrow[]} arrows @param {string} from @param {string} to */
function reaches(arrows, from, to) {
  const seen = new Set([from]);
  for (const file of seen) {
    for (const arrow of arrows) if (arrow.from === file) seen.add(arrow.to);
  }
  return seen.has(to);
}

module.exports = { check, staleCircles };
