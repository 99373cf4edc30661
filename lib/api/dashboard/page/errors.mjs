// Errors by their class.

import { byId, icon, keyed, make, setText } from './dom.mjs';
import { ago, count, shortCount } from './format.mjs';

/** Appendix A of PostgreSQL's documentation, "PostgreSQL Error Codes"; those of the client from docs/errors.md. @type {Record<string, string>} */
export const NAMES = {
  '00': 'successful completion',
  '01': 'warning',
  '02': 'no data',
  '03': 'SQL statement not yet complete',
  '08': 'connection exception',
  '09': 'triggered action exception',
  '0A': 'feature not supported',
  '0B': 'invalid transaction initiation',
  '0F': 'locator exception',
  '0L': 'invalid grantor',
  '0P': 'invalid role specification',
  '0Z': 'diagnostics exception',
  10: 'XQuery error',
  20: 'case not found',
  21: 'cardinality violation',
  22: 'data exception',
  23: 'integrity constraint violation',
  24: 'invalid cursor state',
  25: 'invalid transaction state, read-only node',
  26: 'invalid statement name',
  27: 'triggered data change violation',
  28: 'invalid authorization',
  '2B': 'dependent privileges exist',
  '2D': 'invalid transaction termination',
  '2F': 'SQL routine exception',
  34: 'invalid cursor name',
  38: 'external routine exception',
  39: 'external routine invocation',
  '3B': 'savepoint exception',
  '3D': 'invalid database name',
  '3F': 'invalid schema name',
  40: 'transaction rollback: serialization, deadlock',
  42: 'syntax error or access rule',
  44: 'WITH CHECK OPTION violation',
  53: 'insufficient resources',
  54: 'program limit exceeded',
  55: 'object not in the state that is needed',
  57: 'operator intervention: cancelled, shut down',
  58: 'system error',
  72: 'snapshot failure',
  F0: 'configuration file error',
  HV: 'foreign data wrapper',
  P0: 'PL/pgSQL: raised by a function',
  XX: 'internal error',
  ABORT_ERR: 'ended by the caller',
  ERR_ACQUIRE_TIMEOUT: 'no connection in time',
  ERR_AUTH: 'login refused',
  ERR_CONNECTION_LOST: 'connection lost',
  ERR_COPY_IN_SCRIPT: 'COPY in a script',
  ERR_DECODE: 'value that JavaScript cannot hold',
  ERR_HEARTBEAT: 'a lease could not be renewed',
  ERR_INTERNAL: 'an error of this package',
  ERR_INVALID_PARAM: 'wrong parameter',
  ERR_LEASE_POOLER: 'lease behind a pooler',
  ERR_NO_PRIMARY: 'no primary in time',
  ERR_NO_STANDBY: 'no standby in time',
  ERR_OUTCOME_UNKNOWN: 'sent, and no answer',
  ERR_PASSWORD: 'the password function failed',
  ERR_POOL_CLOSED: 'the pool was closed',
  ERR_PROTOCOL: 'the server broke the protocol',
  ERR_RESULT_TOO_LARGE: 'result too large',
  ERR_TLS: 'TLS failed',
  ERR_TRANSACTION_ENDED: 'the transaction had ended',
  ERR_TRANSACTION_OPEN: 'a transaction was open',
  other: 'of no class that is known',
};

/** So many classes are shown, the most frequent first. */
const MOST = 12;

/** A long code may be broken after each underscore. @param {string} text */
const breakable = (text) => text.split(/(?<=_)/).flatMap((part, index) => (index === 0 ? [part] : [make('wbr'), part]));

/** @param {any} sample @param {number} minutes that are shown */
export function showErrors({ at, errors, totals }, minutes) {
  const place = byId('errors');
  setText(byId('errors-count'), totals.errors > 0 ? `${count(totals.errors)} since the pool was opened` : '');
  if (errors.length === 0) {
    if (place.querySelector('.empty') === null) {
      place.replaceChildren(make('p.empty', {}, icon('ok'), 'None since the pool was opened.'));
    }
    return;
  }
  if (place.querySelector('table') === null) {
    const heads = ['Class', 'Last', 'In all', 'Seen'].map((title, index) =>
      make('th', { scope: 'col', class: index === 0 ? null : 'number' }, title),
    );
    const head = make('thead', {}, make('tr', {}, ...heads));
    const table = make('table.plain.errors', { 'aria-labelledby': 'errors-title' }, head, make('tbody'));
    place.replaceChildren(table, make('p.hint.rest'));
  }
  const rest = errors.length - MOST;
  setText(
    place.querySelector('.rest'),
    rest > 0 ? `${rest} more ${rest > 1 ? 'classes have' : 'class has'} fewer.` : '',
  );
  setText(place.querySelectorAll('th')[1], `${minutes} min`);
  keyed(
    place.querySelector('tbody'),
    /** @type {any[]} */ (errors.slice(0, MOST)),
    (error) => error.class,
    (error) =>
      make(
        'tr',
        {},
        make(
          'th',
          { scope: 'row' },
          make('code', {}, ...breakable(error.class)),
          make('span.meaning', {}, NAMES[error.class] ?? ''),
        ),
        make('td.number'),
        make('td.number'),
        make('td.number'),
      ),
    (row, { last5, last15, total, lastAt }) => {
      const cells = row.querySelectorAll('td');
      setText(cells[0], shortCount(minutes > 5 ? last15 : last5));
      setText(cells[1], shortCount(total));
      setText(cells[2], lastAt === null ? 'before' : ago(at - lastAt));
    },
  );
}
