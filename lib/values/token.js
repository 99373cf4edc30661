'use strict';

// A consistency token: a position of a primary, as lower-case hex `system-timeline-lsn`. Whoever reads with it sees what the primary
// had committed by then. The system is the identifier of the cluster; 0 where the user may not ask for it. The core makes tokens
// and judges them; here their form is checked and two of one cluster are compared.

const FORM = /^([0-9a-f]{1,16})-([0-9a-f]{1,8})-([0-9a-f]{1,16})$/;

/** @param {unknown} value */
const isToken = (value) => typeof value === 'string' && FORM.test(value);

/** The parts of a token. @param {string} token */
function partsOf(token) {
  const [, system, timeline, lsn] = /** @type {RegExpExecArray} */ (FORM.exec(token));
  return { system: BigInt(`0x${system}`), timeline: BigInt(`0x${timeline}`), lsn: BigInt(`0x${lsn}`) };
}

/**
 * The later of two tokens: the one with the higher timeline, and on one timeline the one with the higher LSN. Of two clusters,
 * `given`: whoever knows its own cluster refuses it.
 * @param {string | undefined} known
 * @param {string} given
 */
function laterToken(known, given) {
  if (known === undefined || known === given) return given;
  const [a, b] = [partsOf(known), partsOf(given)];
  if (a.system !== b.system && a.system !== 0n && b.system !== 0n) return given;
  const isLater = a.timeline === b.timeline ? a.lsn > b.lsn : a.timeline > b.timeline;
  return isLater ? known : given;
}

module.exports = { isToken, laterToken };
