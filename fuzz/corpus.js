'use strict';

// Makes a first corpus out of the values a real server sent (src/codec/tests/server.tsv): each in binary and as text.

const fs = require('node:fs');
const path = require('node:path');

/** Oids of the types in the table (pg_type.dat), as far as they have fixed ones. */
const OIDS = { bool: 16, bytea: 17, char: 18, name: 19, int8: 20, int2vector: 22, int4: 23, text: 25, oid: 26, tid: 27 };
Object.assign(OIDS, { xid: 28, oidvector: 30, json: 114, xml: 142, point: 600, lseg: 601, path: 602, box: 603 });
Object.assign(OIDS, { polygon: 604, line: 628, float4: 700, float8: 701, circle: 718, money: 790, macaddr: 829 });
Object.assign(OIDS, { inet: 869, cidr: 650, macaddr8: 774, varchar: 1043, date: 1082, time: 1083, timestamp: 1114 });
Object.assign(OIDS, { timestamptz: 1184, interval: 1186, timetz: 1266, bit: 1560, varbit: 1562, numeric: 1700 });
Object.assign(OIDS, { uuid: 2950, txid_snapshot: 2970, pg_lsn: 3220, tsvector: 3614, tsquery: 3615, jsonb: 3802 });
Object.assign(OIDS, { int4range: 3904, numrange: 3906, tsrange: 3908, tstzrange: 3910, jsonpath: 4072, xid8: 5069 });
Object.assign(OIDS, { int4multirange: 4451, pg_snapshot: 5038, _int4: 1007, _text: 1009, _bool: 1000, _date: 1182 });

const folder = path.join(__dirname, 'corpus', 'codecs');
fs.mkdirSync(folder, { recursive: true });
const table = fs.readFileSync(path.join(__dirname, '..', 'src', 'codec', 'tests', 'server.tsv'), 'utf8');
for (const [number, line] of table.split('\n').entries()) {
  if (line === '' || line.startsWith('#')) continue;
  const [type, bytes, text] = line.split('\t');
  const oid = OIDS[type] ?? number;
  for (const [feed, value] of [Buffer.from(bytes, 'hex'), Buffer.from(text)].entries()) {
    const head = Buffer.from([feed, oid >> 8, oid & 255, 0]);
    fs.writeFileSync(path.join(folder, `server-${number}-${type}-${feed}`), Buffer.concat([head, value]));
  }
}
