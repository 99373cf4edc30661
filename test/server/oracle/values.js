'use strict';

// Literals of each type. Chosen ones are the limits of the type and values that have caused bugs elsewhere; the others are random.
// A literal that the server refuses is left out (oracle.test.js).

/** @typedef {import('../../chaos/random.js').Random} Random */
/**
 * @typedef {object} Source
 * @property {string[]} picked
 * @property {(random: Random) => string} [draw]
 * @property {string} [from] SQL that returns values as `v`, for a type that has no literals
 */

const int = (/** @type {Random} */ r, /** @type {number} */ low, /** @type {number} */ high) => r.int(low, high);
const below = (/** @type {Random} */ r, /** @type {number} */ most) => r.int(0, most - 1);
const pad = (/** @type {number} */ n, /** @type {number} */ width = 2) => String(n).padStart(width, '0');
const times = (/** @type {number} */ n, /** @type {() => string} */ make) => Array.from({ length: n }, make);

const LETTERS = [
  'a',
  'b',
  'Z',
  '0',
  ' ',
  '"',
  "'",
  '\\',
  ',',
  '{',
  '}',
  '(',
  ')',
  'é',
  '€',
  '😀',
  '\n',
  '\t',
  'NULL',
  '\u2028',
  ';',
  ':',
];
const text = (/** @type {Random} */ r) => times(below(r, 8), () => r.pick(LETTERS)).join('');
const hex = (/** @type {Random} */ r, /** @type {number} */ bytes) =>
  times(bytes, () => below(r, 256).toString(16).padStart(2, '0')).join('');

const year = (/** @type {Random} */ r) => r.pick([int(r, 1, 9999), int(r, 1900, 2100), int(r, 10_000, 200_000)]);
const date = (/** @type {Random} */ r) => `${pad(year(r), 4)}-${pad(int(r, 1, 12))}-${pad(int(r, 1, 28))}`;
const micros = (/** @type {Random} */ r) =>
  r.pick(['', `.${int(r, 0, 9)}`, `.${pad(int(r, 0, 999), 3)}`, `.${pad(int(r, 0, 999_999), 6)}`]);
const time = (/** @type {Random} */ r) =>
  `${pad(int(r, 0, 23))}:${pad(int(r, 0, 59))}:${pad(int(r, 0, 59))}${micros(r)}`;
const zone = (/** @type {Random} */ r) =>
  `${r.pick(['+', '-'])}${pad(int(r, 0, 15))}:${pad(int(r, 0, 59))}${r.pick(['', `:${pad(int(r, 0, 59))}`])}`;
const bc = (/** @type {Random} */ r) => r.pick(['', '', '', ' BC']);
const digits = (/** @type {Random} */ r, /** @type {number} */ most) =>
  times(int(r, 1, most), () => String(below(r, 10))).join('');
const decimal = (/** @type {Random} */ r) =>
  `${r.pick(['', '-'])}${digits(r, 25)}${r.pick(['', `.${digits(r, 20)}`])}${r.pick(['', '', `e${int(r, -30, 30)}`])}`;
/** A float8 of random bits. */
const double = (/** @type {Random} */ r) => {
  const view = new DataView(new ArrayBuffer(8));
  for (let i = 0; i < 8; i++) view.setUint8(i, below(r, 256));
  const value = view.getFloat64(0);
  return String(r.pick([value, value, Number(`${int(r, -99_999, 99_999)}e${int(r, -12, 12)}`)]));
};
const single = (/** @type {Random} */ r) => {
  const view = new DataView(new ArrayBuffer(4));
  for (let i = 0; i < 4; i++) view.setUint8(i, below(r, 256));
  return String(r.pick([view.getFloat32(0), int(r, -99_999, 99_999) / 100]));
};
const number = (/** @type {Random} */ r) =>
  String(r.pick([int(r, -1000, 1000), int(r, -99_999, 99_999) / 1000, 1e20, -1e-9]));
const point = (/** @type {Random} */ r) => `(${number(r)},${number(r)})`;
const points = (/** @type {Random} */ r) => times(int(r, 1, 6), () => point(r)).join(',');
const address4 = (/** @type {Random} */ r) => times(4, () => String(below(r, 256))).join('.');
const address6 = (/** @type {Random} */ r) =>
  times(8, () => r.pick(['0', '0', '0', '1', 'ffff', below(r, 65_536).toString(16)])).join(':');
const bits = (/** @type {Random} */ r) => times(below(r, 70), () => r.pick(['0', '1'])).join('');
const word = (/** @type {Random} */ r) => r.pick(['cat', "o''x", 'é', 'a\\\\b', 'Big', '1']);
const lexeme = (/** @type {Random} */ r) =>
  `'${word(r)}'${r.pick(['', `:${int(r, 1, 16_383)}${r.pick(['', 'A', 'B', 'C', 'D'])}`, ':1,5B,9'])}`;
/** @type {(r: Random, depth: number) => string} */
const tsquery = (r, depth) =>
  depth === 0
    ? `'${word(r)}'${r.pick(['', ':*', ':AB', ':*D'])}`
    : r.pick([
        () => tsquery(r, 0),
        () => `!(${tsquery(r, depth - 1)})`,
        () => `(${tsquery(r, depth - 1)}) ${r.pick(['&', '|', '<->', '<3>'])} (${tsquery(r, depth - 1)})`,
      ])();
/** @type {(r: Random, depth: number) => unknown} */
const document = (r, depth) =>
  r.pick([
    () => int(r, -1e6, 1e6),
    () => Number(double(r)) || 0,
    () => text(r),
    () => null,
    () => true,
    () => (depth > 0 ? times(below(r, 4), () => '').map(() => document(r, depth - 1)) : []),
    () =>
      depth > 0
        ? Object.fromEntries(
            times(below(r, 4), () => `${r.pick(['a', '__proto__', 'é"', '', '1'])}`).map((key) => [
              key,
              document(r, depth - 1),
            ]),
          )
        : {},
  ])();
const json = (/** @type {Random} */ r) => JSON.stringify(document(r, 3));
const interval = (/** @type {Random} */ r) =>
  [
    r.pick(['', `${int(r, -200, 200)} years`]),
    r.pick(['', `${int(r, -30, 30)} mons`]),
    r.pick(['', `${int(r, -4000, 4000)} days`]),
    `${r.pick(['', '-'])}${int(r, 0, 99)}:${pad(int(r, 0, 59))}:${pad(int(r, 0, 59))}${micros(r)}`,
  ].join(' ');
const big = (/** @type {Random} */ r) => String((BigInt(below(r, 2 ** 30)) << 34n) + BigInt(below(r, 2 ** 30)));
const signed = (/** @type {Random} */ r) => `${r.pick(['', '-'])}${r.pick([big(r), String(below(r, 1e9))])}`;
const label = (/** @type {Random} */ r) => r.pick(['a', 'Top', 'x_1', 'B2']);

const TIMESTAMPS = [
  '2000-01-01 00:00:00',
  '1969-12-31 23:59:59.999999',
  '2024-02-29 12:00:00.1',
  '0001-01-01 00:00:00',
  '9999-12-31 23:59:59.999999',
  '10000-01-01 00:00:00',
  '294276-12-31 23:59:59.999999',
  '4713-01-01 00:00:00 BC',
  '0001-12-31 23:59:59 BC',
  '0002-06-15 01:02:03.000004 BC',
  '0016-02-29 00:00:00 BC',
  'infinity',
  '-infinity',
];
const WORDS = [
  '',
  ' ',
  'a',
  'é€😀',
  'NULL',
  'null',
  '{}',
  '"',
  '\\',
  "it's",
  'a,b',
  '(a)',
  '\u0001\t\r\n\v\f',
  '\u2028\u2029',
  '\ufffd\ufeff',
  'x'.repeat(3000),
];
const NAMES = ['a', 'NULL', 'é', 'My Name', '"', 'x'.repeat(63)];
const FLOATS = [
  '0',
  '-0',
  '1',
  '0.1',
  '1e-300',
  '5e-324',
  '2.2250738585072014e-308',
  '1.7976931348623157e308',
  'NaN',
  'Infinity',
  '-Infinity',
  '123456789012345',
  '1234567890123456',
  '1e15',
  '1e-4',
  '1e-5',
  '9007199254740993',
];

/** The sources by pg_type.typname. @type {Record<string, Source>} */
const SOURCES = {
  bool: { picked: ['t', 'f', 'yes', '0'] },
  bytea: { picked: ['\\x', '\\x00', '\\xff5c22', 'abc', '\\000\\\\'], draw: (r) => `\\x${hex(r, below(r, 40))}` },
  char: {
    picked: ['', 'a', ' ', '"', '\\', ',', '\\001', '\\377', '\\200', '{'],
    draw: (r) => `\\${below(r, 256).toString(8).padStart(3, '0')}`,
  },
  name: { picked: NAMES, draw: text },
  int2: { picked: ['0', '32767', '-32768'], draw: (r) => String(int(r, -32_768, 32_767)) },
  int4: { picked: ['0', '2147483647', '-2147483648'], draw: (r) => String(int(r, -(2 ** 31), 2 ** 31 - 1)) },
  int8: { picked: ['0', '9223372036854775807', '-9223372036854775808', '9007199254740993'], draw: signed },
  oid: { picked: ['0', '4294967295', '2147483648'], draw: (r) => String(below(r, 2 ** 32)) },
  float4: {
    picked: [
      '0',
      '-0',
      '0.1',
      '1e-45',
      '3.4028235e38',
      '1.17549435e-38',
      '16777216',
      '1e6',
      '999999',
      '1234567',
      'NaN',
      'Infinity',
      '-Infinity',
      '1e-4',
      '1e-5',
    ],
    draw: single,
  },
  float8: { picked: FLOATS, draw: double },
  numeric: {
    picked: [
      '0',
      '0.00',
      '-0.000',
      '1.10',
      '10000',
      '1e20',
      '1e-20',
      'NaN',
      'Infinity',
      '-Infinity',
      `${'9'.repeat(131_072)}.${'9'.repeat(16_383)}`,
      '1e131071',
      `0.${'0'.repeat(16_382)}1`,
      '-99999999.00000001',
    ],
    draw: decimal,
  },
  text: { picked: WORDS, draw: text },
  varchar: { picked: WORDS, draw: text },
  bpchar: { picked: ['', 'a', 'ab  ', 'é '], draw: text },
  citext: { picked: WORDS, draw: text },
  xml: {
    picked: ['', '<a/>', '<a b="c">é &amp; x</a>', '<?xml version="1.0"?><a/>', 'text'],
    draw: (r) => `<a b="${int(r, 0, 99)}">${word(r).replace(/['\\]/g, '')}</a>`,
  },
  json: {
    picked: [
      'null',
      '"x"',
      '1',
      '[]',
      '{}',
      ' { "a" : 1 , "a":2 } ',
      '{"__proto__":1}',
      '"\\ud800"',
      '1e400',
      '-0',
      '12345678901234567890',
    ],
    draw: json,
  },
  jsonb: {
    picked: [
      'null',
      '"x"',
      '1',
      '[]',
      '{}',
      '{"__proto__":{"x":1}}',
      '{"constructor":1,"":2}',
      '"\\u00e9"',
      '1.50',
      '-0',
    ],
    draw: json,
  },
  jsonpath: {
    picked: ['$', '$.a', 'lax $.a[*] ? (@ > 1)', 'strict $."é\\""'],
    draw: (r) => `$.${label(r)}[${below(r, 9)}]`,
  },
  uuid: {
    picked: ['00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'],
    draw: (r) => hex(r, 16),
  },
  date: {
    picked: [
      '2000-01-01',
      '0001-01-01',
      '9999-12-31',
      '10000-01-01',
      '5874897-12-31',
      '0001-12-31 BC',
      '0005-03-04 BC',
      '4713-01-01 BC',
      'infinity',
      '-infinity',
    ],
    draw: (r) => `${date(r)}${bc(r)}`,
  },
  time: { picked: ['00:00:00', '24:00:00', '23:59:59.999999', '04:05:06.7'], draw: time },
  timetz: {
    picked: ['00:00:00+00', '24:00:00-15:59:59', '23:59:59.999999+15:59:59', '04:05:06.789-08:30'],
    draw: (r) => `${time(r)}${zone(r)}`,
  },
  timestamp: { picked: TIMESTAMPS, draw: (r) => `${date(r)} ${time(r)}${bc(r)}` },
  timestamptz: {
    picked: TIMESTAMPS.map((one) => (/inf/.test(one) ? one : one.replace(/( BC)?$/, '+00$1'))),
    draw: (r) => `${date(r)} ${time(r)}${zone(r)}${bc(r)}`,
  },
  interval: {
    picked: [
      '0',
      '1 year',
      '-1 mons +2 days -03:00:00',
      '178000000 years',
      '-178000000 years',
      '2147483647 days',
      '1 day -00:00:00.000001',
      'infinity',
      '-infinity',
      '1 mon -1 day',
    ],
    draw: interval,
  },
  money: {
    picked: ['0', '-92233720368547758.08', '92233720368547758.07', '0.01', '-0.01', '1234.5'],
    draw: (r) => `${int(r, -1e9, 1e9)}.${pad(int(r, 0, 99))}`,
  },
  inet: {
    picked: [
      '0.0.0.0',
      '255.255.255.255',
      '10.1.2.3/8',
      '::',
      '::1',
      '::ffff:1.2.3.4',
      '::1.2.3.4',
      'fe80::1/64',
      '1:0:0:2:0:0:0:3',
    ],
    draw: (r) =>
      r.pick([`${address4(r)}/${below(r, 33)}`, address4(r), address6(r), `${address6(r)}/${below(r, 129)}`]),
  },
  cidr: {
    picked: ['0.0.0.0/0', '10/8', '192.168.1.0/24', '::/0', '2001:db8::/32', '1.2.3.4/32'],
    draw: (r) => r.pick([address4(r), address6(r), `${below(r, 256)}.0.0.0/8`, `${address6(r)}/128`]),
  },
  macaddr: { picked: ['00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'], draw: (r) => hex(r, 6) },
  macaddr8: { picked: ['00:00:00:00:00:00:00:00', '08:00:2b:01:02:03'], draw: (r) => hex(r, 8) },
  bit: { picked: ['', '0', '1', '10101010', '1'.repeat(65)], draw: bits },
  varbit: { picked: ['', '0', '1', '10101010', '0'.repeat(64)], draw: bits },
  point: { picked: ['(0,0)', '(-0,1e300)', '(NaN,Infinity)'], draw: point },
  lseg: { picked: ['[(0,0),(1,1)]'], draw: (r) => `[${point(r)},${point(r)}]` },
  box: { picked: ['(1,1),(0,0)'], draw: (r) => `${point(r)},${point(r)}` },
  path: { picked: ['[(0,0)]', '((0,0),(1,1))'], draw: (r) => r.pick([`[${points(r)}]`, `(${points(r)})`]) },
  polygon: {
    picked: ['((0,0))', `(${Array.from({ length: 500 }, (_, i) => `(${i},0.5)`).join(',')})`],
    draw: (r) => `(${points(r)})`,
  },
  line: { picked: ['{1,-1,0}', '{0,1,-0.5}'], draw: (r) => `{${int(r, 1, 9)},${number(r)},${number(r)}}` },
  circle: { picked: ['<(0,0),0>', '<(1,2),3.5>'], draw: (r) => `<${point(r)},${int(r, 0, 99)}>` },
  tsvector: {
    picked: ['', "'a':1A,16383 'b'", "'it''s' 'b\\\\c'"],
    draw: (r) => times(int(r, 0, 5), () => lexeme(r)).join(' '),
  },
  tsquery: { picked: ['', "'a' & !'b' | 'c' <-> 'd'", "'a' <-> ('b' <2> 'c')", "!!'a'"], draw: (r) => tsquery(r, 4) },
  pg_lsn: {
    picked: ['0/0', 'FFFFFFFF/FFFFFFFF', '16/B374D848'],
    draw: (r) => `${below(r, 2 ** 32).toString(16)}/${below(r, 2 ** 32).toString(16)}`,
  },
  xid: { picked: ['0', '4294967295'], draw: (r) => String(below(r, 2 ** 32)) },
  cid: { picked: ['0', '4294967295'], draw: (r) => String(below(r, 2 ** 32)) },
  xid8: { picked: ['0', '18446744073709551615'], draw: big },
  tid: { picked: ['(0,0)', '(4294967295,65535)'], draw: (r) => `(${below(r, 2 ** 32)},${below(r, 65_536)})` },
  txid_snapshot: {
    picked: ['1:1:', '10:20:10,14,15'],
    draw: (r) => `${int(r, 1, 9)}:${int(r, 20, 99)}:${int(r, 10, 14)},${int(r, 15, 19)}`,
  },
  pg_snapshot: {
    picked: ['1:1:', '10:20:10,14,15', '1:9223372036854775807:3'],
    draw: (r) => `${int(r, 1, 9)}:${int(r, 20, 99)}:${int(r, 10, 19)}`,
  },
  oidvector: {
    picked: ['', '1', '1 4294967295'],
    draw: (r) => times(below(r, 6), () => String(below(r, 2 ** 32))).join(' '),
  },
  int2vector: {
    picked: ['', '1', '-32768 32767'],
    draw: (r) => times(below(r, 6), () => String(int(r, -32_768, 32_767))).join(' '),
  },
  regclass: { picked: ['pg_class', '-', 'information_schema.tables', '4294967295', '"odd Table"'] },
  regtype: { picked: ['int4', 'timestamp with time zone', 'text[]', '-', '4294967295', '"odd Enum"'] },
  regproc: { picked: ['now', '-', '4294967295', 'pg_catalog.int4in'] },
  regprocedure: { picked: ['now()', 'int4pl(integer,integer)', '-', '4294967295'] },
  regoper: { picked: ['||/', '0', '!~~*'] },
  regoperator: { picked: ['+(integer,integer)', '0', '4294967295'] },
  regrole: { picked: ['pg_monitor', '-', '4294967295'] },
  regnamespace: { picked: ['pg_catalog', 'public', '-', '4294967295'] },
  regconfig: { picked: ['english', 'simple', '-', '4294967295'] },
  regdictionary: { picked: ['simple', '-', '4294967295'] },
  regcollation: { picked: ['"C"', '"POSIX"', '-', '4294967295'] },
  refcursor: { picked: ['', 'c', '<unnamed portal 1>'], draw: text },
  aclitem: { picked: ['=r/pg_monitor', 'pg_monitor=arwdDxt/pg_monitor', 'pg_monitor=r*/pg_read_all_data'] },
  cube: {
    picked: ['(1)', '(1, 2),(3, 4)', '(0, -1e300)', '()'],
    draw: (r) => `(${number(r)}, ${number(r)}),(${number(r)}, ${number(r)})`,
  },
  seg: {
    picked: ['1', '1 .. 2', '~6.5', '< 3', '5(+-)0.3', '1 ..'],
    draw: (r) => `${int(r, -99, 0)} .. ${int(r, 1, 99)}`,
  },
  hstore: {
    picked: ['', 'a=>1', '"a b"=>NULL, "q\\"x"=>"\\\\y"', '__proto__=>1, constructor=>2, ""=>""', 'é=>😀'],
    draw: (r) =>
      times(
        below(r, 5),
        () => `"${word(r).replace(/['\\]/g, '')}${below(r, 9)}"=>${r.pick(['NULL', '"x"', '"\\""'])}`,
      ).join(','),
  },
  ltree: { picked: ['', 'Top.Science', 'a.b_c.D1'], draw: (r) => times(int(r, 1, 5), () => label(r)).join('.') },
  lquery: { picked: ['Top.*{0,2}.sport*@.!football|tennis', '*'], draw: (r) => `${label(r)}.*.${label(r)}*` },
  ltxtquery: { picked: ['Europe & Russia*@ & !Transportation'], draw: (r) => `${label(r)} & !${label(r)}` },
  ean13: { picked: ['9780393040029', '4006381333931'] },
  isbn13: { picked: ['978-0-393-04002-9'] },
  isbn: { picked: ['0-393-04002-X', '9780393040029'] },
  ismn13: { picked: ['979-0-060-11561-5'] },
  ismn: { picked: ['M-060-11561-5'] },
  issn13: { picked: ['977-1436-4522-0-4', '9771436452008'] },
  issn: { picked: ['1436-4522'] },
  upc: { picked: ['220356483481'] },
  yes_or_no: { picked: ['YES', 'NO'] },
  // Types without literals: expressions over the catalogues.
  pg_node_tree: { picked: [], from: 'SELECT ev_action AS v FROM pg_rewrite LIMIT 5' },
  pg_ndistinct: { picked: [], from: 'SELECT stxdndistinct AS v FROM pg_statistic_ext_data' },
  pg_dependencies: { picked: [], from: 'SELECT stxddependencies AS v FROM pg_statistic_ext_data' },
  pg_mcv_list: { picked: [], from: 'SELECT stxdmcv AS v FROM pg_statistic_ext_data' },
  // Types that exist only inside an index: a query can return their NULL.
  gtsvector: { picked: [] },
  pg_brin_bloom_summary: { picked: [] },
  pg_brin_minmax_multi_summary: { picked: [] },
  ghstore: { picked: [] },
  ltree_gist: { picked: [] },
};

module.exports = { SOURCES };
