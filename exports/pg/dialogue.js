'use strict';

// What an object with submit() says to the connection: messages of the protocol, which are collected until they make a call of the
// session, and the answers as messages. pg-cursor, pg-query-stream and pg's own Query speak so.

const { guarded } = require('./query.js');
const Result = require('./result.js');
const { ask } = require('./session.js');
const { coreTypes } = require('./types.js');

/** @typedef {import('./session.js').RawField} RawField */
/** @typedef {import('./session.js').RawResult} RawResult */

/** Such objects parse the values themselves. */
const UNPARSED = { getTypeParser: () => (/** @type {unknown} */ value) => value };

class Dialogue {
  #client;
  /** @type {any} */
  #statement;
  /** @type {any[] | undefined} */
  #values;
  /** How many rows are wanted of the portal; undefined: none yet. @type {number | undefined} */
  #wanted;
  /** @type {any} */
  #portal;
  #isDescribed = false;
  #isSynced = false;

  /** @param {any} client @param {any} target */
  constructor(client, target) {
    this.#client = client;
    this.target = target;
  }

  get #options() {
    return { types: coreTypes(UNPARSED).types, rowMode: 'array' };
  }

  /** @param {string} text */
  query(text) {
    this.#run({ text });
  }

  /** @param {{ text: string, name?: string }} message */
  parse({ text, name }) {
    this.#statement = { text, name: name || undefined };
  }

  /** @param {any} message */
  bind({ values, statement, valueMapper }) {
    this.#values = (values ?? []).map((/** @type {any} */ value) => (valueMapper ? valueMapper(value) : value));
    // Parsed before, under its name.
    this.#statement ??= { text: this.#client.connection.parsedStatements[statement], name: statement };
  }

  /** @param {{ rows?: number }} message */
  execute({ rows }) {
    this.#wanted = rows ?? 0;
  }

  /** The session closes the portal with its sync(). @param {any} _message */
  close(_message) {}

  flush() {
    if (this.#wanted !== undefined) {
      this.#read(this.#wanted);
      this.#wanted = undefined;
      return;
    }
    // What the rows are like is known with the first of them: so the object is not told to wait for that.
    process.nextTick(() => this.#client.connection.emit('noData', { name: 'noData', length: 5 }));
  }

  sync() {
    this.#isSynced = true;
    const portal = this.#portal;
    if (portal !== undefined) {
      this.#portal = undefined;
      const ready = () => this.#client._ready(this.target);
      portal.close().then(ready, ready);
    } else if (this.#wanted !== undefined) {
      this.#wanted = undefined;
      this.#run({ ...this.#statement, values: this.#values });
    } else {
      process.nextTick(() => this.#client._ready(this.target));
    }
  }

  /** @param {number} rows */
  #read(rows) {
    const { text } = this.#statement;
    this.#portal ??= this.#client._session.cursor({ text, values: this.#values }, this.#options);
    this.#portal.read(rows).then(
      (/** @type {any} */ part) => this.#tellPart(part),
      (/** @type {any} */ error) => this.#tellError(error),
    );
  }

  /** @param {{ rows: any[], fields: RawField[], tag: string | null }} part */
  #tellPart({ rows, fields, tag }) {
    const { target } = this;
    const { connection } = this.#client;
    if (!this.#isDescribed) this.#describe(fields);
    this.#tellRows(rows);
    guarded(() => {
      if (tag === null) target.handlePortalSuspended(connection);
      else if (tag === '') target.handleEmptyQuery(connection);
      else target.handleCommandComplete({ name: 'commandComplete', text: tag }, connection);
    });
  }

  /** @param {RawField[]} raw */
  #describe(raw) {
    const fields = Result.fieldsOf(raw);
    this.#isDescribed = true;
    // A cursor that reads takes a description for the permission to read again.
    if (this.target._result && (this.target.cursor || typeof this.target.read === 'function')) {
      this.target._result.addFields(fields);
    } else {
      guarded(() => this.target.handleRowDescription({ name: 'rowDescription', fields }, this.#client.connection));
    }
  }

  /** @param {any[][]} rows */
  #tellRows(rows) {
    for (const fields of rows) {
      guarded(() => this.target.handleDataRow({ name: 'dataRow', fieldCount: fields.length, fields }));
    }
  }

  /** @param {any} error */
  #tellError(error) {
    this.#isSynced = false;
    this.#client._refused(this.target, error);
    // Others than pg-cursor do not sync() after an error.
    if (!this.#isSynced) this.sync();
  }

  /** @param {any} flight */
  #run(flight) {
    this.#isDescribed = false;
    const { name, text } = flight;
    ask(this.#client._session, flight, this.#options).then(
      (/** @type {RawResult[]} */ raws) => {
        if (name) this.#client.connection.parsedStatements[name] = text;
        if (name) delete this.#client.connection.submittedNamedStatements[name];
        for (const raw of raws) this.#tellResult(raw);
        this.#client._ready(this.target);
      },
      (/** @type {any} */ error) => {
        if (name) delete this.#client.connection.submittedNamedStatements[name];
        this.#client._refused(this.target, error);
        this.#client._ready(this.target);
      },
    );
  }

  /** @param {RawResult} raw */
  #tellResult({ rows, fields, tag }) {
    const { connection } = this.#client;
    if (fields.length > 0 || rows.length > 0) this.#describe(fields);
    this.#tellRows(rows);
    guarded(() => {
      if (tag === '') this.target.handleEmptyQuery(connection);
      else this.target.handleCommandComplete({ name: 'commandComplete', text: tag }, connection);
    });
  }

  abandon() {
    this.#portal?.close().catch(() => {});
    this.#portal = undefined;
  }
}

module.exports = { Dialogue };
