// Stands as a library in node_modules: it loads pg when it is first needed, as connect-pg-simple does, and calls back.
'use strict';

exports.Store = class Store {
  constructor() {
    this.pool = new (require('pg').Pool)({ max: 1 });
    this.table = this.pool.query('CREATE TEMP TABLE store (key text PRIMARY KEY, value json)');
  }

  /** @param {string} key @param {unknown} value @param {(error?: Error) => void} done */
  set(key, value, done) {
    this.table.then(
      () =>
        this.pool.query('INSERT INTO store VALUES ($1, $2)', [key, value], (/** @type {any} */ error) => done(error)),
      done,
    );
  }

  /** @param {string} key @param {(error: Error | null, value?: unknown) => void} done */
  get(key, done) {
    this.pool.query(
      'SELECT value FROM store WHERE key = $1',
      [key],
      (/** @type {any} */ error, /** @type {any} */ result) =>
        error ? done(error) : done(null, result.rows[0]?.value),
    );
  }

  /** @param {() => void} done */
  close(done) {
    this.pool.end(done);
  }
};
