// The failovers, the newest first: how long each phase took, what was noticed, who was asked, who was chosen, the first write.

import { byId, icon, keyed, make, setAttribute, setText } from './dom.mjs';
import { ago, count, counted, duration, moment, trimmed } from './format.mjs';

/** Whether no primary is found yet. The first write may take its time: not every program writes. @param {any} failover */
export const isOpen = ({ found }) => found === null;

const SOURCES = /** @type {Record<string, string>} */ ({
  statement: 'A statement failed on',
  connection: 'A connection failed to',
  monitor: 'The monitor found a problem on',
  fence: 'A new primary was seen:',
});
const ANSWERS = /** @type {Record<string, string>} */ ({
  primary: 'is the primary',
  standby: 'is a standby',
  fenced: 'accepts no writes',
  down: 'does not answer',
});

/** @typedef {{ at: number, text: string, reason: string | null }} Step */

/** What happened, in order; the same answer again and again is one step. @param {any} failover @returns {Step[]} */
function stepsOf({ from, noticed, by, asked, to, found, timeline, firstWrite }) {
  /** @type {Step[]} */
  const steps = [
    {
      at: noticed,
      text:
        by === null ? `${from ?? 'The primary'} could not be used` : `${SOURCES[by.source] ?? by.source} ${by.node}`,
      reason: by?.reason ?? null,
    },
  ];
  /** @type {Map<string, { step: Step, key: string, times: number, text: string }>} */
  const last = new Map();
  for (const { at, node, answer, reason } of asked) {
    const text = `Asked ${node}: it ${ANSWERS[answer] ?? answer}`;
    const before = last.get(node);
    if (before?.key === `${answer} ${reason}`) {
      before.times++;
      before.step.text = `${before.text} (${before.times} times)`;
      continue;
    }
    const step = { at, text, reason };
    steps.push(step);
    last.set(node, { step, key: `${answer} ${reason}`, times: 1, text });
  }
  if (found !== null)
    steps.push({ at: found, text: `Chose ${to}${timeline === null ? '' : `, timeline ${timeline}`}`, reason: null });
  if (firstWrite !== null) steps.push({ at: firstWrite, text: `First write acknowledged by ${to}`, reason: null });
  return steps.sort((a, b) => a.at - b.at);
}

/** @param {any} failover @param {number} now */
function phasesOf({ noticed, found, firstWrite }, now) {
  const looked = (found ?? now) - noticed;
  const phases = [{ key: 'look', title: found === null ? 'looking for a primary' : 'until it was found', ms: looked }];
  if (firstWrite !== null) phases.push({ key: 'write', title: 'until the first write', ms: firstWrite - found });
  return phases;
}

/** @param {any} failover @param {number} now */
function badgeOf(failover, now) {
  const { noticed, found, firstWrite } = failover;
  if (firstWrite !== null) return { level: 'ok', text: `done in ${duration(firstWrite - noticed)}` };
  if (found === null) return { level: 'bad', text: `under way for ${duration(Math.max(0, now - noticed))}` };
  return { level: 'ok', text: `found in ${duration(found - noticed)}, no write yet` };
}

function create() {
  const names = make('h3', {}, make('span.from'), icon('arrow'), make('span.unseen', {}, ' to '), make('span.to'));
  return make(
    'li.failover',
    {},
    make('div.failover-head', {}, names, make('p.badge', {}, icon('ok'), make('span'))),
    make('p.when'),
    make('div.phases', { 'aria-hidden': 'true' }),
    make('ul.phase-names'),
    make('ul.counts'),
    make('details', {}, make('summary', {}, 'What happened'), make('ol.steps')),
  );
}

/** @param {HTMLElement} item @param {any} failover @param {number} now */
function update(item, failover, now) {
  const { from, to, noticed, held, retried, unknown } = failover;
  const { level, text } = badgeOf(failover, now);
  const part = (/** @type {string} */ selector) => /** @type {any} */ (item.querySelector(selector));
  setAttribute(item, 'data-level', level);
  setText(part('.from'), from ?? 'no primary');
  setText(part('.to'), to ?? 'not chosen yet');
  setAttribute(part('.badge'), 'data-level', level);
  setAttribute(part('.badge use'), 'href', `#icon-${level}`);
  setText(part('.badge span'), text);
  setText(part('.when'), `${moment(noticed, now)}, ${ago(now - noticed)}`);
  const phases = phasesOf(failover, now);
  keyed(
    part('.phases'),
    phases,
    ({ key }) => key,
    ({ key }) => make(`span.phase-${key}`),
    (bar, { ms }) => {
      bar.style.flexGrow = String(Math.max(1, ms));
    },
  );
  keyed(
    part('.phase-names'),
    phases,
    ({ key }) => key,
    ({ key }) => make(`li.phase-${key}`, {}, make('strong'), ' ', make('span')),
    (name, { title, ms }) => {
      setText(name.querySelector('strong'), duration(Math.max(0, ms)));
      setText(name.querySelector('span'), title);
    },
  );
  const counts = [
    { key: 'held', text: `${count(held)} held`, level: null },
    { key: 'retried', text: `${count(retried)} sent again`, level: null },
    { key: 'unknown', text: `${count(unknown)} unknown`, level: unknown > 0 ? 'warn' : null },
  ];
  keyed(
    part('.counts'),
    counts,
    ({ key }) => key,
    () => make('li'),
    (one, { text, level }) => {
      setText(one, text);
      setAttribute(one, 'data-level', level);
    },
  );
  const steps = stepsOf(failover).map((step, index) => ({ ...step, key: String(index) }));
  keyed(
    part('.steps'),
    steps,
    ({ key }) => key,
    () => make('li', {}, make('span.offset'), make('div', {}, make('span.what'), make('span.reason'))),
    (step, { at, text, reason }) => {
      setText(step.querySelector('.offset'), `+${trimmed(duration(Math.max(0, at - noticed)))}`);
      setText(step.querySelector('.what'), text);
      setText(step.querySelector('.reason'), reason ?? '');
    },
  );
}

/** @param {any} sample */
export function showFailovers({ at, failovers, totals }) {
  const place = byId('failovers');
  setText(
    byId('failovers-count'),
    totals.failovers > failovers.length
      ? `the last ${failovers.length} of ${count(totals.failovers)}`
      : counted(totals.failovers, 'failover'),
  );
  if (failovers.length === 0) {
    if (place.querySelector('.empty') === null) {
      place.replaceChildren(make('p.empty', {}, icon('ok'), 'None since the pool was opened.'));
    }
    return;
  }
  if (place.querySelector('ol') === null)
    place.replaceChildren(
      make('ol.failovers', { tabindex: '0', 'aria-label': 'Failovers, the newest first', role: 'list' }),
    );
  keyed(
    place.firstElementChild,
    failovers.toReversed(),
    ({ noticed }) => String(noticed),
    create,
    (item, failover) => update(item, failover, at),
  );
  const newest = place.querySelector('details');
  // Once: the viewer may close it.
  if (newest !== null && newest.dataset.seen === undefined) newest.open = true;
  if (newest !== null) newest.dataset.seen = '';
}
