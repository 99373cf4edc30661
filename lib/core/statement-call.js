'use strict';

// The call of a statement: its result is an array of rows.

const { ParameterError, located } = require('../errors.js');
const { PromisedCall } = require('./promised-call.js');
const { asRows } = require('../values/rows.js');

class StatementCall extends PromisedCall {
  /**
   * @param {import('./statements.js').Statement} statement
   * @param {readonly string[]} nodes the names of the nodes
   */
  constructor(statement, nodes) {
    super();
    this.statement = statement;
    this.nodes = nodes;
  }

  /** The statement has ended. */
  finish() {
    const { statement, node } = this;
    statement.takesStructure ??= this.structure;
    this.resolve(asRows(this.rows, this.rowCount, statement.command, this.shape, node < 0 ? null : this.nodes[node]));
  }

  /** @param {Error} error */
  fail(error) {
    // The types of the parameters may have changed.
    if (error instanceof ParameterError) this.statement.forgetParameters();
    this.reject(error);
  }
}

/** The call of a statement whose promise its caller gets as it is: an error has the stack of the caller. */
class PlainCall extends StatementCall {
  /** @param {Error} error */
  fail(error) {
    if (error instanceof ParameterError) this.statement.forgetParameters();
    // V8 knows the chain of awaits up to the user's line in a reaction that the promise waits for. resolve() makes it wait one turn of
    // the microtasks later, so the rejection must come behind that.
    /** @type {(error: Error) => void} */
    let reject = () => {};
    const failed = new Promise((_, settle) => {
      reject = settle;
    });
    this.resolve(failed.then(undefined, rethrow));
    reject(error);
  }
}

/** @param {unknown} error @returns {never} */
function rethrow(error) {
  throw located(error);
}

module.exports = { PlainCall, StatementCall };
