'use strict';

// The summary of a text: its operations and their targets, as "Generating a summary of the query" in
// opentelemetry.io/docs/specs/semconv/db/database-spans has it. It is made of words and signs, not by a parser: where a statement is not
// understood, its summary is shorter.

/** The convention: "SHOULD truncate the summary to 255 characters", not within a name. */
const LONGEST = 255;

/** The statements that are looked for within others, too: in WITH, in parentheses, behind EXPLAIN and CREATE TABLE ... AS. */
const QUERIES = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE']);
/** Of these FROM names tables. */
const WITH_FROM = new Set(['SELECT', 'UPDATE', 'DELETE']);
/** After these the word of a statement begins none: `ON CONFLICT DO UPDATE`, `FOR NO KEY UPDATE`, `ON DELETE`, `THEN INSERT`. */
const NOT_AFTER = new Set(['DO', 'FOR', 'KEY', 'ON', 'THEN', '.']);
/** The first words of statements that may have others in them. In all further ones a SELECT is a privilege, an event or a body. */
const OUTER = new Set([...QUERIES, 'WITH', 'EXPLAIN', 'COPY', 'VALUES', 'TABLE', '(']);
/** Statements whose first word stands before their target. */
const TARGET_FOLLOWS = new Set(['CALL', 'COPY', 'TABLE', 'TRUNCATE', 'UPDATE']);
const DEFINITIONS = new Set(['CREATE', 'ALTER', 'DROP']);
/** Words between CREATE, ALTER or DROP and the kind of the object. */
const BEFORE_KIND = new Set([
  ...['OR', 'REPLACE', 'TEMP', 'TEMPORARY', 'GLOBAL', 'LOCAL', 'UNLOGGED', 'UNIQUE', 'RECURSIVE', 'FOREIGN', 'TRUSTED'],
  ...['PROCEDURAL', 'CONSTRAINT', 'DEFAULT'],
]);
/** Words between what announces a name and the name. */
const BEFORE_NAME = new Set(['CONCURRENTLY', 'EXISTS', 'IF', 'LATERAL', 'NOT', 'ONLY', 'TABLE']);
/** Words with which a list of tables ends. */
const AFTER_TABLES = new Set([
  ...['WHERE', 'GROUP', 'ORDER', 'HAVING', 'LIMIT', 'OFFSET', 'FETCH', 'FOR', 'UNION', 'INTERSECT', 'EXCEPT', 'WINDOW'],
  ...['SET', 'RETURNING', 'WHEN', 'VALUES'],
]);

/** What is known of a pair of parentheses, or of the whole statement: whether FROM names tables there, and whether it is doing so. */
const level = () => ({ hasTables: false, inTables: false });

/** Takes the words and signs of a text, one after the other. */
class SummaryReader {
  summary = '';
  isFull = false;
  /** How many statements have begun. */
  statements = 0;
  /** The operation of the first one, as the text writes it. */
  operation = '';
  /** Whether there is a RETURNING. */
  returns = false;
  /** The first word of the statement, in upper case. */
  #command = '';
  #levels = [level()];
  /** What the next word is: a target, the kind of an object that is created, altered or dropped, or neither. */
  #expected = '';
  /** CREATE, ALTER or DROP, as the text writes it. */
  #definition = '';
  /** What may come behind the name of the object: AS with a query, or ON with a table. */
  #continues = '';
  /** A target, whose parts are being read. */
  #name = '';
  /** The word or sign before, in upper case. */
  #before = '';

  /** @param {string} part */
  #add(part) {
    const longer = this.summary === '' ? part : `${this.summary} ${part}`;
    this.isFull ||= longer.length > LONGEST;
    if (!this.isFull) this.summary = longer;
  }

  #endName() {
    if (this.#name !== '') this.#add(this.#name);
    this.#name = '';
  }

  #endStatement() {
    this.#endName();
    this.#command = '';
    this.#levels = [level()];
    this.#expected = '';
    this.#continues = '';
  }

  /** @param {string} word */
  #operate(word) {
    this.#endName();
    this.#add(word);
    const isWithin = this.#command === 'WITH' && this.#levels.length > 1;
    if (this.statements === 1 && this.operation === '' && !isWithin) this.operation = word;
  }

  /** @param {string} word */
  word(word) {
    const upper = word.toUpperCase();
    if (this.#before === '.' && this.#name !== '') this.#name += word;
    else if (this.#command === '') this.#first(word, upper);
    else if (this.#expected === 'kind') this.#kind(word, upper);
    else if (this.#expected === 'target' && !QUERIES.has(upper) && upper !== 'VALUES') this.#target(word, upper);
    else this.#clause(word, upper);
    this.#before = upper;
  }

  /** @param {string} word @param {string} upper */
  #first(word, upper) {
    this.#command = upper;
    this.statements += 1;
    if (DEFINITIONS.has(upper)) {
      this.#definition = word;
      this.#expected = 'kind';
    } else if (QUERIES.has(upper)) {
      this.#query(word, upper);
    } else if (upper !== 'WITH') {
      this.#operate(word);
      if (TARGET_FOLLOWS.has(upper)) this.#expected = 'target';
      this.#levels[0].inTables = upper === 'TRUNCATE';
    }
  }

  /** @param {string} word @param {string} upper */
  #query(word, upper) {
    const here = this.#levels[this.#levels.length - 1];
    this.#operate(word);
    here.hasTables = WITH_FROM.has(upper);
    here.inTables = false;
    this.#expected = TARGET_FOLLOWS.has(upper) ? 'target' : '';
  }

  /** The kind of an object: with CREATE it is the operation, as in the command tag of the server. @param {string} word @param {string} upper */
  #kind(word, upper) {
    if (BEFORE_KIND.has(upper)) return;
    this.#definition += ` ${word}`;
    if (upper === 'MATERIALIZED') return;
    this.#operate(this.#definition);
    this.#expected = 'target';
    if (this.#command !== 'CREATE') return;
    if (upper === 'TABLE' || upper === 'VIEW') this.#continues = 'AS';
    if (upper === 'INDEX') {
      // The name of the index may be missing, and is not what the work is done on.
      this.#expected = '';
      this.#continues = 'ON';
    }
  }

  /** @param {string} name @param {string} upper */
  #target(name, upper) {
    if (BEFORE_NAME.has(upper)) return;
    this.#expected = '';
    this.#name = name;
  }

  /** @param {string} word @param {string} upper */
  #clause(word, upper) {
    this.#endName();
    this.#expected = '';
    if (upper === this.#continues && this.#levels.length === 1) {
      this.#continues = '';
      if (upper === 'ON') this.#expected = 'target';
      else this.#command = 'EXPLAIN';
    } else if (OUTER.has(this.#command)) {
      if (QUERIES.has(upper) && !NOT_AFTER.has(this.#before)) this.#query(word, upper);
      else this.#ofQuery(upper);
    }
  }

  /** A word within a query. @param {string} upper */
  #ofQuery(upper) {
    const here = this.#levels[this.#levels.length - 1];
    if (upper === 'FROM') {
      // Not a list of tables: IS DISTINCT FROM; extract(year FROM ...), with no SELECT in its parentheses.
      if (!here.hasTables || this.#before === 'DISTINCT') return;
      here.inTables = true;
      this.#expected = 'target';
    } else if (upper === 'INTO' || upper === 'JOIN') {
      this.#expected = 'target';
    } else if (upper === 'USING') {
      // DELETE ... USING, MERGE ... USING; a parenthesis follows that of a JOIN.
      if (here.inTables || this.#command === 'MERGE') this.#expected = 'target';
    } else if (AFTER_TABLES.has(upper)) {
      here.inTables = false;
      this.returns ||= upper === 'RETURNING';
    }
  }

  /** @param {string} name with its quotes */
  quotedName(name) {
    if (this.#before === '.' && this.#name !== '') this.#name += name;
    else if (this.#expected === 'target') this.#target(name, '');
    else this.#endName();
    this.#before = '"';
  }

  /** A literal or a parameter. */
  value() {
    this.#endName();
    this.#expected = '';
    this.#before = "'";
  }

  /** @param {string} sign */
  sign(sign) {
    if (sign === '.' && this.#name !== '') this.#name += sign;
    else this.#endName();
    const here = this.#levels[this.#levels.length - 1];
    if (sign === ';') {
      this.#endStatement();
    } else if (sign === '(') {
      if (this.#command === '') {
        this.#command = sign;
        this.statements += 1;
      }
      this.#levels.push(level());
      this.#expected = '';
    } else if (sign === ')') {
      if (this.#levels.length > 1) this.#levels.pop();
      this.#expected = '';
    } else if (sign === ',' && here.inTables) {
      this.#expected = 'target';
    }
    this.#before = sign;
  }

  end() {
    this.#endStatement();
  }
}

module.exports = { SummaryReader };
