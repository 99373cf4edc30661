'use strict';

// Checks what the tests print, line by line: no line may have a secret: a password of the harness, one that the
// environment names for an external cluster, or a private key. The line goes on without it, and its place is remembered.

const { SECRET } = require('../exports/testing/cluster/secret.js');

/** Passwords that are also words (an external cluster's 'postgres') cannot be looked for. */
const LEAST_LENGTH = 8;
const KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/;

/** @param {string} text */
const escaped = (text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/**
 * What to look for.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {[what: string, pattern: RegExp][]}
 */
function secretsOf(env = process.env) {
  const named = ['HYPERION_PASSWORD', 'PGPASSWORD'].flatMap((name) => {
    const value = env[name] ?? '';
    // As it is, and as it would stand in a URI.
    const forms = [value, encodeURIComponent(value)].map(escaped);
    return value.length < LEAST_LENGTH ? [] : [[`the value of ${name}`, new RegExp(forms.join('|'))]];
  });
  return /** @type {[string, RegExp][]} */ ([
    ['a password of a test cluster', SECRET],
    ['a private key', KEY],
    ...named,
  ]);
}

/** A stream's lines, looked through. */
class Leaks {
  #rest = '';
  #line = 0;
  #write;
  #secrets;
  /** @type {string[]} where a secret was, and which */
  found = [];

  /**
   * @param {(text: string) => void} write takes what may be seen
   * @param {[string, RegExp][]} [secrets]
   */
  constructor(write, secrets = secretsOf()) {
    this.#write = write;
    this.#secrets = secrets;
  }

  /** @param {string} text */
  take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = /** @type {string} */ (lines.pop());
    if (lines.length > 0) this.#write(lines.map((line) => `${this.#clean(line)}\n`).join(''));
  }

  /** The last line may have no end. */
  end() {
    if (this.#rest !== '') this.#write(this.#clean(this.#rest));
    this.#rest = '';
  }

  /** @param {string} line */
  #clean(line) {
    this.#line++;
    return this.#secrets.reduce((text, [what, pattern]) => {
      if (!pattern.test(text)) return text;
      this.found.push(`line ${this.#line}: ${what}`);
      return text.replaceAll(new RegExp(pattern, 'g'), '[secret]');
    }, line);
  }
}

module.exports = { Leaks, secretsOf };
