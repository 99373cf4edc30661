'use strict';

// The call of a statement: its result is an array of rows. Each statement has one, so it is made without closures.

const { Call } = require('./core-link.js');
const { ParameterError } = require('../errors.js');
const { asRows } = require('../values/rows.js');

class StatementCall extends Call {
  /**
   * @param {import('./statements.js').Statement} statement
   * @param {readonly string[]} nodes the names of the nodes
   */
  constructor(statement, nodes) {
    const promise = new Promise(keepSettlers);
    super(resolveLast, rejectLast);
    this.statement = statement;
    this.nodes = nodes;
    /** Of the rows. @type {Promise<object[]>} */
    this.promise = promise;
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

// Those of the promise that was made last. Promise.withResolvers() needs Node 22.
/** @type {(value: any) => void} */
let resolveLast;
/** @type {(error: Error) => void} */
let rejectLast;

/** @param {typeof resolveLast} resolve @param {typeof rejectLast} reject */
function keepSettlers(resolve, reject) {
  resolveLast = resolve;
  rejectLast = reject;
}

module.exports = { StatementCall };
