'use strict';

// What became of the reads: which node answered each, and whether it saw the write that it had to see. The write was acknowledged
// before the read was sent, so a read with the token of the write, or in the session of the write, must see it on any node. A plain
// read may be older than the write, as a standby answers from its own replay position.

/** @typedef {'plain' | 'token' | 'session'} Kind */

/** The kinds of reads, and what they promise. @type {Record<Kind, { title: string, mayBeOlder: boolean }>} */
const KINDS = {
  plain: { title: 'plain', mayBeOlder: true },
  token: { title: 'with a token', mayBeOlder: false },
  session: { title: 'in a session', mayBeOlder: false },
};

class ReadLedger {
  answered = 0;
  failed = 0;
  /** Reads that had to see a write and did not, or saw a part of it: must be 0. */
  stale = 0;
  /** Plain reads that did not see the newest write yet. */
  older = 0;
  byStandbys = 0;
  byPrimary = 0;
  /** @type {Record<Kind, number>} */
  byKind = { plain: 0, token: 0, session: 0 };
  /** By `host:port`. @type {Map<string, number>} */
  byNode = new Map();
  /** `host:port` of the primary as the pool sees it. */
  primary = '';

  /**
   * A read was answered. True: it saw what it had to see.
   * @param {Kind} kind
   * @param {{ node: string | null, length: number }} rows
   * @param {number} written how many rows the write has that was looked up
   */
  answer(kind, { node, length }, written) {
    const answered = node ?? '';
    this.answered += 1;
    this.byKind[kind] += 1;
    this.byNode.set(answered, (this.byNode.get(answered) ?? 0) + 1);
    if (answered === this.primary) this.byPrimary += 1;
    else this.byStandbys += 1;
    const isOlder = length === 0 && KINDS[kind].mayBeOlder;
    if (isOlder) this.older += 1;
    const isStale = length !== written && !isOlder;
    if (isStale) this.stale += 1;
    return !isStale;
  }

  fail() {
    this.failed += 1;
  }

  /** Whether the reads prove what they are to prove: a run in which no standby has answered proves nothing. */
  get ok() {
    const hasAllKinds = Object.values(this.byKind).every((count) => count > 0);
    return this.stale + this.failed === 0 && hasAllKinds && this.byStandbys > 0;
  }
}

module.exports = { KINDS, ReadLedger };
