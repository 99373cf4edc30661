'use strict';

// What `migrate` shows, as lines of text: pure functions.

const { duration, label, printable } = require('./format.js');

/** @typedef {import('../../exports/clusters/migrations/index.js').Migrated} Migrated */
/** @typedef {import('../../exports/clusters/migrations/index.js').UnitStatus[]} Status */

const MARGIN = '  ';
const RED = 31;
const YELLOW = 33;

/** @param {string} text @param {number} color @param {boolean} colors */
const painted = (text, color, colors) => (colors ? `\x1b[${color}m${text}\x1b[0m` : text);
/** @param {number} count */
const migrations = (count) => `${count} migration${count === 1 ? '' : 's'}`;

/** @param {import('../../exports/clusters/migrations/index.js').MigrationEvent} event */
function eventLine({ type, unit, name, durationMs }) {
  if (type === 'waiting') return `${unit}: another process applies migrations; it is waited for`;
  if (type === 'begun') return `${unit}: ${name} ...`;
  return `${unit}: ${name} applied in ${duration(durationMs)}`;
}

/** @param {Migrated} result @param {'apply' | 'rehearse' | 'look'} task */
function resultLines({ applied, skipped, pending }, task) {
  if (task === 'rehearse') {
    return [
      ...pending.map(({ unit, name }) => `${unit}: ${name} would be applied`),
      `${migrations(pending.length)} would be applied, ${skipped} ${skipped === 1 ? 'is' : 'are'} there already.`,
    ];
  }
  return [`${migrations(applied.length)} applied, ${skipped} ${skipped === 1 ? 'was' : 'were'} there already.`];
}

/** @param {Status} units @param {boolean} colors */
const statusLines = (units, colors) => units.flatMap((unit) => unitLines(unit, colors));

/** What is applied in a line; whatever is not, one by one. @param {Status[number]} status @param {boolean} colors */
function unitLines({ unit, error, migrations: all }, colors) {
  if (error !== null) {
    const why = hostReasons(error).join('; ') || printable(error.message);
    return [`${unit}: ${painted(`no answer: ${why}`, RED, colors)}`];
  }
  const applied = all.filter(({ state }) => state === 'applied');
  const last = applied.at(-1);
  const count = applied.length === all.length ? `all ${all.length}` : `${applied.length} of ${all.length}`;
  const which = last === undefined ? '' : `, the last one ${printable(last.name)} (${last.appliedAt})`;
  const others = all.filter(({ state }) => state !== 'applied');
  const width = Math.max(0, ...others.map(({ state }) => state.length));
  return [
    `${unit}: ${count} applied${which}`,
    ...others.map(({ name, state }) => {
      const color = state === 'pending' || state === 'ahead' ? YELLOW : RED;
      return `${MARGIN}${painted(state, color, colors)}${' '.repeat(width - state.length)}${MARGIN}${printable(name)}`;
    }),
  ];
}

/** What each host has said, where none could be used. @param {any} error @returns {string[]} */
const hostReasons = ({ nodes = [] }) =>
  nodes.map((/** @type {any} */ node) => printable(`${label(node)}: ${node.reason}`));

/** @param {any} error */
function failureLines({ message, problems = [], others = [], applied = [], failures = {} }) {
  return [
    `hyperiondb-client: ${printable(message)}`,
    ...problems.slice(1).map((/** @type {any} */ problem) => MARGIN + printable(problem.message)),
    ...others.map((/** @type {any} */ other) => MARGIN + printable(other.message)),
    ...Object.values(failures).flatMap((failure) => hostReasons(failure).map((reason) => MARGIN + reason)),
    ...(applied.length > 0 ? [`${MARGIN}${migrations(applied.length)} had been applied before.`] : []),
  ];
}

module.exports = { eventLine, failureLines, resultLines, statusLines };
