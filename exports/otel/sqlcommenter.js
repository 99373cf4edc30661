'use strict';

// The comment that joins a statement in the server's log with its span (google.github.io/sqlcommenter/spec).

const client = /** @type {any} */ (require('../../client.js'));

const { Lexer } = client[Symbol.for('hyperiondb-client.options')];

/** Percent-encoding by RFC 3986, which encodeURIComponent does not do for these. @param {string} value */
const encoded = (value) =>
  encodeURIComponent(value).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

/** Whether a text has a comment already: "we MUST NOT mutate that statement". @param {string} sql */
function hasComment(sql) {
  if (!sql.includes('--') && !sql.includes('/*')) return false;
  const lexer = new Lexer(sql);
  while (lexer.next()) {
    if (lexer.kind === 'space' && (sql.startsWith('--', lexer.start) || sql.startsWith('/*', lexer.start))) return true;
  }
  return false;
}

/** W3C Trace Context (w3.org/TR/trace-context), where no propagator is registered. */
const traceContext = {
  /**
   * @param {import('@opentelemetry/api').Context} context
   * @param {Record<string, string>} carrier
   * @param {import('./api.js').Api} api
   */
  inject(context, carrier, { trace }) {
    const { traceId, spanId, traceFlags, traceState } = /** @type {import('@opentelemetry/api').SpanContext} */ (
      trace.getSpanContext(context)
    );
    carrier.traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
    const state = traceState?.serialize();
    if (state) carrier.tracestate = state;
  },
};

/**
 * The text with the comment of its span; the same text if it has a comment, or if the span is not sampled: nobody could find it.
 * @param {import('./api.js').Api} api
 * @param {{ propagator: import('@opentelemetry/api').TextMapPropagator } | true} option
 * @param {import('@opentelemetry/api').Span} span
 * @param {string} sql
 */
function withComment(api, option, span, sql) {
  const { trace, propagation, defaultTextMapSetter, TraceFlags, context } = api;
  if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0 || hasComment(sql)) return sql;
  /** @type {Record<string, string>} */
  const carrier = {};
  const inContext = trace.setSpan(context.active(), span);
  if (option !== true) option.propagator.inject(inContext, carrier, defaultTextMapSetter);
  // Without fields there is none.
  else if (propagation.fields().length > 0) propagation.inject(inContext, carrier);
  else traceContext.inject(inContext, carrier, api);
  const pairs = Object.keys(carrier)
    .sort()
    .map((key) => `${encoded(key)}='${encoded(carrier[key])}'`);
  return pairs.length === 0 ? sql : `${sql} /*${pairs.join(',')}*/`;
}

module.exports = { withComment };
