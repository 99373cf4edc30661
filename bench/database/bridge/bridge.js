'use strict';

// A synchronous face over PostgreSQL, as programs have built it that were written for better-sqlite3: a worker thread runs the
// statement, and the main thread sleeps in Atomics.wait until it has ended. One statement at a time, and nothing else happens in the
// process meanwhile. docs/sqlite-and-postgres.md shows how to move away from it.

const path = require('node:path');
const { MessageChannel, Worker, receiveMessageOnPort } = require('node:worker_threads');

/** @param {object} login of pg */
function openBridge(login) {
  const { port1, port2 } = new MessageChannel();
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(path.join(__dirname, 'worker.js'), {
    workerData: { login, signal, port: port2 },
    transferList: [port2],
  });
  worker.unref();

  /** @param {string} sql @param {unknown[]} params @returns {{ rows: any[], rowCount: number }} */
  function query(sql, params) {
    Atomics.store(signal, 0, 0);
    port1.postMessage({ sql, params });
    Atomics.wait(signal, 0, 0);
    const { message } = /** @type {{ message: any }} */ (receiveMessageOnPort(port1));
    if (message.error !== undefined)
      throw Object.assign(new Error(message.error.message), { code: message.error.code });
    return message;
  }

  return {
    /** @param {string} sql */
    prepare(sql) {
      let n = 0;
      // The replacement that such bridges have: a ? in a string would be one, too.
      const text = sql.replace(/\?/g, () => `$${++n}`);
      return {
        /** @param {...unknown} params */
        get: (...params) => query(text, params).rows[0],
        /** @param {...unknown} params */
        all: (...params) => query(text, params).rows,
        /** @param {...unknown} params */
        run: (...params) => ({ changes: query(text, params).rowCount }),
      };
    },
    /** @param {string} script */
    exec(script) {
      query(script, []);
    },
    /** @template T @param {() => T} fn @returns {() => T} */
    transaction: (fn) => () => {
      query('BEGIN', []);
      try {
        const result = fn();
        query('COMMIT', []);
        return result;
      } catch (error) {
        query('ROLLBACK', []);
        throw error;
      }
    },
    close: () => worker.terminate(),
  };
}

module.exports = { openBridge };
