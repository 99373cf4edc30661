'use strict';

// The span of a failover. The pool tells of it when it is over, so its times are given, each that of its phase.

/** @typedef {import('./api.js').Api} Api */

/**
 * Without what is not known: attributes have no null.
 * @param {Record<string, any>} attributes
 */
const known = (attributes) =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== null && value !== undefined));

/** What happened within a failover, in the order of the times. @param {any} failover @returns {[name: string, attributes: object, at: Date][]} */
function phasesOf({ noticed, by, asked, found, to, timeline, firstWrite }) {
  /** @type {[name: string, attributes: object, at: Date][]} */
  const phases = [
    [
      'noticed',
      { 'hyperiondb.failover.source': by.source, 'hyperiondb.node': by.node, 'hyperiondb.reason': by.reason },
      noticed,
    ],
  ];
  for (const { at, node, answer, reason } of asked) {
    phases.push(['asked', { 'hyperiondb.node': node, 'hyperiondb.answer': answer, 'hyperiondb.reason': reason }, at]);
  }
  if (found !== null) phases.push(['found', { 'hyperiondb.node': to, 'hyperiondb.timeline': timeline }, found]);
  if (firstWrite !== null) phases.push(['first write', { 'hyperiondb.node': to }, firstWrite]);
  return phases.sort(([, , one], [, , other]) => one.getTime() - other.getTime());
}

/**
 * @param {Api} api
 * @param {import('@opentelemetry/api').Tracer} tracer
 * @param {Record<string, string | number>} pool attributes of the pool
 * @param {any} failover as the event of the pool has it
 */
function traceFailover({ SpanKind, SpanStatusCode }, tracer, pool, failover) {
  const { from, to, timeline, noticed, found, held, retried, unknown } = failover;
  const phases = phasesOf(failover);
  // It belongs to no caller: many may have waited for it.
  const span = tracer.startSpan('failover', {
    kind: SpanKind.INTERNAL,
    root: true,
    startTime: noticed,
    attributes: {
      ...pool,
      ...known({
        'hyperiondb.failover.from': from,
        'hyperiondb.failover.to': to,
        'hyperiondb.failover.timeline': timeline,
        'hyperiondb.failover.held': held,
        'hyperiondb.failover.retried': retried,
        'hyperiondb.failover.unknown': unknown,
      }),
    },
  });
  for (const [name, attributes, at] of phases) span.addEvent(name, known(attributes), at);
  if (found === null) {
    span.setAttribute('error.type', 'no_primary');
    span.setStatus({ code: SpanStatusCode.ERROR, message: 'no new primary was found' });
  }
  span.end(/** @type {[name: string, attributes: object, at: Date]} */ (phases.at(-1))[2]);
}

module.exports = { traceFailover };
