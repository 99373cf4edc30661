'use strict';

// A BEGIN that is answered at once, and sent ahead of the statement behind it, in one flight: a transaction needs one round trip less. If
// the server refuses the BEGIN, it does not go on to the statement. A BEGIN behind which no such statement comes before the program waits
// for something else is sent alone.

const { DatabaseError } = require('./database-error.js');
const { endsSession } = require('./outcomes.js');
const { Query, Statement } = require('./query.js');
const { ask } = require('./session.js');
const { coreTypes } = require('./types.js');

/** A BEGIN that says nothing more: a server can hardly refuse it. */
const PLAIN = /^\s*(?:begin(?:\s+(?:work|transaction))?|(start)\s+transaction)\s*;?\s*$/i;

const { submit } = Query.prototype;

/**
 * Whether a query is one statement for the extended protocol, so that a BEGIN can go in its flight. One with a submit() of its own may send
 * something else.
 * @param {any} query
 * @param {any} client
 */
const takesBegin = (query, client) =>
  query instanceof Query && query.submit === submit && query._isOneFlight() && !client.binary;

/** The BEGIN of a client. */
class PostponedBegin {
  #client;
  /** The query with which it was sent. @type {any} */
  #carrier = null;
  /** Whether it is still to be sent. */
  isOwed = false;

  /** @param {any} client */
  constructor(client) {
    this.#client = client;
  }

  /**
   * Answers a BEGIN that can be sent later. One of pool.query() cannot: others may be sent behind it before its client knows the answer.
   * @param {any} query
   * @param {{ text: string, values?: any[] }} flight
   * @returns {Promise<import('./session.js').RawResult[]> | null} null: it must be sent
   */
  postpone(query, { text, values }) {
    const client = this.#client;
    if (values !== undefined || query.constructor !== Statement) return null;
    if (client._txStatus !== 'I' || client.pipeline || !client._session.isUsable) return null;
    const found = PLAIN.exec(text);
    if (found === null) return null;
    this.#owe();
    const tag = found[1] === undefined ? 'BEGIN' : 'START TRANSACTION';
    // Not before the program has heard of the query before it, which may take several microtasks.
    return new Promise((resolve) => process.nextTick(resolve, [{ rows: [], fields: [], tag }]));
  }

  #owe() {
    this.isOwed = true;
    setImmediate(() => this.send());
  }

  /** Whether it must be answered before a query is sent. @param {any} query */
  blocks(query) {
    return this.isOwed && !takesBegin(query, this.#client);
  }

  /** A query is sent. Returns whether the BEGIN goes ahead of it. @param {any} query */
  goesWith(query) {
    const goes = this.isOwed;
    this.isOwed = false;
    this.#carrier = goes ? query : null;
    return goes;
  }

  /** Sends it alone, if nothing else runs. */
  send() {
    const client = this.#client;
    if (!this.isOwed || !client.readyForQuery || !client._queryable || client._isClosing) return;
    this.isOwed = false;
    client.readyForQuery = false;
    ask(client._session, { text: 'BEGIN' }, { types: coreTypes(undefined).types }).then(
      () => {
        client._txStatus = client._session.transactionStatus;
        client.readyForQuery = true;
        if (client._queryQueue.length > 0) client._pulseQueryQueue();
      },
      // If the session is lost, the client hears of that by itself. If it is not, nothing may run outside of the transaction.
      (/** @type {unknown} */ error) => !endsSession(error) && client._terminate(error),
    );
  }

  /**
   * A query has failed, and its session lives. If the BEGIN ahead of it was not sent, it is owed again.
   * @param {any} query
   * @param {any} error as the program sees it
   * @returns {boolean} whether the server has refused the BEGIN: the session must end, or what the program takes for the rest of its
   *   transaction would be committed statement by statement
   */
  noteFailure(query, error) {
    if (query !== this.#carrier || this.#client._session.transactionStatus !== 'I') return false;
    if (error instanceof DatabaseError) return true;
    this.#owe();
    return false;
  }
}

module.exports = { PostponedBegin };
