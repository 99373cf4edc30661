'use strict';

// Tells the subscribers of the channel hyperiondb:transaction (channels.js) what becomes of transactions.

const { QUERIES, TRANSACTIONS, TransactionMessage, fill } = require('./channels.js');

/** @typedef {'committed' | 'rolled back' | 'prepared' | 'unknown'} Outcome */
/** @typedef {{ onEnded: ((outcome: Outcome, hasFailed: boolean, error: unknown) => void) | undefined }} Traced a transaction */

class Tracer {
  #owner;
  #nodes;
  /** The messages of the open transactions that are traced, by their numbers. @type {Map<number, TransactionMessage>} */
  #messages = new Map();
  /** Made for the first transaction of begin() that is traced. @type {FinalizationRegistry<() => void> | undefined} */
  #forgotten;

  /** @param {object} owner the pool @param {readonly string[]} nodes their names */
  constructor(owner, nodes) {
    this.#owner = owner;
    this.#nodes = nodes;
  }

  /** Whether anybody wants to know of transactions, or of those of statements. */
  get isTracing() {
    return TRANSACTIONS.isListened || QUERIES.isListened;
  }

  /** The message of an open transaction that is traced. @param {number} id */
  messageOf(id) {
    return this.#messages.get(id);
  }

  /**
   * Runs a callback's transaction, with all its attempts, that is traced.
   * @template T
   * @param {Record<string, any>} options of BEGIN
   * @param {(message: TransactionMessage) => Promise<T>} work
   * @returns {Promise<T>}
   */
  transaction(options, work) {
    const message = new TransactionMessage(this.#owner, options);
    return TRANSACTIONS.run(message, async () => {
      let result;
      try {
        result = await work(message);
      } catch (error) {
        const isKnown = /** @type {any} */ (error)?.outcome === 'not-applied';
        const outcome = message.outcome === 'unknown' && isKnown ? 'rolled back' : (message.outcome ?? 'rolled back');
        settle(message, outcome, true, error);
        throw error;
      }
      settle(message, message.outcome ?? 'committed', false, undefined);
      return result;
    });
  }

  /**
   * Begins a transaction that its caller ends, and that is traced.
   * @template T
   * @param {Record<string, any>} options of BEGIN
   * @param {(message: TransactionMessage) => Promise<T>} work
   * @returns {Promise<T>}
   */
  begin(options, work) {
    const message = new TransactionMessage(this.#owner, options);
    return TRANSACTIONS.run(message, async () => {
      try {
        return await work(message);
      } catch (error) {
        settle(message, 'rolled back', true, error);
        throw error;
      }
    });
  }

  /**
   * Notes on which node a transaction has begun.
   * @param {TransactionMessage} message
   * @param {Promise<{ node: number }>} begun
   */
  noteNode(message, begun) {
    fill(message, { node: undefined });
    const note = (/** @type {{ node: number }} */ { node }) => fill(message, { node: this.#nodes[node] });
    // Its failure is told by the transaction.
    begun.then(note, () => {});
  }

  /**
   * A transaction that is traced has begun, once more if it is run again.
   * @param {TransactionMessage} message
   * @param {number} id
   * @param {Traced} top
   * @param {boolean} isWhole whether its end is the end of all that the message tells of
   */
  begun(message, id, top, isWhole) {
    const messages = this.#messages;
    messages.set(id, message);
    fill(message, { attempts: message.attempts + 1, outcome: undefined });
    top.onEnded = (outcome, hasFailed, error) => {
      messages.delete(id);
      fill(message, { outcome });
      if (isWhole) settle(message, outcome, hasFailed, error);
      this.#forgotten?.unregister(top);
    };
    if (!isWhole) return;
    this.#forgotten ??= new FinalizationRegistry(call);
    this.#forgotten.register(top, endOfForgotten(messages, id, message), top);
  }
}

/** @param {() => void} end */
const call = (end) => end();

/**
 * What is told of a transaction that nobody has ended and nobody can end any more: the core rolls it back. This function and the one
 * above are not closures of begun(), which would keep the transaction from being collected.
 * @param {Map<number, TransactionMessage>} messages
 * @param {number} id
 * @param {TransactionMessage} message
 */
function endOfForgotten(messages, id, message) {
  return () => {
    messages.delete(id);
    settle(message, 'rolled back', false, undefined);
  };
}

/** @param {TransactionMessage} message @param {Outcome} outcome @param {boolean} hasFailed @param {unknown} error */
function settle(message, outcome, hasFailed, error) {
  fill(message, { outcome, error });
  TRANSACTIONS.settle(message, hasFailed);
}

module.exports = { Tracer };
