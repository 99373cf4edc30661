// Published libraries that load pg themselves: pg-promise, connect-pg-simple and pg-boss. Started with the folder they are installed in.

import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const load = createRequire(path.join(process.argv[2], 'package.json'));
const { PGUSER: user, PGPASSWORD: password, PGDATABASE: database, PGHOST: host, PGPORT: port } = process.env;
const settings = { user, password, database, host, port: Number(port) };
const face = createRequire(import.meta.url)('hyperiondb-client/pg');

const pgp = load('pg-promise')();
const db = pgp(settings);

const Store = load('connect-pg-simple')(load('express-session'));
const store = new Store({ conObject: settings, createTableIfMissing: true, pruneSessionInterval: false });
await promisify(store.set.bind(store))('s', { cookie: {}, user: 'Ada' });

const { PgBoss } = await import(pathToFileURL(load.resolve('pg-boss')).href);
const boss = new PgBoss(settings);
await boss.start();
await boss.createQueue('q');
const worked = new Promise((resolve) => boss.work('q', ([job]) => resolve(job.data)));
await boss.send('q', { n: 1 });

console.log(
  JSON.stringify({
    isFace: pgp.pg === face && boss.getDb().pool instanceof face.Pool,
    sum: await db.one('SELECT $1 + $2 AS sum', [1, 2]),
    session: (await promisify(store.get.bind(store))('s')).user,
    worked: await worked,
  }),
);
await Promise.all([db.$pool.end(), store.close(), boss.stop()]);
