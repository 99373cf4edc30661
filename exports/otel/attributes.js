'use strict';

// The attributes of spans and metrics, by the stable semantic conventions for databases (opentelemetry.io/docs/specs/semconv/db/postgresql).
// What is the same for every run of a statement is made once: a span costs the most where attributes are put together.

/** @typedef {Record<string, string | number>} Attributes */
/** @typedef {import('./query-text.js').TextFacts} TextFacts */

const SYSTEM = Object.freeze({ 'db.system.name': 'postgresql' });
/** The port that the convention leaves out. */
const DEFAULT_PORT = 5432;
const POOL_NAME = 'db.client.connection.pool.name';
/** What an error has no code for: the convention's fallback. */
const OTHER = '_OTHER';
/** The text of a batch goes on for so many characters at most. */
const LONGEST_BATCH = 16_384;

/**
 * The node of a name (`host:port`, `[::1]:5432`, a folder of sockets and a port).
 * @param {string} label
 * @returns {Attributes}
 */
function serverOf(label) {
  const colon = label.lastIndexOf(':');
  const host = label.slice(0, colon);
  const port = Number(label.slice(colon + 1));
  // libpq's name of the socket in its folder.
  if (host.startsWith('/')) return { 'server.address': `${host}/.s.PGSQL.${port}` };
  const address = { 'server.address': host.replace(/^\[(.*)\]$/, '$1') };
  return port === DEFAULT_PORT ? address : { ...address, 'server.port': port };
}

/** The SQLSTATE, if the server has reported the error. @param {any} error @returns {string | undefined} */
function stateOf(error) {
  const code = error?.code;
  return error?.name === 'DatabaseError' && typeof code === 'string' ? code : undefined;
}

/**
 * `error.type`: the SQLSTATE, or the code of the client's error, or the name of its class.
 * @param {any} error
 * @returns {string}
 */
function typeOf(error) {
  for (const type of [error?.code, error?.name]) if (typeof type === 'string' && type !== '') return type;
  return OTHER;
}

/** @param {unknown} error @returns {Attributes} */
function errorAttributes(error) {
  const state = stateOf(error);
  const type = { 'error.type': typeOf(error) };
  return state === undefined ? type : { ...type, 'db.response.status_code': state };
}

/** Errors whose message repeats what the caller has sent: data exceptions, syntax errors, parameters. @param {any} error */
const repeatsInput = (error) => /^(?:22...|42601|ERR_INVALID_PARAM)$/.test(String(error?.code));

/**
 * The description of a failed span. Without `mayRepeat` it repeats nothing that the caller has sent.
 * @param {any} error
 * @param {boolean} mayRepeat
 * @returns {string | undefined}
 */
function descriptionOf(error, mayRepeat) {
  if (typeof error?.message !== 'string') return undefined;
  return mayRepeat || !repeatsInput(error) ? error.message : undefined;
}

/** @param {string[]} values @returns {string | undefined} the one that they all are */
const common = ([first, ...others]) => (others.every((value) => value === first) ? first : undefined);

/** What a statement is, in all its runs. */
class Operation {
  /** Those of its metrics for each node: made once. @type {Map<string | undefined, Attributes>} */
  #ofNodes = new Map();

  /**
   * @param {Attributes} pool those of its pool
   * @param {{ operation?: string, collection?: string, summary?: string, text?: string, batchSize?: number, returns?: boolean }} facts
   */
  constructor(pool, { operation, collection, summary, text, batchSize, returns = false }) {
    /** Whether its row count is that of rows that came back. */
    this.returns = returns;
    /** @type {Attributes} */
    const ofBoth = { ...pool };
    if (operation) ofBoth['db.operation.name'] = operation;
    if (collection) ofBoth['db.collection.name'] = collection;
    if (summary) ofBoth['db.query.summary'] = summary;
    this.ofBoth = ofBoth;
    /** @type {Attributes} */
    this.ofSpan = { ...ofBoth };
    if (text) this.ofSpan['db.query.text'] = text;
    if (batchSize !== undefined) this.ofSpan['db.operation.batch.size'] = batchSize;
    const target = collection ?? pool['db.namespace'];
    /** The name of its spans. @type {string} */
    this.name = summary || [operation, target].filter(Boolean).join(' ') || 'postgresql';
  }

  /** @param {string | undefined} node @param {Attributes} server of the node */
  ofMetrics(node, server) {
    const known = this.#ofNodes.get(node);
    if (known !== undefined) return known;
    const attributes = { ...this.ofBoth, ...server };
    this.#ofNodes.set(node, attributes);
    return attributes;
  }
}

/** @param {TextFacts} facts */
const returnsRows = ({ operation, returns }) =>
  returns || /^(?:select|values|table|show|explain|fetch)$/i.test(operation);

/** What is known of a pool, and of the statements that it has run. */
class PoolAttributes {
  /** By what was read of their texts, which is the same object each time. @type {WeakMap<TextFacts, Operation>} */
  #operations = new WeakMap();
  /** @type {Map<string, Attributes>} */
  #servers = new Map();

  /**
   * @param {any} pool
   * @param {import('./query-text.js').QueryTexts} texts
   */
  constructor(pool, texts) {
    this.texts = texts;
    const { hosts, database } = pool[Symbol.for('nodejs.util.inspect.custom')]();
    /** Those of the metrics of its connections. */
    this.ofPool = Object.freeze({ [POOL_NAME]: pool.name });
    /** @type {Attributes} */
    this.common = Object.freeze({ ...SYSTEM, 'db.namespace': database });
    /** Whether there is one node only. Of several the core chooses one later. @type {boolean} */
    this.hasOneNode = hosts.length === 1;
    this.atStart = this.hasOneNode ? { ...this.common, ...serverOf(hosts[0]) } : this.common;
  }

  /** @param {string | undefined} node @returns {Attributes} */
  server(node) {
    if (node === undefined || node === null) return {};
    const known = this.#servers.get(node);
    if (known !== undefined) return known;
    const attributes = serverOf(node);
    this.#servers.set(node, attributes);
    return attributes;
  }

  /**
   * What a message of hyperiondb:query is about.
   * @param {any} message
   * @returns {Operation}
   */
  operationOf({ operation, sql, parameters, statements }) {
    if (operation === 'batch') return this.#batch(statements);
    if (operation === 'copyFrom' || operation === 'copyTo') return this.#copy(sql);
    return this.#single(sql, parameters.length > 0);
  }

  /** @param {string} sql @param {boolean} hasParameters */
  #single(sql, hasParameters) {
    const facts = this.texts.read(sql, hasParameters);
    const known = this.#operations.get(facts);
    if (known !== undefined) return known;
    const operation = new Operation(this.atStart, { ...facts, returns: returnsRows(facts) });
    this.#operations.set(facts, operation);
    return operation;
  }

  /**
   * "Operations are only considered batches when they contain two or more operations."
   * @param {{ sql: string, parameters: unknown[] }[]} statements
   */
  #batch(statements) {
    if (statements.length === 1) return this.#single(statements[0].sql, statements[0].parameters.length > 0);
    const all = statements.map(({ sql, parameters }) => this.texts.read(sql, parameters.length > 0));
    const operation = common(all.map((facts) => facts.operation));
    const summary = common(all.map((facts) => facts.summary));
    const text = common(all.map((facts) => facts.text)) ?? joined(all.map((facts) => facts.text));
    return new Operation(this.atStart, {
      operation: operation ? `BATCH ${operation}` : 'BATCH',
      summary: summary ? `BATCH ${summary}` : 'BATCH',
      text,
      batchSize: statements.length,
    });
  }

  /** @param {string} target a table with its columns, or a whole COPY */
  #copy(target) {
    const isStatement = /^\s*copy\b/i.test(target);
    const facts = this.texts.read(isStatement ? target : `COPY ${target}`, false);
    const known = this.#operations.get(facts);
    if (known !== undefined) return known;
    const { operation, summary } = facts;
    // A load or an unload of a table has this one collection, and that of a query has none that the convention takes.
    const [, collection] = /^copy (?!select )(.+)$/i.exec(summary) ?? [];
    const text = isStatement ? facts.text : undefined;
    const made = new Operation(this.atStart, { operation, collection, summary, text });
    this.#operations.set(facts, made);
    return made;
  }
}

/** The texts of a batch, as the convention joins them. @param {string[]} texts */
function joined(texts) {
  let text = '';
  for (const one of texts) {
    if (text.length > LONGEST_BATCH) return `${text}; ...`;
    text = text === '' ? one : `${text}; ${one}`;
  }
  return text;
}

module.exports = { Operation, POOL_NAME, PoolAttributes, descriptionOf, errorAttributes };
