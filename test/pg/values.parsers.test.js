'use strict';

// The text parsers give what those of pg-types give, for tables of texts and for random ones.

const assert = require('node:assert/strict');
const stock = require('pg-types');
const { types } = require('../../exports/pg/type-registry.js');
const { test } = require('../support/helpers.js');
const { ROUNDS, randomFrom, shapeOf } = require('./values.support.js');

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe'];

/**
 * Runs in several zones: a text without an offset is local time.
 * @param {() => void} body
 */
function inEachZone(body) {
  const before = process.env.TZ;
  try {
    for (const zone of ZONES) {
      process.env.TZ = zone;
      body();
    }
  } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
}

/** @param {number} oid @param {readonly (string | null)[]} texts @param {string} [format] */
function compare(oid, texts) {
  const [ours, theirs] = [types.getTypeParser(oid), stock.getTypeParser(oid)];
  for (const text of texts) {
    assert.deepStrictEqual(shapeOf(ours(text)), shapeOf(theirs(text)), `${oid}: ${JSON.stringify(text)}`);
  }
}

/** @param {ReturnType<typeof randomFrom>} random */
function randomDay({ between, digits, of, maybe }) {
  const year = of([
    between(1, 9),
    between(1, 120),
    between(1000, 2500),
    between(1900, 2100),
    between(9990, 12_000),
    275_760,
  ]);
  const bc = maybe(0.1) ? ' BC' : '';
  return { day: `${digits(year, 4)}-${digits(between(1, 12))}-${digits(between(1, 31))}`, bc };
}

/** @param {ReturnType<typeof randomFrom>} random */
function randomTime({ between, digits, maybe, word }) {
  const fraction = maybe() ? `.${between(0, 9)}${word('0123456789', 5)}` : '';
  return `${digits(between(0, 23))}:${digits(between(0, 59))}:${digits(between(0, 59))}${fraction}`;
}

/** @param {ReturnType<typeof randomFrom>} random */
function randomOffset({ between, digits, maybe, of }) {
  const minutes = maybe(0.3) ? `:${of(['30', '45', digits(between(0, 59))])}` : '';
  const seconds = minutes && maybe(0.3) ? `:${digits(between(0, 59))}` : '';
  return `${of(['+', '-'])}${digits(between(0, 15))}${minutes}${seconds}`;
}

const DATES = [
  '2024-01-02',
  '0001-01-01',
  '0004-02-29',
  '0099-12-31',
  '0100-01-01',
  '0044-03-15 BC',
  '0001-02-29 BC',
  '4713-01-01 BC',
  '9999-12-31',
  '10000-01-01',
  '5874897-12-31',
  'infinity',
  '-infinity',
];
const TIMESTAMPS = [
  '2024-01-02 03:04:05',
  '2024-01-02 03:04:05.6',
  '2024-01-02 03:04:05.678901',
  '2024-02-29 23:59:59.999999',
  '1969-12-31 23:59:59.999',
  '0001-01-01 00:00:00',
  '0001-01-01 00:00:00 BC',
  '0044-03-15 12:00:00.5 BC',
  '4713-11-24 00:00:00 BC',
  '10000-01-01 00:00:00',
  '275760-09-13 00:00:00',
  '294276-12-31 23:59:59.999999',
  // A gap and a fold of summer time.
  '2024-03-31 02:30:00',
  '2024-10-27 02:30:00',
  '2024-03-10 02:30:00',
  '2024-11-03 01:30:00',
  'infinity',
  '-infinity',
];
const OFFSETS = [
  '+00',
  '-00',
  '+01',
  '-05',
  '+05:30',
  '-03:30',
  '+05:45',
  '+00:53:28',
  '-04:56:02',
  '+15:59:59',
  '-15:59:59',
];

// Other DateStyles: SQL, Postgres, German, and the form of xsd.
const OTHER_STYLES = [
  '01/02/2024',
  '02/01/2024 03:04:05.678901 CET',
  '01/02/2024 03:04:05 UTC',
  '01-02-2024',
  'Tue Jan 02 03:04:05 2024',
  'Tue Jan 02 03:04:05.678901 2024 CET',
  'Tue Jan 02 03:04:05 0044 BC',
  '02.01.2024',
  '02.01.2024 03:04:05 CET',
  '2024-01-02T03:04:05',
  '2024-01-02T03:04:05+01:00',
  '2024-01-02 03:04:05Z',
  '2024-01-02 03:04:05 Z',
  '2024-01-02 03:04:05+0130',
  '',
  'today',
  '2024-1-2',
  '2024-01-02 ',
  '2024-01-02 03:04',
  '2024-13-45 25:61:61',
];

test('dates and timestamps of a table of texts are those of pg, in five time zones', () => {
  const withOffsets = TIMESTAMPS.slice(0, -2).flatMap((text) =>
    OFFSETS.map((offset) => (text.endsWith(' BC') ? text.replace(' BC', `${offset} BC`) : text + offset)),
  );
  inEachZone(() => {
    for (const oid of [1082, 1114, 1184])
      compare(oid, [...DATES, ...TIMESTAMPS, ...withOffsets, ...OTHER_STYLES, null]);
  });
});

test('random dates and timestamps are those of pg, in five time zones', () => {
  inEachZone(() => {
    const random = randomFrom(1);
    for (let round = 0; round < ROUNDS; round++) {
      const { day, bc } = randomDay(random);
      const time = `${day} ${randomTime(random)}`;
      compare(1082, [day + bc]);
      compare(1114, [time + bc]);
      compare(1184, [time + randomOffset(random) + bc]);
    }
  });
});

test('every fraction of a second in microseconds is that of pg', () => {
  const [ours, theirs] = [types.getTypeParser(1184), stock.getTypeParser(1184)];
  const step = process.env.HYPERION_FULL ? 1 : 97;
  for (let micros = 0; micros < 1_000_000; micros += step) {
    const fraction = String(micros).padStart(6, '0').replace(/0+$/, '') || '0';
    const text = `2024-05-06 07:08:09.${fraction}+00`;
    assert.equal(Number(ours(text)), Number(theirs(text)), text);
  }
});

test('texts that are nearly dates are read as pg reads them', () => {
  const random = randomFrom(2);
  for (let round = 0; round < ROUNDS; round++) {
    const { day, bc } = randomDay(random);
    const text = `${day} ${randomTime(random)}${random.maybe() ? randomOffset(random) : ''}${bc}`;
    const at = random.between(0, text.length - 1);
    const broken = text.slice(0, at) + random.word('0123456789-: .+ZBCx', 2) + text.slice(at + random.between(0, 2));
    compare(1184, [broken]);
  }
});

const TABLES = {
  16: ['t', 'f', 'true', 'TRUE', 'yes', 'y', 'on', '1', '0', '', null],
  17: [
    '\\x',
    '\\x00ff10',
    '\\xDEADBEEF',
    '',
    'abc',
    'a\\\\b',
    '\\000\\001\\377',
    '\\\\001',
    '\\\\\\001',
    'a\\\\\\\\b',
    '\'"{}',
  ],
  20: ['0', '-1', '9223372036854775807', '-9223372036854775808', '007'],
  21: ['0', '-32768', '32767'],
  23: ['0', '-1', '2147483647', '-2147483648'],
  26: ['0', '4294967295'],
  114: ['null', '1', '"x"', '{"a":[1,2,{"b":null}],"a":2}', ' [1] ', '1e400', '-0', '{"__proto__":1}'],
  600: ['(1,2)', '(-1.5e-300,Infinity)', '(NaN,0)', '1,2'],
  700: ['1.5', 'NaN', 'Infinity', '-Infinity', '-0', '1e-45', '3.4028235e+38'],
  701: ['0', '-0', '5e-324', '1.7976931348623157e+308', 'NaN', '-Infinity', '0.1'],
  718: ['<(1,2),3>', '<(-1.5,1e+20),0.25>', '<(NaN,Infinity),0>'],
  1700: ['1.10', 'NaN', 'Infinity', '123456789012345678901234567890.000001'],
  2950: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  3802: ['null', 'true', '{"a": 1}'],
  99999: ['anything'],
};

test('the scalar types of a table of texts are those of pg', () => {
  for (const [oid, texts] of Object.entries(TABLES)) compare(Number(oid), texts);
});

/** An array as array_out() prints it. @param {ReturnType<typeof randomFrom>} random @param {() => string} element */
function randomArray(random, element) {
  const dimensions = random.of([1, 1, 1, 2, 3]);
  const lengths = Array.from({ length: dimensions }, () => random.between(1, 4));
  const quoted = (/** @type {string} */ text) =>
    text === '' || /[\s{},"\\]/.test(text) || /^null$/i.test(text) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : text;
  const level = (/** @type {number} */ depth) =>
    depth === dimensions
      ? random.maybe(0.1)
        ? 'NULL'
        : quoted(element())
      : `{${Array.from({ length: lengths[depth] }, () => level(depth + 1)).join()}}`;
  const bounds = random.maybe(0.1) ? `${lengths.map((length) => `[-2:${length - 3}]`).join('')}=` : '';
  return random.maybe(0.05) ? '{}' : bounds + level(0);
}

/** @type {Record<number, (random: ReturnType<typeof randomFrom>) => string>} */
const ELEMENTS = {
  199: ({ of }) => of(['1', '{"a":[1,"x"]}', '"q\\"u\\\\o"', 'null', '[]']),
  651: ({ of }) => of(['10.0.0.0/8', '::1/128']),
  1000: ({ of }) => of(['t', 'f']),
  1001: ({ word }) => `\\x${word('0123456789abcdef', 8).replace(/^(.(..)*)$/, '0$1')}`,
  1005: ({ between }) => String(between(-32_768, 32_767)),
  1007: ({ between }) => String(between(-2_147_483_648, 2_147_483_647)),
  1009: ({ word }) => word('ab c{},"\\\'=:[]\tnullNULLé😀', 8),
  1015: ({ of }) => of(['NULL', 'null', '', ' ', 'a,b', '{}', '"', '\\']),
  1016: ({ of }) => of(['0', '-9223372036854775808', '9223372036854775807']),
  1017: ({ of }) => of(['(1,2)', '(NaN,-Infinity)']),
  1022: ({ of }) => of(['NaN', 'Infinity', '-Infinity', '1.5', '-0', '1e-300']),
  1115: (random) => `${randomDay(random).day} ${randomTime(random)}`,
  1182: (random) => randomDay(random).day + randomDay(random).bc,
  1185: (random) => `${randomDay(random).day} ${randomTime(random)}${randomOffset(random)}`,
  1187: randomInterval,
  1231: ({ of }) => of(['NaN', '1.10', '12345678901234567890']),
  2951: ({ of }) => of(['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']),
  3807: ({ of }) => of(['{"a": 1}', '"NULL"', '[{}]']),
  3907: ({ of }) => of(['[1,2)', '(,)', 'empty']),
};

test('random arrays, with bounds, dimensions, NULL, quotes and escapes, are those of pg', () => {
  const random = randomFrom(3);
  for (const [oid, element] of Object.entries(ELEMENTS)) {
    for (let round = 0; round < ROUNDS / 10; round++)
      compare(Number(oid), [randomArray(random, () => element(random))]);
  }
});

test('every type that has a parser in pg has one here, and no other', () => {
  for (let oid = 0; oid < 5_000; oid++) {
    const has = (/** @type {any} */ of) => of.getTypeParser(oid, 'text') !== of.getTypeParser(99_999, 'text');
    const hasBinary = (/** @type {any} */ of) => of.getTypeParser(oid, 'binary') !== of.getTypeParser(99_999, 'binary');
    assert.deepEqual([oid, has(types), hasBinary(types)], [oid, has(stock), hasBinary(stock)]);
  }
});

test('the arrays of all types that have a parser are those of pg', () => {
  const texts = ['{}', '{NULL}', '{1,NULL,2}', '{{1,2},{3,4}}', '[0:1]={1,2}', '', null];
  for (const oid of [
    651, 791, 1005, 1007, 1008, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1040, 1041, 1183, 1231, 1270, 2951, 3907,
  ]) {
    compare(oid, texts);
  }
});

test('an array without its end throws as in pg', () => {
  for (const text of ['{1,2', '{{1},{2}', '{"a', '{"a\\"']) {
    const error = (/** @type {any} */ of) => {
      try {
        return of.getTypeParser(1009)(text);
      } catch ({ message }) {
        return message;
      }
    };
    assert.equal(error(types), error(stock));
    assert.equal(error(types), 'array dimension not balanced');
  }
});

test('arrayParser.create(text, transform).parse() is that of pg', () => {
  const transform = (/** @type {string} */ text) => `<${text}>`;
  for (const text of ['{a,NULL,"NULL","b c"}', '{{1},{NULL}}', '{}']) {
    assert.deepEqual(
      types.arrayParser.create(text, transform).parse(),
      stock.arrayParser.create(text, transform).parse(),
    );
    assert.deepEqual(types.arrayParser.create(text).parse(), stock.arrayParser.create(text, undefined).parse());
  }
});

const INTERVALS = [
  '00:00:00',
  '01:02:03',
  '-01:02:03.456789',
  '00:00:00.000001',
  '-00:00:00.1',
  '1 year',
  '-1 years -2 mons +3 days -04:05:06.7',
  '1 year 2 mons 3 days 04:05:06.789',
  '178000000 years',
  '1 mon',
  '1 day',
  '-1 days +02:03:00',
  '838:59:59',
  // Other IntervalStyles: sql_standard, postgres_verbose, iso_8601.
  '+1-2 +3 +4:05:06.789',
  '1-2',
  '3 4:05:06',
  '4:05:06',
  '@ 1 year 2 mons 3 days 4 hours 5 mins 6.789 secs',
  '@ 1 min ago',
  'P1Y2M3DT4H5M6.789S',
  'PT0S',
  '',
];

/** @param {ReturnType<typeof randomFrom>} random */
function randomInterval({ between, digits, maybe, of, word }) {
  const unit = (/** @type {string} */ name) => {
    const count = between(-20, 20);
    return maybe() ? '' : `${maybe(0.2) ? '+' : ''}${count} ${name}${Math.abs(count) === 1 ? '' : 's'} `;
  };
  const time = `${of(['', '-', '+'])}${digits(between(0, 99))}:${digits(between(0, 59))}:${digits(between(0, 59))}`;
  const fraction = maybe() ? `.${between(0, 9)}${word('0123456789', 5)}` : '';
  return `${unit('year')}${unit('mon')}${unit('day')}${maybe() ? time + fraction : ''}`.trim() || '00:00:00';
}

test('intervals, their toPostgres() and toISO() are those of pg', () => {
  compare(1186, INTERVALS);
  const random = randomFrom(4);
  for (let round = 0; round < ROUNDS; round++) compare(1186, [randomInterval(random)]);
});

test('an interval has the enumerable members of that of pg, in the same order', () => {
  const names = (/** @type {any} */ of) => {
    const interval = of.getTypeParser(1186)('1 year 2 mons 3 days 04:05:06.789');
    const all = [];
    for (const name in interval) all.push(name);
    return { all, json: JSON.stringify(interval), class: interval.constructor.name };
  };
  assert.deepEqual(names(types), names(stock));
});

test('random bytea in both forms is that of pg', () => {
  const random = randomFrom(5);
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = Array.from({ length: random.between(0, 20) }, () =>
      random.of([0, 39, 92, 92, 48, 49, 65, 127, 128, 255, random.between(0, 255)]),
    );
    const escaped = bytes.map((byte) =>
      byte === 92
        ? '\\\\'
        : byte < 32 || byte > 126
          ? `\\${byte.toString(8).padStart(3, '0')}`
          : String.fromCharCode(byte),
    );
    compare(17, [`\\x${Buffer.from(bytes).toString('hex')}`, escaped.join('')]);
    assert.deepEqual([...types.getTypeParser(17)(escaped.join(''))], bytes);
  }
});

test('random numbers are those of pg', () => {
  const random = randomFrom(6);
  for (let round = 0; round < ROUNDS; round++) {
    const float = (random.next() - 0.5) * 10 ** random.between(-300, 300);
    compare(701, [String(float), float.toExponential()]);
    compare(700, [String(Math.fround(float))]);
    compare(600, [`(${float},${random.next()})`]);
    compare(718, [`<(${float},${random.next()}),${random.next()}>`]);
    compare(20, [String(BigInt(Math.trunc(float / 1e290)))]);
  }
});
