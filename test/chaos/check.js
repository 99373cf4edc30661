'use strict';

// Compares what the pool said of every piece of work with what the database has in the end: a pure function of a history
// (history.js) and of the rows. Each rule finds what breaks it; for every rule a doctored history shows that it can be broken
// (checker.test.js).

const { History } = require('./history');

/** @typedef {import('./history').Entry} Entry */
/** @typedef {import('./history').Fate} Fate */
/** @typedef {import('./history').Sent} Sent */

/** A row of the table `written`. @typedef {{ id: number, part?: number, timeline?: string }} Row */

/**
 * What is in the database.
 * @typedef {object} Truth
 * @property {readonly (Row | number)[]} rows of the primary
 * @property {readonly { node: string, rows: readonly Row[] }[]} [deposed] what nodes have that were the primary once and
 *   follow nobody; `node` as the pool calls it
 */

/**
 * @typedef {object} Circumstances
 * @property {boolean} [over] nothing is under way any more: what is still pending hangs. Default true.
 * @property {boolean} [planned] what was done to the cluster must not be felt: no error at all. Default false.
 */

/** @typedef {{ rule: string, kind: string, what: string }} Violation */
/** @typedef {{ kind: string, what: string, fate: Fate, at: number, end?: number, error?: any }} Deed */

/** How exactly two clocks that are read in milliseconds can be compared. */
const CLOCK_EDGE_MS = 2;

/** Sessions do not end at one moment: a caller who lost one continues on another, and may lose that, too. */
const WAVES = 2;

/** Errors that a fault of the cluster may cause; any other error is a bug of the client or of the test. */
const EXPECTED_ERRORS = /^(ERR_CONNECTION_LOST|ERR_OUTCOME_UNKNOWN|57P0[1-5]|25006|25P02)$/;

/** A history, and the questions the rules ask. */
class View {
  /** Rows by id: the number of copies, and the parts. @type {Map<number, { copies: number, parts: Set<number> }>} */
  #found = new Map();
  /** Ids that a deposed node has, with the name of the node. @type {Map<number, string>} */
  #ofDeposed = new Map();

  /**
   * @param {History} history
   * @param {Truth} truth
   * @param {Circumstances} [circumstances]
   */
  constructor(history, { rows, deposed = [] }, { over = true, planned = false } = {}) {
    this.history = history;
    this.rows = rows.map((row) => (typeof row === 'number' ? { id: row } : row));
    this.deposed = deposed;
    this.over = over;
    this.planned = planned;
    for (const { id, part } of this.rows) {
      const found = this.#found.get(id) ?? { copies: 0, parts: new Set() };
      // Where rows have no part number, each copy counts as another part, up to the number of rows of the write.
      found.parts.add(part ?? Math.min(++found.copies, this.history.writes.get(id)?.rows ?? 1));
      if (part !== undefined) found.copies++;
      this.#found.set(id, found);
    }
    for (const { node, rows } of deposed) for (const { id } of rows) this.#ofDeposed.set(id, node);
    /** @type {Deed[]} */
    this.deeds = [
      ...[...history.writes].map(([id, entry]) => ({ kind: 'write', ...entry, what: `write ${id}` })),
      ...history.reads.map((read) => ({ kind: 'read', ...read, what: `read of write ${read.about}` })),
      ...history.streams.map((stream, index) => ({ kind: 'stream', ...stream, what: `stream ${index}` })),
      ...[...history.sent].map(([number, sent]) => ({ kind: 'notify', ...sent, what: `notification ${number}` })),
      ...history.visits.map((visit, index) => ({ kind: 'listen', ...visit, what: `visit ${index}` })),
    ];
  }

  /** A deposed node that has rows of a write. @param {number} id */
  deposedWith(id) {
    return this.#ofDeposed.get(id);
  }

  /** The number of copies of a write. @param {number} id */
  copies(id) {
    return this.#found.get(id)?.copies ?? 0;
  }

  /** The number of different parts of a write. @param {number} id */
  parts(id) {
    return this.#found.get(id)?.parts.size ?? 0;
  }
}

/**
 * A rule about each write.
 * @param {(view: View, id: number, entry: Entry) => string | false | undefined} breach
 * @returns {(view: View) => Breach[]}
 */
function ofWrites(breach) {
  return (view) =>
    [...view.history.writes].flatMap(([id, entry]) => {
      const what = breach(view, id, entry);
      return what ? [{ id, kind: entry.kind ?? 'write', what: `write ${id}: ${what}` }] : [];
    });
}

/**
 * A rule about every piece of work.
 * @param {(view: View, deed: Deed) => string | false | undefined} breach
 * @returns {(view: View) => Breach[]}
 */
function ofDeeds(breach) {
  return (view) =>
    view.deeds.flatMap((deed) => {
      const what = breach(view, deed);
      return what ? [{ kind: deed.kind, what: `${deed.what}: ${what}` }] : [];
    });
}

/** @typedef {{ kind: string, what: string, id?: number }} Breach */

/** Every rule, by the name of its violation. @type {Record<string, (view: View) => Breach[]>} */
const RULES = {
  /** A write was acknowledged, and is missing or incomplete. */
  lost: ofWrites(
    (view, id, { fate, rows }) =>
      fate === 'acknowledged' && view.parts(id) < rows && `${view.parts(id)} of ${rows} rows there`,
  ),

  /** A write is there more often than it was written. */
  doubled: ofWrites((view, id) => view.copies(id) > view.parts(id) && `${view.copies(id)} rows`),

  /** A write was said not to be applied, and is there or on a deposed node. */
  denied: ofWrites((view, id, { fate }) => {
    if (fate !== 'not-applied') return false;
    if (view.copies(id) > 0) return 'not applied, and there';
    const node = view.deposedWith(id);
    return node && `not applied, and there on ${node}`;
  }),

  /** Only a part of a write is there. */
  torn: ofWrites((view, id, { rows }) => {
    const parts = view.parts(id);
    return parts > 0 && parts < rows && `${parts} of ${rows} rows`;
  }),

  /** A row is there that nobody wrote. */
  strange(view) {
    const ids = new Set(view.rows.map(({ id }) => id).filter((id) => !view.history.writes.has(id)));
    return [...ids].map((id) => ({ kind: 'write', id, what: `write ${id} is there and nobody's` }));
  },

  /** The row that is there was written by another server than the acknowledged one. */
  moved(view) {
    return view.rows.flatMap(({ id, timeline }) => {
      const entry = view.history.writes.get(id);
      if (entry?.fate !== 'acknowledged' || !entry.timeline || !timeline || entry.timeline === timeline) return [];
      const what = `write ${id}: acknowledged on timeline ${entry.timeline}, there from ${timeline}`;
      return [{ kind: entry.kind ?? 'write', id, what }];
    });
  },

  /** A write began when a later timeline was known, and was acknowledged by a server of an earlier one. */
  deposed(view) {
    const acknowledged = [...view.history.writes].filter(
      ([, { fate, timeline }]) => fate === 'acknowledged' && timeline,
    );
    const byEnd = acknowledged.map(([, entry]) => entry).sort((a, b) => Number(a.end) - Number(b.end));
    let [heard, highest] = [0, ''];
    return acknowledged
      .sort(([, a], [, b]) => a.at - b.at)
      .flatMap(([id, { at, timeline = '', kind = 'write' }]) => {
        for (; heard < byEnd.length && Number(byEnd[heard].end) < at; heard++) {
          const { timeline: later = '' } = byEnd[heard];
          if (later > highest) highest = later;
        }
        if (timeline >= highest) return [];
        return [{ kind, id, what: `write ${id}: on timeline ${timeline} when ${highest} was known` }];
      });
  },

  /** A write began after the pool's event for a new primary, and is on the one before. */
  misdirected(view) {
    return view.deposed.flatMap(({ node, rows }) => {
      const moved = view.history.primaries.filter(({ from }) => from === node).map(({ at }) => at);
      const since = moved.at(-1) ?? Infinity;
      const late = new Set(rows.map(({ id }) => id).filter((id) => Number(view.history.writes.get(id)?.at) > since));
      return [...late].map((id) => ({
        kind: view.history.writes.get(id)?.kind ?? 'write',
        id,
        what: `write ${id}: on ${node}, which the pool knew was not the primary`,
      }));
    });
  },

  /** The caller never had an answer. */
  pending: ofDeeds((view, { fate }) => view.over && fate === 'pending' && 'pending'),

  /** More work is unknown than can have been in flight at the faults. */
  unexplained(view) {
    const { inFlight, strikes } = view.history;
    return Object.entries(inFlight).flatMap(([kind, most]) => {
      const unknown = view.deeds.filter((deed) => deed.kind === kind && deed.fate === 'unknown').length;
      if (unknown <= most * strikes.length * WAVES) return [];
      return [{ kind, what: `${unknown} unknown, ${strikes.length} times ${WAVES * most} in flight` }];
    });
  },

  /** An error of a kind that no fault explains, or one whose outcome is not that of the work. */
  odd: ofDeeds((_, { error, fate }) => {
    if (error === undefined) return false;
    if (EXPECTED_ERRORS.test(error?.code) && error.outcome === fate) return false;
    return `${error?.stack ?? error}, code ${error?.code}, outcome ${error?.outcome}`;
  }),

  /** An error although the change was planned. */
  felt: ofDeeds((view, { error }) => view.planned && error !== undefined && String(error?.stack ?? error)),

  /** A declared read that failed. */
  unread(view) {
    return view.history.reads.flatMap(({ about, error }) =>
      error === undefined ? [] : [{ kind: 'read', what: `read of write ${about}: ${error?.stack ?? error}` }],
    );
  },

  /** A read missed what was acknowledged before it, or saw a part of a write, or a write that was not applied. */
  stale(view) {
    return view.history.reads.flatMap(({ fate, at, about, found = 0 }) => {
      const write = view.history.writes.get(about);
      if (fate !== 'acknowledged' || write === undefined) return [];
      const { rows, fate: written, end = Infinity } = write;
      const isTrue =
        found === rows ? written !== 'not-applied' : found === 0 && !(written === 'acknowledged' && end < at);
      return isTrue ? [] : [{ kind: 'read', what: `read of write ${about}: ${found} of ${rows} rows, ${written}` }];
    });
  },

  /** A stream ended well, and was short or had wrong rows. */
  misread(view) {
    return view.history.streams.flatMap(({ fate, length, leave, got, wrong }, index) => {
      const expected = leave === null ? length : Math.min(leave, length);
      if (wrong === null && got <= length && (fate !== 'acknowledged' || got === expected)) return [];
      return [
        { kind: 'stream', what: `stream ${index}: ${got} of ${expected} rows in order, then ${wrong ?? 'the end'}` },
      ];
    });
  },

  /** A handler had a notification more than once. */
  repeated(view) {
    return bySubscription(view).flatMap(({ numbers, name }) =>
      twice(numbers).map((number) => ({ kind: 'notify', what: `notification ${number} again to ${name}` })),
    );
  },

  /** A handler had the notifications of a sender in another order. Unknown ones may be late: they may still be under way. */
  disordered(view) {
    return bySubscription(view).flatMap(({ numbers, name }) => {
      /** @type {Map<string, number>} */
      const last = new Map();
      return numbers.flatMap((number) => {
        const { sender, fate } = view.history.sent.get(number) ?? {};
        if (sender === undefined || fate !== 'acknowledged') return [];
        const before = last.get(sender) ?? -1;
        last.set(sender, Math.max(number, before));
        return number < before ? [{ kind: 'notify', what: `notification ${number} after ${before} to ${name}` }] : [];
      });
    });
  },

  /** A notification was acknowledged while a handler listened, outside of all gaps, and did not arrive. */
  missed(view) {
    return bySubscription(view).flatMap(({ numbers, name, channel, since, until = Infinity }) => {
      const got = new Set(numbers);
      return [...view.history.sent]
        .filter(([number, sent]) => sent.channel === channel && sent.fate === 'acknowledged' && !got.has(number))
        .filter(
          ([, { at, end = at }]) =>
            at > since + CLOCK_EDGE_MS && end < until - CLOCK_EDGE_MS && !isInGap(view, { channel, at, end }),
        )
        .map(([number]) => ({ kind: 'notify', what: `notification ${number} did not reach ${name}` }));
    });
  },

  /** A notification arrived that nobody sent on that channel, or that was said not to be sent. */
  forged(view) {
    return view.history.received.flatMap(({ channel, payload }) => {
      const sent = view.history.sent.get(Number(payload));
      if (sent?.channel === channel && sent.fate !== 'not-applied') return [];
      return [{ kind: 'notify', what: `'${payload}' on ${channel}, ${sent?.fate ?? 'which nobody sent'}` }];
    });
  },

  /** A notification arrived after unlisten() had resolved. */
  unasked(view) {
    return view.history.received.flatMap(({ subscription, payload, at }) =>
      at <= (view.history.subscriptions.get(subscription)?.ended ?? Infinity) + CLOCK_EDGE_MS
        ? []
        : [{ kind: 'notify', what: `notification ${payload} after unlisten()` }],
    );
  },

  /** A new notification did not arrive although the cluster was healthy. */
  deaf(view) {
    return view.history.deaf.map((channel) => ({ kind: 'notify', what: `nothing comes on ${channel}` }));
  },
};

/** The notifications of each handler, in the order of their arrival. @param {View} view */
function bySubscription({ history: { subscriptions, received } }) {
  /** @type {Map<number, number[]>} */
  const numbers = new Map();
  for (const { subscription, payload } of received) {
    const own = numbers.get(subscription) ?? [];
    own.push(Number(payload));
    numbers.set(subscription, own);
  }
  return [...subscriptions].map(([number, subscription]) => ({
    ...subscription,
    name: `handler ${number} of ${subscription.channel}`,
    numbers: numbers.get(number) ?? [],
  }));
}

/** @param {number[]} numbers those that come more than once */
function twice(numbers) {
  const seen = new Set();
  return numbers.filter((number) => seen.size === seen.add(number).size);
}

/**
 * Whether a notification may have been committed within a gap: at some time between the call and its acknowledgement, by
 * clocks that are read in milliseconds.
 * @param {View} view
 * @param {{ channel: string, at: number, end: number }} sent
 */
function isInGap({ history: { gaps } }, { channel, at, end }) {
  return gaps.some(
    ({ channels, since, until }) =>
      channels.includes(channel) && at <= until + CLOCK_EDGE_MS && end >= since - CLOCK_EDGE_MS,
  );
}

/**
 * The violations, and how many pieces of work of each kind had each outcome.
 * @param {History} history
 * @param {Truth} truth
 * @param {Circumstances} [circumstances]
 */
function judge(history, truth, circumstances) {
  const view = new View(history, truth, circumstances);
  /** @type {Violation[]} */
  const violations = Object.entries(RULES).flatMap(([rule, find]) =>
    find(view).map(({ kind, what }) => ({ rule, kind, what })),
  );
  /** @type {Record<string, Record<Fate, number>>} */
  const kinds = {};
  for (const { kind, fate } of view.deeds) {
    kinds[kind] ??= { acknowledged: 0, 'not-applied': 0, unknown: 0, pending: 0 };
    kinds[kind][fate]++;
  }
  return { violations, kinds };
}

/**
 * The rules about writes alone.
 * @param {Map<number, Entry>} writes by id
 * @param {readonly (Row | number)[]} present all rows, or their ids
 */
function check(writes, present) {
  const history = Object.assign(new History(), { writes });
  const view = new View(history, { rows: present });
  const of = (/** @type {Fate} */ fate) => [...writes.values()].filter((entry) => entry.fate === fate).length;
  const ids = (/** @type {string} */ rule) => RULES[rule](view).map(({ id }) => /** @type {number} */ (id));
  return {
    acknowledged: of('acknowledged'),
    unknown: of('unknown'),
    pending: of('pending'),
    failed: of('not-applied'),
    lost: ids('lost'),
    doubled: ids('doubled'),
    denied: ids('denied'),
    torn: ids('torn'),
    strange: ids('strange'),
    moved: ids('moved'),
    deposed: ids('deposed'),
  };
}

exports.RULES = RULES;
exports.check = check;
exports.judge = judge;
