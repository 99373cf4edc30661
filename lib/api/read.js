'use strict';

// pool.read: declared reads, which may run on a standby, and again on another node. The core chooses the node (src/cluster/balance/);
// a function of the caller (`reads.balance`) chooses here, among the nodes that are fit.

const { FLAG } = require('../core/numbers.js');
const { ParameterError, PoolClosedError, QueryTimeoutError, aborted, located } = require('../errors.js');
const { NONE, READ, READ_STREAM, callOptions } = require('../options/call-options.js');
const { labelOf } = require('../options/hosts.js');
const { withMembers } = require('../options/with-members.js');
const { laterToken } = require('../values/token.js');
const { addRowExpectations } = require('./row-expectations.js');
const { runner: templates, unfold } = require('./sql.js');
const { RowStream } = require('./stream.js');
const { watchLimits } = require('./watch-limits.js');

/** @typedef {{ host: string, port: number, fit: boolean }} Node a member of pool.nodes() */

/**
 * What reads need of their pool.
 * @typedef {object} Owner
 * @property {import('../core/statement-runner.js').StatementRunner} runner
 * @property {unknown} balance the option `reads.balance`
 * @property {() => Node[]} nodes
 * @property {() => boolean} isClosed
 * @property {() => import('./session.js').Session | undefined} session in which the caller runs
 * @property {() => import('./scope.js').Scope | undefined} scope of the transaction that the caller joins
 */

/** The options of a read that gives none. */
const PLAIN = Object.freeze({ ...NONE, readOnly: true, flags: FLAG.READ });

/** @param {number} timeoutMs */
function timedOut(timeoutMs) {
  const error = new QueryTimeoutError(`statement timed out after ${timeoutMs} ms, before it was sent`, '57014');
  return Object.assign(error, { outcome: 'not-applied' });
}

/**
 * The `host:port` of what a balancing function has returned.
 * @param {any} chosen
 * @returns {string | undefined}
 */
function labelChosen(chosen) {
  if (typeof chosen === 'string') return chosen;
  return typeof chosen?.host === 'string' ? labelOf(chosen) : undefined;
}

/**
 * Asks a balancing function for one of the nodes that are fit; undefined if none is.
 * @param {(nodes: Node[]) => unknown} balance
 * @param {Node[]} nodes
 * @returns {string | undefined} its `host:port`
 */
function chooseNode(balance, nodes) {
  const fit = nodes.filter((node) => node.fit);
  if (fit.length === 0) return undefined;
  const labels = fit.map(labelOf);
  const answer = balance(fit);
  // A promise is refused below. Its own rejection must not end the process besides.
  if (answer instanceof Promise) answer.catch(() => {});
  const chosen = labelChosen(answer);
  if (chosen !== undefined && labels.includes(chosen)) return chosen;
  throw new ParameterError("reads.balance must return one of the nodes that it was given, or its 'host:port'");
}

/**
 * The options of a read as the runner takes them.
 * @param {Record<string, any>} options checked
 * @param {string | undefined} position of the session
 * @param {number | undefined} node its index, if the caller has chosen one
 */
function toSend(options, position, node) {
  if (options === NONE && position === undefined && node === undefined) return PLAIN;
  const { maxLagMs, maxLagBytes, waitMs, hedgeMs, fallback } = options;
  const after = options.after === undefined ? position : laterToken(position, options.after);
  // What is undefined is left out.
  const readOptions = JSON.stringify({ maxLagMs, maxLagBytes, after, waitMs, hedgeMs, fallback, node });
  const flags = readOptions === '{}' ? FLAG.READ : FLAG.READ | FLAG.READ_OPTIONS;
  return withMembers(options, { readOnly: true, flags, readOptions });
}

/**
 * The options of a read that joins a transaction. It runs on its connection, to the primary, which is not behind: what says how far a
 * standby may be behind, and where else to read, is fulfilled.
 * @param {Record<string, any>} options checked
 */
const inTransaction = ({ timeoutMs, signal, rowMode, types }) => ({ timeoutMs, signal, rowMode, types });

class Reads {
  /** @type {Owner} */
  #owner;

  /** @param {Owner} owner */
  constructor(owner) {
    this.#owner = owner;
    this.sql = templates((fragment) => this.query(fragment));
  }

  /**
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {object} [options]
   */
  async query(sql, params, options) {
    if (this.#owner.isClosed()) throw new PoolClosedError();
    const checked = options === undefined ? NONE : callOptions(options, READ);
    const [text, values] = unfold(sql, params);
    const scope = this.#owner.scope();
    if (scope !== undefined) return await scope.handle.query(text, values, inTransaction(checked));
    try {
      return await this.#run(text, values, checked, this.#owner.session());
    } catch (error) {
      throw located(error);
    }
  }

  /**
   * @param {string | import('./sql.js').Sql} sql
   * @param {readonly unknown[]} [params]
   * @param {object} [options]
   */
  stream(sql, params, options) {
    const { isClosed, runner, session } = this.#owner;
    if (isClosed()) throw new PoolClosedError();
    /** @type {Record<string, any>} */
    const checked = options === undefined ? NONE : callOptions(options, READ_STREAM);
    const { batchSize = READ_STREAM.batchSize.value } = checked;
    const [text, values] = unfold(sql, params);
    const scope = this.#owner.scope();
    if (scope !== undefined) return scope.handle.stream(text, values, { ...inTransaction(checked), batchSize });
    const own = session();
    return new RowStream(runner, async (reader) =>
      this.#run(text, values, withMembers(checked, { batchSize, reader }), own),
    );
  }

  /**
   * Sends a read: at once, or when the position that its session must see is known.
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options checked
   * @param {import('./session.js').Session | undefined} session
   * @returns {Promise<object[]>}
   */
  #run(sql, params, options, session) {
    const position = session?.position();
    if (position instanceof Promise) return this.#runLater(sql, params, options, position);
    return this.#send(sql, params, options, position);
  }

  /**
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options
   * @param {string | undefined} position
   */
  #send(sql, params, options, position) {
    return this.#owner.runner.query(sql, params, this.#toSend(options, position), 0);
  }

  /**
   * The options of a read for the node that the caller's function has chosen, if there is one.
   * @param {Record<string, any>} options
   * @param {string | undefined} position
   */
  #toSend(options, position) {
    const { balance, nodes, runner } = this.#owner;
    const chosen = typeof balance === 'function' ? chooseNode(/** @type {any} */ (balance), nodes()) : undefined;
    return toSend(options, position, chosen === undefined ? undefined : runner.nodes.indexOf(chosen));
  }

  /**
   * Sends a read when its position is known. Those who watch are told of the whole: also of a read that is not sent because the
   * position does not become known.
   * @param {string} sql
   * @param {unknown} params
   * @param {Record<string, any>} options
   * @param {Promise<string>} position
   */
  #runLater(sql, params, options, position) {
    const { runner } = this.#owner;
    // A copy: the caller may change the array meanwhile.
    const given = Array.isArray(params) ? [...params] : params;
    const operation = options.reader === undefined ? 'read' : 'stream';
    return runner.observer.run(operation, sql, given, 0, async (watched) => {
      options.reader?.onWatched(watched);
      const started = performance.now();
      const known = await waitFor(position, options);
      const { timeoutMs = 0 } = options;
      const left = timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(timeoutMs - (performance.now() - started)));
      return runner.sendWatched(watched, given, this.#toSend(withMembers(options, { timeoutMs: left }), known), 0);
    });
  }
}

/**
 * Waits for a position within the limits of a read.
 * @param {Promise<string>} position
 * @param {Record<string, any>} options
 */
async function waitFor(position, options) {
  const { over, stop } = watchLimits(options, timedOut);
  try {
    if (options.signal?.aborted) throw aborted(options.signal);
    return await Promise.race([position, over]);
  } finally {
    stop();
  }
}

addRowExpectations(Reads);

/**
 * The function `pool.read`, with its methods.
 * @param {Owner} owner
 */
function readOf(owner) {
  const reads = /** @type {any} */ (new Reads(owner));
  const read = (/** @type {any} */ sql, /** @type {any} */ params, /** @type {any} */ options) =>
    reads.query(sql, params, options);
  const methods = ['one', 'maybeOne', 'many', 'value', 'stream'].map((name) => [name, reads[name].bind(reads)]);
  return Object.freeze(Object.assign(read, { sql: reads.sql, ...Object.fromEntries(methods) }));
}

module.exports = { readOf };
