'use strict';

// The call of a statement: its result is an array of rows.

const { ParameterError } = require('../errors.js');
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

module.exports = { StatementCall };
