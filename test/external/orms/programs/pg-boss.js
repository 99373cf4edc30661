'use strict';

// pg-boss, the job queue. It makes its pool and its connection for LISTEN by the pg that it loads, so register puts the face in its place.

const { setTimeout: sleep } = require('node:timers/promises');
const { load, registered, rejection, run } = require('../program.js');

/** @param {string} driver @param {object} options */
function bossOf(driver, options) {
  registered(driver);
  const { PgBoss } = load('pg-boss');
  return new PgBoss(options);
}

/** @param {() => unknown} isSo */
async function becomes(isSo) {
  while (!(await isSo())) await sleep(5);
}

/** What a job has come to, without ids and times. @param {any} job */
const outcomeOf = ({ state, data, output, retryCount, retryLimit, priority, singletonKey, policy }) => ({
  ...{ state, data, output, retryCount, retryLimit, priority, singletonKey, policy },
});

run({
  async checks({ pg, settings, driver, check }) {
    const pool = new pg.Pool({ ...settings, max: 2 });
    await pool.query('DROP SCHEMA IF EXISTS boss CASCADE');
    const boss = bossOf(driver, {
      ...settings,
      max: 5,
      schema: 'boss',
      useListenNotify: true,
      schedule: true,
      cronWorkerIntervalSeconds: 1,
      cronMonitorIntervalSeconds: 1,
    });
    /** @type {unknown[]} */
    const complaints = [];
    boss.on('error', (/** @type {Error} */ error) => complaints.push(error.message));
    boss.on('warning', (/** @type {any} */ { message }) => complaints.push(message));
    /** Jobs by the word in their data, when they have come to an end. @param {string} queue @param {string[]} ids */
    const ended = async (queue, ids) => {
      /** @type {any[]} */
      let jobs = [];
      await becomes(async () => {
        jobs = await Promise.all(ids.map(async (id) => (await boss.findJobs(queue, { id }))[0]));
        return jobs.every(({ state }) => ['completed', 'failed', 'cancelled'].includes(state));
      });
      return jobs.map(outcomeOf);
    };

    await check('it installs its schema', async () => {
      await boss.start();
      return [await boss.isInstalled(), typeof (await boss.schemaVersion())];
    });
    await check('a queue is made', async () => {
      await boss.createQueue('dead');
      await boss.createQueue('mail', { retryLimit: 2, retryDelay: 0, deadLetter: 'dead', notify: true });
      const { name, policy, retryLimit, deadLetter } = await boss.getQueue('mail');
      return { name, policy, retryLimit, deadLetter };
    });
    await check('a job is fetched and completed', async () => {
      const id = await boss.send('mail', { to: 'ada', list: [1, null, '☃'] }, { priority: 7 });
      const [job] = await boss.fetch('mail');
      await boss.complete('mail', job.id, { sent: true });
      return [job.id === id, job.data, await ended('mail', [id])];
    });
    await check('a job that fails is tried again and goes to the dead letters', async () => {
      const id = await boss.send('mail', { to: 'nobody' });
      for (let attempt = 0; attempt < 3; attempt++) {
        await becomes(async () => {
          const [job] = await boss.fetch('mail');
          if (job !== undefined) await boss.fail('mail', job.id, { reason: attempt });
          return job !== undefined;
        });
      }
      const [dead] = await boss.fetch('dead');
      return [await ended('mail', [id]), dead.data];
    });
    await check('jobs that a transaction sends are there when it commits', async () => {
      const client = await pool.connect();
      const db = {
        executeSql: (/** @type {string} */ text, /** @type {unknown[]} */ values) => client.query(text, values),
      };
      await client.query('BEGIN');
      await boss.send('mail', { tx: 1 }, { db });
      await client.query('ROLLBACK');
      await client.query('BEGIN');
      await boss.send('mail', { tx: 2 }, { db });
      const before = await boss.fetch('mail');
      await client.query('COMMIT');
      client.release();
      const after = await boss.fetch('mail');
      await boss.complete(
        'mail',
        after.map((/** @type {any} */ { id }) => id),
      );
      return [before, after.map((/** @type {any} */ { data }) => data)];
    });
    await check('singletons, throttled and debounced jobs', async () => [
      typeof (await boss.send('mail', {}, { singletonKey: 'k', singletonSeconds: 600 })),
      await boss.send('mail', {}, { singletonKey: 'k', singletonSeconds: 600 }),
      typeof (await boss.sendThrottled('mail', {}, null, 600, 't')),
      await boss.sendThrottled('mail', {}, null, 600, 't'),
      await boss.deleteQueuedJobs('mail'),
    ]);
    await check('many jobs by insert, and a batch', async () => {
      await boss.insert(
        'mail',
        Array.from({ length: 200 }, (_, n) => ({ data: { n }, priority: n })),
      );
      const batch = await boss.fetch('mail', { batchSize: 150 });
      await boss.complete(
        'mail',
        batch.map((/** @type {any} */ { id }) => id),
      );
      const stats = await boss.fetch('mail', { batchSize: 150 });
      await boss.fail(
        'mail',
        stats.map((/** @type {any} */ { id }) => id),
      );
      await boss.deleteAllJobs('mail');
      return [batch.map(({ data }) => data.n).sort((a, b) => a - b), stats.length];
    });
    await check('cancel, resume and retry', async () => {
      const id = await boss.send('mail', { later: true }, { startAfter: 3600 });
      const states = [];
      const note = async () => states.push((await boss.findJobs('mail', { id }))[0].state);
      await boss.cancel('mail', id);
      await note();
      await boss.resume('mail', id);
      await note();
      await boss.deleteJob('mail', id);
      return [states, await boss.findJobs('mail', { id })];
    });
    await check('workers work, and a handler that throws is tried again', async () => {
      /** @type {Record<string, number>} */
      const tries = {};
      await boss.createQueue('work', { retryLimit: 3, retryDelay: 0 });
      await boss.work('work', { batchSize: 5, pollingIntervalSeconds: 0.5 }, async (/** @type {any[]} */ jobs) => {
        for (const { data } of jobs) {
          tries[data.n] = (tries[data.n] ?? 0) + 1;
          if (data.n === 3 && tries[3] < 3) throw new RangeError('not yet');
        }
        return { jobs: 'done' };
      });
      const ids = [await boss.send('work', { n: 3 })];
      const outcomes = await ended('work', ids);
      const more = await Promise.all(Array.from({ length: 20 }, (_, n) => boss.send('work', { n: n + 10 })));
      const states = (await ended('work', more)).map(({ state }) => state);
      await boss.offWork('work');
      return [outcomes, tries[3], states];
    });
    await check('a worker that would look again in a minute is woken by a notification', async () => {
      await boss.createQueue('woken', { notify: true });
      let worked = 0;
      await boss.work('woken', { pollingIntervalSeconds: 60 }, async () => {
        worked += 1;
      });
      // The first look finds nothing.
      await sleep(100);
      for (let n = 1; n <= 3; n++) {
        await boss.send('woken', {});
        await becomes(() => worked === n);
      }
      await boss.offWork('woken');
      return worked;
    });
    await check('publish and subscribe', async () => {
      await boss.createQueue('left');
      await boss.createQueue('right');
      await boss.subscribe('news', 'left');
      await boss.subscribe('news', 'right');
      await boss.publish('news', { text: 'x' });
      return [(await boss.fetch('left'))[0].data, (await boss.fetch('right'))[0].data];
    });
    await check('schedules', async () => {
      await boss.createQueue('nightly');
      await boss.schedule('nightly', '0 3 * * *', { report: 1 }, { tz: 'Europe/Berlin' });
      await boss.schedule('nightly', '* * * * *', { report: 2 }, { key: 'every-minute' });
      const all = await boss.getSchedules('nightly');
      await boss.unschedule('nightly');
      const left = await boss.getSchedules('nightly');
      return [all, left].map((list) =>
        list
          .map((/** @type {any} */ { name, cron, timezone, data, key }) => ({ name, cron, timezone, data, key }))
          .sort((/** @type {any} */ a, /** @type {any} */ b) => (a.key < b.key ? -1 : 1)),
      );
    });
    await check('upkeep and the figures of queues', async () => {
      await boss.supervise('work');
      const { name, queuedCount, activeCount, totalCount } = await boss.getQueue('work');
      return { name, queuedCount, activeCount, totalCount };
    });
    await check('a queue that is not there', () => rejection(() => boss.send('missing', {})));
    await check('its pool runs statements', async () => {
      const { rows } = await boss.getDb().executeSql('SELECT $1::int + 1 AS n, now() > $2 AS later', [41, new Date(0)]);
      return rows;
    });
    await check('the schema has not drifted', async () => {
      const report = await boss.detectSchemaDrift();
      return Object.entries(report).map(([part, found]) => [part, Array.isArray(found) ? found.length : found]);
    });
    await check('it stops', async () => {
      await boss.stop({ graceful: true, timeout: 5000 });
      return complaints;
    });
    await check('a job after the end', () => rejection(() => boss.send('mail', {})));
    await pool.end();
  },

  // A job is acknowledged when send() has resolved. Workers make its row, once for however often they do the job: a queue promises that a
  // job is done at least once.
  async writers({ pg, settings, driver }) {
    const schema = `boss_${driver}`;
    const pool = new pg.Pool({ ...settings, max: 8 });
    pool.on('error', () => {});
    await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    const boss = bossOf(driver, { ...settings, max: 8, schema, useListenNotify: true });
    boss.on('error', () => {});
    await boss.start();
    await pool.query(`CREATE TABLE ${schema}.done (id bigint PRIMARY KEY)`);
    // The attempt that a failover ended is over after a second.
    await boss.createQueue('writes', { retryLimit: 100, retryDelay: 0, expireInSeconds: 1, notify: true });
    await boss.work(
      'writes',
      { batchSize: 20, pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 },
      async (/** @type {any[]} */ jobs) => {
        await boss.getDb().executeSql(
          `WITH first AS (INSERT INTO ${schema}.done SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING RETURNING id)
         INSERT INTO writes SELECT id, $2 FROM first`,
          [jobs.map(({ data }) => data.id), driver],
        );
      },
    );
    const unfinished = async () => {
      const { rows } = await pool.query(
        `SELECT count(*)::int AS n FROM ${schema}.job WHERE name = 'writes' AND state < 'completed'`,
      );
      return rows[0].n;
    };
    return {
      one: (id) => boss.send('writes', { id }),
      two: async (first, second) => {
        const client = await pool.connect();
        // As pg wants it: a client that is taken has no other listener.
        const onError = () => {};
        client.on('error', onError);
        const db = {
          executeSql: (/** @type {string} */ text, /** @type {unknown[]} */ values) => client.query(text, values),
        };
        /** @type {unknown} */
        let failure;
        try {
          await client.query('BEGIN');
          await boss.send('writes', { id: first }, { db });
          await boss.send('writes', { id: second }, { db });
          await client.query('COMMIT');
        } catch (error) {
          failure = error;
          throw error;
        } finally {
          client.off('error', onError);
          client.release(/** @type {any} */ (failure));
        }
      },
      end: async () => {
        // pg is not asked to finish: its one server is no primary any more.
        if (driver === 'face') {
          await becomes(async () => {
            await boss.supervise('writes');
            return (await unfinished()) === 0;
          });
        }
        await boss.stop({ graceful: driver === 'face', timeout: 5000 }).catch(() => {});
        await pool.end();
      },
    };
  },
});
