'use strict';

// Session settings that a caller may not choose, by the option `options` or by `-c` in `PGOPTIONS`: the server or this client would
// ignore them, or the client would misunderstand the server. Each is refused with what to do instead.

const { OptionError } = require('../errors.js');
const { KEYWORDS, isUtf8 } = require('./keywords.js');
const { kindOf, plainObject, string } = require('./validate.js');

/**
 * @typedef {object} Rule
 * @property {(value: string, pool: Pool) => boolean} allows a value in lower case
 * @property {string} [but] the values that are allowed, for the message
 * @property {string} why it is refused, and what to do instead
 */
/** What the other options say. @typedef {{ mode: string, statementTimeoutMs?: number }} Pool */

/** As the server reads a boolean: any beginning that is not ambiguous (parse_bool in bool.c). @param {string} value */
const isOn = (value) => /^(t|tr|tru|true|y|ye|yes|on|1)$/.test(value);
/** @param {string} value */
const isOff = (value) => /^(f|fa|fal|fals|false|n|no|of|off|0)$/.test(value);

const never = () => false;
const ofTransaction = (/** @type {string} */ instead) => ({
  allows: never,
  why: `the server forgets it with the first transaction: use ${instead}`,
});

/** By their names in lower case. @type {Readonly<Record<string, Rule>>} */
const RULES = {
  client_encoding: {
    allows: isUtf8,
    but: 'UTF8',
    why:
      'strings in JavaScript are Unicode. Leave it out: the server converts the text of databases in other encodings; of a SQL_ASCII ' +
      "database it cannot, and convert_to(column, 'SQL_ASCII') reads the bytes",
  },
  application_name: { allows: never, why: 'use the option applicationName' },
  // The server refuses other styles in the text that exec() reads; query() reads times in binary.
  datestyle: {
    allows: (value) => !/sql|postgres|german/.test(value),
    but: 'ISO, with DMY, MDY or YMD',
    why: 'the client reads dates in ISO style only: use to_char() for others',
  },
  standard_conforming_strings: {
    allows: (value) => !isOff(value),
    but: 'on',
    why: "the client would find the ends of strings, and so a COMMIT in a script, where they are not: write E'...'",
  },
  array_nulls: {
    allows: (value) => !isOff(value),
    but: 'on',
    why: "the nulls of an array would arrive as the text 'NULL'",
  },
  client_min_messages: {
    allows: (value) => !/^(error|fatal|panic)$/.test(value),
    but: 'warning and lower',
    why: 'a warning says that a commit may be lost, and the client must see it: do not listen to notice events instead',
  },
  exit_on_error: {
    allows: (value) => !isOn(value),
    but: 'off',
    why: 'each error would end its connection, with all other statements on it',
  },
  default_transaction_read_only: {
    allows: (value, { mode }) => isOn(value) && mode !== 'read-write',
    but: "on, with another mode than 'read-write'",
    why: "it is the fence, by which the client knows a writable server: use the mode 'any' or 'primary', or the readOnly of transactions",
  },
  session_authorization: {
    allows: never,
    why: 'the server ignores it at the login: use the option user, or the setting role',
  },
  seed: { allows: never, why: 'the server ignores it at the login: use setseed()' },
  transaction_isolation: ofTransaction('default_transaction_isolation'),
  transaction_deferrable: ofTransaction('default_transaction_deferrable'),
  transaction_read_only: ofTransaction('the readOnly of transactions'),
};

/** Keywords of libpq that are settings of a session, too. */
const ALSO_SETTINGS = ['tcp_user_timeout'];

/** The parameters of the startup packet that are no keywords. @type {Record<string, string>} */
const STARTUP = { database: 'use the option database' };

/** @param {string} name in lower case */
function elsewhere(name) {
  if (Object.hasOwn(STARTUP, name)) return STARTUP[name];
  if (name.startsWith('_pq_.')) return 'it belongs to the protocol';
  if (!Object.hasOwn(KEYWORDS, name) || ALSO_SETTINGS.includes(name)) return null;
  const { option, inner, why } = KEYWORDS[name];
  return why ?? (option === undefined || inner ? 'it stands in a connection string' : `use the option ${option}`);
}

/**
 * @param {string} label
 * @param {string} name
 * @param {string} value
 * @param {Pool} pool
 */
function refuseSetting(label, name, value, pool) {
  const lower = name.toLowerCase();
  if (Object.hasOwn(RULES, lower)) {
    const { allows, but, why } = RULES[lower];
    if (allows(value.trim().toLowerCase(), pool)) return;
    throw new OptionError(`${label} is not supported${but === undefined ? '' : ` (but ${but})`}: ${why}`);
  }
  const instead = elsewhere(lower);
  if (instead !== null) throw new OptionError(`${label} is not a setting of a session: ${instead}`);
}

/**
 * The option `options`: names and values, as text.
 * @param {unknown} value
 */
function settingsOf(value) {
  /** @type {Record<string, string>} */
  const checked = {};
  /** @type {Map<string, string>} */
  const known = new Map();
  for (const [name, setting] of Object.entries(plainObject('options', value))) {
    if (!/^[A-Za-z_][A-Za-z0-9_$.]*$/.test(name)) {
      throw new OptionError(`options: '${name}' is not the name of a setting`);
    }
    if (!['string', 'number', 'boolean'].includes(typeof setting)) {
      throw new OptionError(`options.${name} must be a string, number or boolean, not ${kindOf(setting)}`);
    }
    const twin = known.get(name.toLowerCase());
    if (twin !== undefined) throw new OptionError(`options.${name} and options.${twin} are the same setting`);
    known.set(name.toLowerCase(), name);
    checked[name] = string(`options.${name}`, String(setting));
  }
  return checked;
}

/**
 * Refuses settings of the option `options` that would be ignored or would break the client.
 * @param {Readonly<Record<string, string>>} settings
 * @param {Pool} pool
 * @returns {Record<string, string>} those that the server is told
 */
function allowedSettings(settings, pool) {
  const entries = Object.entries(settings);
  for (const [name, value] of entries) {
    refuseSetting(`options.${name}`, name, value, pool);
    if (name.toLowerCase() === 'statement_timeout' && pool.statementTimeoutMs !== undefined) {
      throw new OptionError(`options.${name} and statementTimeoutMs are the same setting`);
    }
  }
  // It says UTF-8, as the startup packet does. The server does not know `auto`.
  return Object.fromEntries(entries.filter(([name]) => name.toLowerCase() !== 'client_encoding'));
}

/**
 * The words of a command line for the server: spaces separate, a backslash takes the next character as it is (pg_split_opts in
 * postinit.c).
 * @param {string} text
 */
const wordsOf = (text) => Array.from(text.matchAll(/(?:\\.|[^\\\s])+/gs), ([word]) => word.replaceAll(/\\(.)/gs, '$1'));

/**
 * Refuses the same settings in text for the server's command line: `-c name=value`, `-cname=value`, `--name=value`.
 * @param {string} text
 * @param {string} label
 * @param {Pool} pool
 */
function refuseStartupSettings(text, label, pool) {
  const words = wordsOf(text);
  for (let i = 0; i < words.length; i++) {
    const [, inline] = /^(?:-c|--)(.*)$/s.exec(words[i]) ?? [];
    if (inline === undefined) continue;
    const setting = inline === '' ? (words[++i] ?? '') : inline;
    const end = setting.indexOf('=');
    // The server reads `-` in a name as `_` (ParseLongOption in guc.c).
    const name = setting.slice(0, end < 0 ? undefined : end).replaceAll('-', '_');
    // Without a value it is `on`.
    if (/^\w[\w$.]*$/.test(name))
      refuseSetting(`${label}: ${name}`, name, end < 0 ? 'on' : setting.slice(end + 1), pool);
  }
}

module.exports = { RULES, allowedSettings, refuseStartupSettings, settingsOf };
