// What the pool has counted since it was opened.

import { byId, keyed, make, setText } from './dom.mjs';
import { UNKNOWN, count, counted, moment, percent } from './format.mjs';

/** @param {number} part @param {number} whole */
const share = (part, whole) => (whole > 0 ? percent(part / whole) : UNKNOWN);

/** @typedef {{ title: string, value: string, more?: string }} Fact */

/** @param {any} sample @returns {Fact[]} */
function factsOf({ pool, totals }) {
  const {
    queries,
    rows,
    transactions,
    retries,
    acquires,
    waits,
    prepared,
    hedges,
    hedgesWon,
    fenceEvictions,
    unknownOutcomes,
  } = totals;
  const asked = prepared.hits + prepared.misses;
  const causes = Object.entries(retries).sort(([, a], [, b]) => b - a);
  const again = causes.reduce((sum, [, times]) => sum + times, 0);
  return [
    {
      title: 'Connections open',
      value: `${pool.size} of ${pool.maxSize}`,
      more: `${pool.inUse} in use, ${pool.waiting} waiting for one`,
    },
    { title: 'Statements', value: count(queries), more: `${count(rows)} rows` },
    {
      title: 'Transactions',
      value: count(transactions.begun),
      more: `${count(transactions.committed)} committed, ${count(transactions.rolledBack)} rolled back`,
    },
    {
      title: 'Waited for a connection',
      value: share(waits, acquires),
      more: `${count(waits)} of ${counted(acquires, 'time')}`,
    },
    {
      title: 'Sent again',
      value: count(again),
      more: causes.map(([cause, times]) => `${cause} ${count(times)}`).join(', '),
    },
    { title: 'Unknown whether applied', value: count(unknownOutcomes) },
    {
      title: 'Prepared statements found',
      value: share(prepared.hits, asked),
      more: `${count(prepared.misses)} made, ${count(prepared.evictions)} dropped`,
    },
    {
      title: 'Reads sent to a second node',
      value: count(hedges),
      more: hedges > 0 ? `${count(hedgesWon)} answered first` : '',
    },
    { title: 'Connections ended by a fence', value: count(fenceEvictions) },
  ];
}

/** @param {any} sample */
export function showPool(sample) {
  const place = byId('pool');
  if (place.firstElementChild === null) place.append(make('dl.facts'));
  setText(byId('pool-since'), `counted since ${moment(sample.totals.since, sample.at)}`);
  keyed(
    place.firstElementChild,
    factsOf(sample),
    ({ title }) => title,
    ({ title }) => make('div', {}, make('dt', {}, title), make('dd', {}, make('span.value'), make('span.more'))),
    (fact, { value, more = '' }) => {
      setText(fact.querySelector('.value'), value);
      setText(fact.querySelector('.more'), more);
    },
  );
}
