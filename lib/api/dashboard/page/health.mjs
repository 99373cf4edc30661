// Whether the cluster can be used, in a sentence: what somebody on call looks at first.

import { byId, setAttribute, setText } from './dom.mjs';
import { counted, listed } from './format.mjs';
import { isOpen } from './failovers.mjs';

/** @typedef {{ level: 'ok' | 'warn' | 'bad' | 'wait', title: string, text: string, brief: string }} Verdict `brief`: for the title of the window */

/** @param {any} node whether the pool has asked it yet */
const isSeen = ({ role, lastError }) => role !== 'unknown' || lastError !== null;

/** @param {any[]} nodes */
const names = (nodes) => listed(nodes.map(({ node }) => node));

/** @param {any} sample @returns {Verdict} */
function verdict({ at, nodes, failovers }) {
  if (!nodes.some(isSeen))
    return { level: 'wait', title: 'Looking at the nodes', text: 'No node has been asked yet.', brief: 'Looking' };
  const primaries = nodes.filter((/** @type {any} */ { role, state }) => role === 'primary' && state === 'up');
  const unusable = nodes.filter((/** @type {any} */ node) => isSeen(node) && node.state !== 'up');
  if (primaries.length > 1) {
    return { level: 'bad', title: 'Split brain', text: `${names(primaries)} accept writes.`, brief: 'Split brain' };
  }
  const last = failovers.at(-1);
  if (primaries.length === 0) {
    if (last !== undefined && isOpen(last)) {
      const seconds = Math.max(0, Math.round((at - last.noticed) / 1_000));
      const text = `${last.from === null ? '' : `${last.from} was the primary. `}Writes have been held for ${seconds} s.`;
      return { level: 'bad', title: 'A failover is under way', text, brief: 'Failover' };
    }
    const up = nodes.length - unusable.length;
    const text = up > 0 ? `Only ${counted(up, 'standby')} can be used.` : 'No node can be used.';
    return { level: 'bad', title: 'No node accepts writes', text, brief: 'No primary' };
  }
  const [{ node: primary }] = primaries;
  const title = `${primary} accepts writes`;
  if (unusable.length > 0) {
    const what = [...new Set(unusable.map((/** @type {any} */ { state }) => state))].join(' or ');
    const text = `${names(unusable)} ${unusable.length > 1 ? 'are' : 'is'} ${what}: ${counted(nodes.length - unusable.length, 'node')} of ${nodes.length} can be used.`;
    return { level: 'warn', title, text, brief: primary };
  }
  const unasked = nodes.filter((/** @type {any} */ node) => !isSeen(node)).length;
  const text =
    unasked > 0
      ? `${counted(unasked, 'node')} of ${nodes.length} ${unasked > 1 ? 'have' : 'has'} not been asked yet.`
      : nodes.length === 1
        ? 'It is the only node.'
        : `All ${nodes.length} nodes are up.`;
  return { level: unasked > 0 ? 'wait' : 'ok', title, text, brief: primary };
}

const NAMES = { ok: 'ok', warn: 'warn', bad: 'bad', wait: 'wait' };

let announced = '';

/** @param {any} sample @param {string | null} name of the pool */
export function showHealth(sample, name) {
  const { level, title, text, brief } = verdict(sample);
  setAttribute(byId('health'), 'data-level', level);
  setAttribute(byId('health-icon'), 'href', `#icon-${NAMES[level]}`);
  setText(byId('health-title'), title);
  setText(byId('health-text'), text);
  document.title = `${level === 'ok' ? '' : '! '}${brief} · ${name ?? 'hyperiondb'}`;
  // The time of a failover under way changes every second, and is not to be read out every second.
  announce(level === 'bad' && title.startsWith('A failover') ? title : `${title}. ${text}`);
}

/** Read out by screen readers: changes of state, and nothing else. @param {string} text */
export function announce(text) {
  if (text === announced) return;
  announced = text;
  setText(byId('announcement'), text);
}
