'use strict';

// Random documents with everything that JSON has: the same seed gives the same documents.

/** A generator of numbers from 0 to 1 (mulberry32). @param {number} seed */
function generator(seed) {
  let state = seed + 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const KEYS = [
  'id',
  'name',
  'a b',
  '',
  '1',
  '0',
  '10',
  '4294967295',
  '-1',
  '01',
  '__proto__',
  'constructor',
  'toString',
  'é',
  '😀',
  'q"',
  '\\',
  '\n',
  '\u2028',
  'length',
  'then',
  'x'.repeat(60),
];
const STRINGS = [
  '',
  'a',
  'short',
  'exactly 13 ch',
  'long enough to become a slice of its parent',
  'é',
  'naïve café, long enough to be a slice',
  '😀',
  'mixed 😀 é text, long enough',
  '"quoted"',
  'back\\slash',
  'line\nbreak\ttab\r\b\f',
  '/',
  '\u2028\u2029',
  '\u007f\u0080',
  '\ufffd\uffff',
  '__proto__',
  '{"a":1}',
  'null',
];
const NUMBERS = [
  '0',
  '-0',
  '1',
  '-1',
  '42',
  '2147483647',
  '2147483648',
  '-2147483648',
  '-2147483649',
  '1.0',
  '1.5',
  '-0.0',
  '0.1',
  '1e2',
  '1E+2',
  '1e-7',
  '123456789012345',
  '9007199254740993',
  '9007199254740995',
  '12345678901234567890',
  '0.30000000000000004',
  '179769313486231570000000000000000000000e270',
  '1e400',
  '-1e400',
  '5e-324',
  '2.4703282292062327e-324',
  '1e-400',
  '2.2250738585072011e-308',
  '3.141592653589793238462643383279',
  '1.7976931348623159e308',
  '100000000000000000000000',
];

/**
 * @param {number} seed
 * @param {number} count
 * @param {'json' | 'jsonb'} type jsonb takes no \u0000 and no half surrogates
 */
function documents(seed, count, type) {
  const random = generator(seed);
  const below = (/** @type {number} */ n) => Math.floor(random() * n);
  const pick = (/** @type {any} */ list) => list[below(list.length)];
  const space = () => (type === 'json' && random() < 0.2 ? pick([' ', '\n', '\t', '\r\n ', '  ']) : '');

  const escaped = (/** @type {string} */ text) =>
    [...text].map((char) => (random() < 0.3 ? unit(char) : JSON.stringify(char).slice(1, -1))).join('');
  const unit = (/** @type {string} */ char) =>
    char
      .split('')
      .map(
        (half) =>
          `\\u${pick([half.charCodeAt(0).toString(16), half.charCodeAt(0).toString(16).toUpperCase()]).padStart(4, '0')}`,
      )
      .join('');
  const quote = (/** @type {string} */ text) =>
    random() < 0.1 ? `"${escaped(text)}"` : JSON.stringify(text).replace('/', pick(['/', '\\/']));

  const text = () => {
    const odd = random();
    if (type === 'json' && odd < 0.01)
      return pick(['"\\ud800"', '"a\\udc00b"', '"\\u0000"', '"\\ud83d\\u0041"', '"\\ude00\\ud83d"']);
    return quote(odd < 0.05 ? pick(STRINGS).repeat(below(30)) : pick(STRINGS));
  };
  const number = () =>
    random() < 0.5
      ? pick(NUMBERS)
      : pick([below(1000), random(), (random() - 0.5) * 10 ** below(40), below(2 ** 53)]).toString();

  // Some lists of keys are repeated often, so that shapes are compiled; others come only once.
  const lists = Array.from({ length: 14 }, () => Array.from({ length: below(9) }, () => pick(KEYS)));
  /** @param {number} depth @returns {string} */
  const object = (depth) => {
    const once = random() < 0.02;
    const keys = once ? [`once${below(1e9)}`, ...pick(lists)] : pick(lists);
    const members = keys.map(
      (/** @type {string} */ key) =>
        `${space()}${type === 'json' && random() < 0.003 ? '"\\udfff"' : quote(key)}${space()}:${space()}${value(depth + 1)}${space()}`,
    );
    return `{${members.length === 0 ? space() : members.join(',')}}`;
  };
  /** @param {number} depth */
  const array = (depth) => {
    const kind = below(5);
    const element = () =>
      [text, number, () => object(depth + 1), () => value(depth + 1), () => pick(['true', 'false', 'null'])][kind]();
    const length = random() < 0.03 ? below(300) : below(6);
    return `[${Array.from({ length: kind === 2 || kind === 3 ? length % 7 : length }, () => `${space()}${element()}${space()}`).join(',')}]`;
  };
  /** @param {number} depth @returns {string} */
  const value = (depth) => {
    const kind = below(depth < 4 ? 9 : 7);
    if (kind < 3) return text();
    if (kind < 5) return number();
    if (kind < 7) return pick(['true', 'false', 'null', '{}', '[]']);
    return kind === 7 ? object(depth) : array(depth);
  };
  const nest = (/** @type {number} */ depth) => '{"n":['.repeat(depth) + number() + ']}'.repeat(depth);

  return Array.from({ length: count }, () => {
    const kind = random();
    const document = kind < 0.75 ? object(0) : kind < 0.9 ? array(0) : kind < 0.97 ? value(0) : nest(below(20));
    return `${space()}${document}${space()}`;
  });
}

module.exports = { documents };
