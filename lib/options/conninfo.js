'use strict';

// Connection strings, read as libpq reads them (conninfo_uri_parse and conninfo_parse in fe-connect.c, PostgreSQL 18):
//
//   postgresql://user:password@host1:5432,host2:5433/dbname?keyword=value&...
//   host=host1,host2 port=5432 password='it''s quoted with backslashes: \'' ...
//
// The result is a map of libpq's keywords to text; keywords.js has their meaning. A mistake may put the password anywhere, so
// messages name the position and never print the text that was found there.

const { string } = require('./validate.js');
const { OptionError } = require('../errors.js');
const { SECRETS, isKeyword, unknownKeyword } = require('./keywords.js');

/** @typedef {Map<string, string>} Settings */

const DESIGNATOR = /^postgres(?:ql)?:\/\//;
/** The white space of isspace() in C. */
const SPACE = /[ \t\n\v\f\r]/;

/** @param {string} text */
const mistake = (text) => new OptionError(`connectionString: ${text}`);

/**
 * @param {unknown} given
 * @returns {Settings}
 */
function parseConninfo(given) {
  const text = string('connectionString', given);
  const [designator] = DESIGNATOR.exec(text) ?? [];
  return designator === undefined ? parsePairs(text) : parseUri(text, designator.length);
}

/**
 * A later setting of the same keyword wins.
 * @param {Settings} settings
 * @param {string} keyword
 * @param {string} value
 */
function store(settings, keyword, value) {
  // The predecessor of sslmode, which libpq still accepts.
  if (keyword === 'requiressl') settings.set('sslmode', value.startsWith('1') ? 'require' : 'prefer');
  else settings.set(keyword, value);
}

// --- keyword=value

/**
 * @param {string} text
 * @returns {Settings}
 */
function parsePairs(text) {
  /** @type {Settings} */
  const settings = new Map();
  let at = 0;
  const skipSpace = () => {
    while (at < text.length && SPACE.test(text[at])) at++;
  };
  /** The keyword before, when its value was not quoted. */
  let before = '';
  for (skipSpace(); at < text.length; skipSpace()) {
    const start = at;
    while (at < text.length && text[at] !== '=' && !SPACE.test(text[at])) at++;
    const keyword = text.slice(start, at);
    skipSpace();
    // The text behind a secret may be a part of the secret.
    const isSecret = SECRETS.includes(before);
    const place = `at character ${start + 1}${isSecret ? `, behind ${before}: a value with spaces needs quotes` : ''}`;
    if (text[at] !== '=') {
      const hint = keyword.includes('://') ? '; a URI begins with postgresql:// or postgres://' : '';
      throw mistake(`there is no '=' behind the word ${place}${hint}`);
    }
    at++;
    if (!isKeyword(keyword)) throw mistake(`${isSecret ? 'unknown keyword' : unknownKeyword(keyword)} (${place})`);
    skipSpace();
    const isQuoted = text[at] === "'";
    const { value, end } = isQuoted ? quoted(text, at) : unquoted(text, at);
    at = end;
    before = isQuoted ? '' : keyword;
    store(settings, keyword, value);
  }
  return settings;
}

/**
 * @param {string} text
 * @param {number} start of the quote
 */
function quoted(text, start) {
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "'") return { value, end: at + 1 };
    if (text[at] === '\\') at++;
    value += text[at] ?? '';
  }
  throw mistake(`the quote at character ${start + 1} is not closed`);
}

/**
 * @param {string} text
 * @param {number} start
 */
function unquoted(text, start) {
  let value = '';
  let at = start;
  for (; at < text.length && !SPACE.test(text[at]); at++) {
    if (text[at] === '\\') at++;
    value += text[at] ?? '';
  }
  return { value, end: Math.min(at, text.length) };
}

// --- URI

/**
 * @param {string} uri
 * @param {number} start behind `postgresql://`
 * @returns {Settings}
 */
function parseUri(uri, start) {
  /** @type {Settings} */
  const settings = new Map();
  const put = (/** @type {string} */ keyword, /** @type {string} */ value) => {
    if (value !== '') settings.set(keyword, decoded(value, `the ${keyword}`));
  };
  let at = start;
  const credentials = /^([^@/:]*)(?::([^@/]*))?@/.exec(uri.slice(start));
  if (credentials !== null) {
    put('user', credentials[1]);
    put('password', credentials[2] ?? '');
    at += credentials[0].length;
  }
  const { hosts, ports, end } = netlocs(uri, at);
  put('host', hosts.join());
  put('port', ports.join());
  const question = uri.indexOf('?', end);
  const [path, query] = question < 0 ? [uri.slice(end), ''] : [uri.slice(end, question), uri.slice(question + 1)];
  // A password with a '/' in it: libpq would take its rest for the name of a database or for a keyword.
  const isMuddled = credentials === null && uri.includes('@', end);
  if (isMuddled && path.includes('@')) {
    throw mistake("there is an '@' behind the '/': in a password '/' is written %2F, in a database's name '@' is %40");
  }
  if (path !== '') put('dbname', path.slice(1));
  parseQuery(settings, query, isMuddled);
  return settings;
}

/**
 * host[:port][,host[:port]...]
 * @param {string} uri
 * @param {number} start
 */
function netlocs(uri, start) {
  const hosts = [];
  const ports = [];
  let at = start;
  /** @param {string} ends */
  const upTo = (ends) => {
    const from = at;
    while (at < uri.length && !ends.includes(uri[at])) at++;
    return uri.slice(from, at);
  };
  for (;;) {
    if (uri[at] === '[') {
      const open = at++;
      hosts.push(upTo(']'));
      if (at === uri.length) throw mistake(`the '[' at character ${open + 1} is not closed`);
      if (hosts.at(-1) === '') throw mistake(`the IPv6 address at character ${open + 1} is empty`);
      at++;
      if (at < uri.length && !':/?,'.includes(uri[at])) {
        throw mistake(`unexpected character at ${at + 1}: behind an IPv6 address there may be ':' or '/'`);
      }
    } else {
      hosts.push(upTo(':/?,'));
    }
    const hasPort = uri[at] === ':';
    if (hasPort) at++;
    ports.push(hasPort ? upTo('/?,') : '');
    if (uri[at] !== ',') return { hosts, ports, end: at };
    at++;
  }
}

/**
 * @param {Settings} settings
 * @param {string} query
 * @param {boolean} isMuddled what is unknown may be part of a password
 */
function parseQuery(settings, query, isMuddled) {
  let rest = query;
  for (let number = 1; rest !== ''; number++) {
    const end = rest.indexOf('&');
    const pair = end < 0 ? rest : rest.slice(0, end);
    rest = end < 0 ? '' : rest.slice(end + 1);
    const place = `query parameter ${number}`;
    const parts = pair.split('=');
    if (parts.length === 1) throw mistake(`${place} has no '='`);
    if (parts.length > 2) throw mistake(`${place} has more than one '='`);
    let keyword = decoded(parts[0], place);
    let value = decoded(parts[1], place);
    // As in JDBC.
    if (keyword === 'ssl' && value === 'true') [keyword, value] = ['sslmode', 'require'];
    if (!isKeyword(keyword)) {
      throw mistake(`${isMuddled ? 'unknown keyword' : unknownKeyword(keyword)} (${place})`);
    }
    store(settings, keyword, value);
  }
}

/**
 * @param {string} text
 * @param {string} place
 */
function decoded(text, place) {
  const trimmed = text.replace(/^ +/, '').replace(/ +$/, '');
  if (trimmed.includes(' ')) throw mistake(`there are spaces in ${place}: they are written %20`);
  if (/%(?![0-9A-Fa-f]{2})/.test(trimmed)) throw mistake(`a '%' in ${place} is not followed by two hexadecimal digits`);
  if (trimmed.includes('%00')) throw mistake(`%00 is not allowed, but is in ${place}`);
  try {
    return decodeURIComponent(trimmed);
  } catch {
    throw mistake(`what is percent-encoded in ${place} is not UTF-8`);
  }
}

module.exports = { parseConninfo };
