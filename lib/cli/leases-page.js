'use strict';

// What `leases` shows, as lines of text: pure functions.

const { duration, printable } = require('./format.js');

/** @typedef {import('./sessions.js').Session} Session */
/** @typedef {import('./sessions.js').Look} Look */
/**
 * A session that was ended, or would be.
 * @typedef {object} Victim
 * @property {number} pid
 * @property {string} service
 * @property {string} instance
 * @property {number} idleMs
 * @property {number} expiredMs for how long its lease has expired
 */
/**
 * @typedef {object} Report
 * @property {string} node `host:port`
 * @property {string | null} error why it could not be asked
 * @property {Look | null} look after the passes, if there were any
 * @property {Victim[]} endable what a pass would end
 * @property {Victim[]} ended what passes have ended
 * @property {number} passes
 * @property {string | null} problem why not all that has expired was ended
 */
/** @typedef {{ title: string, right?: boolean }} Column */

/** So many instances of a service are shown one by one. */
const MOST = 12;
/** From this share of used connections on the server counts as full, as for `doctor`. */
const FULL = 0.8;
const MARGIN = '  ';
const RED = 31;
const YELLOW = 33;

/** @type {Column[]} */
const INSTANCES = [
  { title: 'instance' },
  ...['sessions', 'idle', 'active', 'in tx'].map((title) => ({ title, right: true })),
  { title: 'lease ends' },
  { title: 'longest idle', right: true },
];
/** @type {Column[]} */
const VICTIMS = [
  { title: 'pid', right: true },
  { title: 'service' },
  { title: 'instance' },
  { title: 'idle', right: true },
  { title: 'lease expired' },
];

/** Whole seconds: more is noise. @param {number | null} ms */
const time = (ms) =>
  ms === null ? '-' : ms < 10_000 ? `${Math.round(Math.max(0, ms) / 1000)} s` : duration(Math.max(0, ms));
/** @param {number} leftMs */
const end = (leftMs) => (leftMs < 0 ? `${time(-leftMs)} ago` : `in ${time(leftMs)}`);
/** @param {number} count @param {string} noun */
const counted = (count, noun) => `${count} ${noun}${count === 1 ? '' : noun.endsWith('s') ? 'es' : 's'}`;
/** @param {string} text @param {number} color @param {boolean} colors */
const painted = (text, color, colors) => (colors ? `\x1b[${color}m${text}\x1b[0m` : text);
/** A lease that somebody else has signed is nothing that this command could end. @param {Session} session */
const hasExpired = ({ leftMs, signature }) => leftMs < 0 && signature !== 'foreign';

/**
 * @param {Report[]} reports one for each node
 * @param {{ checked: boolean, pass: 'look' | 'rehearse' | 'reap' }} asked `checked`: whether there was a secret
 * @param {boolean} colors
 */
function pageOf(reports, { checked, pass }, colors) {
  const lines = reports.flatMap((report) => [...nodeLines(report, pass, colors), '']);
  return [...lines, ...conclusion(reports, checked, pass)];
}

/** @param {Report} report @param {'look' | 'rehearse' | 'reap'} pass @param {boolean} colors */
function nodeLines(report, pass, colors) {
  const { node, error, look } = report;
  if (look === null) return [`${node}: ${painted(`no answer: ${printable(error ?? '')}`, RED, colors)}`];
  const { used, leased } = look;
  const usage = `${used} of ${look.room} connections in use`;
  const reserved = look.reserved > 0 ? ` (${look.reserved} more are reserved)` : '';
  const head = [
    `${node}, ${look.nodeRole}: ${used >= look.room * FULL ? painted(usage, RED, colors) : usage}${reserved}`,
    MARGIN +
      (used === 1 ? 'only this command' : `${leased} with a lease, ${used - leased - 1} without, and this command`),
  ];
  if (pass === 'look') return [...head, ...groupsOf(look.sessions).flatMap((group) => groupLines(group, colors))];
  return [...head, '', ...(pass === 'reap' ? endedLines(report, colors) : rehearsedLines(report, colors))];
}

/** Sessions of one service, role and database, in one list each. @param {Session[]} sessions */
function groupsOf(sessions) {
  /** @type {Map<string, Session[]>} */
  const groups = new Map();
  for (const session of sessions) {
    const key = JSON.stringify([session.service, session.role, session.database, session.signature]);
    groups.set(key, [...(groups.get(key) ?? []), session]);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

/** @param {Session[]} sessions of one group @param {boolean} colors */
function groupLines(sessions, colors) {
  const [{ service, role, database, signature }] = sessions;
  /** @type {Map<string, Session[]>} */
  const instances = new Map();
  for (const session of sessions) {
    instances.set(session.instance, [...(instances.get(session.instance) ?? []), session]);
  }
  const first = (/** @type {Session[]} */ some) => Math.min(...some.map(({ leftMs }) => leftMs));
  const all = [...instances.values()].sort((a, b) => first(a) - first(b));
  const shown = all.length > MOST + 1 ? all.slice(0, MOST) : all;
  const rest = all.slice(shown.length);
  const expired = sessions.filter(hasExpired).length;
  const warning = expired > 0 ? `, ${painted(`${expired} expired`, YELLOW, colors)}` : '';
  const foreign = signature === 'foreign' ? ', another secret' : '';
  const whose = `role ${printable(role)}, database ${printable(database)}${foreign}`;
  const rows = [
    ...shown.map((some) => instanceRow(some[0].instance, some)),
    ...(rest.length > 0 ? [instanceRow(`${rest.length} more`, rest.flat())] : []),
  ];
  const spread = instances.size === sessions.length ? '' : ` of ${counted(instances.size, 'instance')}`;
  return [
    '',
    `${service} (${whose}): ${counted(sessions.length, 'session')}${spread}${warning}`,
    ...table(INSTANCES, rows),
  ];
}

/** @param {string} name @param {Session[]} sessions */
function instanceRow(name, sessions) {
  const isHidden = sessions.every(({ state }) => state === null);
  const count = (/** @type {(state: string) => boolean} */ suits) =>
    isHidden ? '-' : String(sessions.filter(({ state }) => state !== null && suits(state)).length);
  const isInTransaction = (/** @type {string} */ state) => state.startsWith('idle in transaction');
  const left = sessions.map(({ leftMs }) => leftMs);
  const [earliest, latest] = [end(Math.min(...left)), end(Math.max(...left))];
  const idle = sessions.filter(({ state }) => state === 'idle').map(({ stateMs }) => stateMs ?? 0);
  return [
    name,
    String(sessions.length),
    count((state) => state === 'idle'),
    count((state) => state !== 'idle' && !isInTransaction(state)),
    count(isInTransaction),
    earliest === latest ? earliest : `${earliest} .. ${latest}`,
    idle.length === 0 ? '-' : time(Math.max(...idle)),
  ];
}

/** @param {Report} report @param {boolean} colors */
function rehearsedLines({ endable, problem }, colors) {
  const count = counted(endable.length, 'session');
  return [
    ...(endable.length === 0 ? [`${MARGIN}A pass would end no session.`] : [`${MARGIN}A pass would end ${count}:`]),
    ...victimTable(endable),
    ...problemLines(problem, colors),
  ];
}

/** @param {Report} report @param {boolean} colors */
function endedLines({ ended, passes, problem }, colors) {
  const count = counted(ended.length, 'session');
  return [
    ended.length === 0 ? `${MARGIN}No session was ended.` : `${MARGIN}${count} ended in ${counted(passes, 'pass')}:`,
    ...victimTable(ended),
    ...problemLines(problem, colors),
  ];
}

/** @param {string | null} problem @param {boolean} colors */
const problemLines = (problem, colors) =>
  problem === null ? [] : [`${MARGIN}${painted(printable(problem), RED, colors)}`];

/** @param {Victim[]} victims */
function victimTable(victims) {
  if (victims.length === 0) return [];
  const rows = victims.map(({ pid, service, instance, idleMs, expiredMs }) => [
    String(pid),
    service,
    instance,
    time(idleMs),
    `${time(expiredMs)} ago`,
  ]);
  return table(VICTIMS, rows);
}

/** @param {Report[]} reports @param {boolean} checked @param {'look' | 'rehearse' | 'reap'} pass */
function conclusion(reports, checked, pass) {
  const silent = reports.filter(({ look }) => look === null).map(({ node }) => node);
  const missing = silent.length > 0 ? [`Not looked at: ${silent.join(', ')}.`] : [];
  const all = reports.flatMap(({ look }) => look?.sessions ?? []);
  const hidden = [...new Set(all.filter(({ state }) => state === null).map(({ role }) => role))];
  const rights =
    hidden.length > 0
      ? [`What sessions of ${hidden.join(', ')} do is hidden: GRANT pg_read_all_stats TO the role that looks.`]
      : [];
  const found = silent.length === reports.length ? [] : outcome(reports, all, checked, pass);
  return [...found, ...rights, ...missing];
}

/** @param {Report[]} reports @param {Session[]} all @param {boolean} checked @param {'look' | 'rehearse' | 'reap'} pass */
function outcome(reports, all, checked, pass) {
  const expired = all.filter(hasExpired).length;
  const leases = expired === 1 ? 'One lease has' : `${expired} leases have`;
  if (pass === 'look') {
    return [
      expired === 0 ? 'No lease has expired.' : `${leases} expired: --dry-run lists what --reap would end.`,
      ...(checked ? [] : ['Signatures were not checked: HYPERION_COORDINATION_SECRET is not set.']),
    ];
  }
  const count = reports.reduce((sum, { ended, endable }) => sum + ended.length + endable.length, 0);
  const spared = pass === 'reap' ? expired : expired - count;
  return [
    `${counted(count, 'session')} ${pass === 'reap' ? 'ended' : 'would be ended'}.`,
    ...(spared > 0
      ? [
          `Spared, although the lease has expired: ${spared} (at work, not idle for long enough,`,
          'or of another role or database).',
        ]
      : []),
  ];
}

/** @param {Column[]} columns @param {string[][]} rows */
function table(columns, rows) {
  const widths = columns.map(({ title }, at) => Math.max(title.length, ...rows.map((row) => row[at].length)));
  const line = (/** @type {string[]} */ cells) =>
    MARGIN +
    cells
      .map((cell, at) => (columns[at].right ? cell.padStart(widths[at]) : cell.padEnd(widths[at])))
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}

module.exports = { pageOf };
