'use strict';

// graphile-worker, the job queue, handed a pool.

const { setTimeout: sleep } = require('node:timers/promises');
const { load, rejection, run } = require('../program.js');

const { Logger, makeWorkerUtils, run: startWorkers, runOnce } = load('graphile-worker');

const silent = new Logger(() => () => {});

/** @param {() => unknown} isSo */
async function becomes(isSo) {
  while (!(await isSo())) await sleep(5);
}

/** A job without its ids and times. @param {any} job */
const shown = ({
  task_identifier,
  payload,
  priority,
  attempts,
  max_attempts,
  last_error,
  key,
  flags,
  locked_by,
  queue_name,
  is_available,
}) => ({
  ...{ task_identifier, payload, priority, attempts, max_attempts, key, flags, queue_name, is_available },
  ...{ last_error: last_error?.split('\n')[0], locked: typeof locked_by },
});

run({
  async checks({ pg, settings, check }) {
    const pool = new pg.Pool({ ...settings, max: 6 });
    // graphile-worker asks for them.
    pool.on('error', () => {});
    pool.on('connect', (/** @type {any} */ client) => client.on('error', () => {}));
    await pool.query('DROP SCHEMA IF EXISTS worker CASCADE');
    const options = { pgPool: pool, schema: 'worker', logger: silent, noHandleSignals: true };
    const utils = await makeWorkerUtils(options);
    /** @type {any[]} */
    const done = [];
    const taskList = {
      note: async (/** @type {any} */ payload) => {
        done.push(payload);
      },
      fail: async (/** @type {any} */ _, /** @type {any} */ { job }) => {
        throw new RangeError(`attempt ${job.attempts}`);
      },
      sql: async (/** @type {any} */ { n }, /** @type {any} */ { withPgClient, query }) => {
        const { rows } = await query('SELECT $1::int + 1 AS n', [n]);
        const pid = await withPgClient(async (/** @type {any} */ client) => {
          const pids = await Promise.all([
            client.query('SELECT pg_backend_pid() AS p'),
            client.query('SELECT pg_backend_pid() AS p'),
          ]);
          return pids[0].rows[0].p === pids[1].rows[0].p;
        });
        done.push([rows, pid]);
      },
      more: async (/** @type {any} */ _, /** @type {any} */ { addJob }) => {
        await addJob('note', 'from a job');
      },
      bytes: async () =>
        Promise.all(
          [1, 2].map(async (n) => {
            if (n === 2) throw new Error('half');
            return n;
          }),
        ),
    };
    const locked = "SELECT FROM worker._private_jobs WHERE locked_by <> 'gone'";
    const once = async () => {
      done.length = 0;
      await runOnce({ ...options, taskList, concurrency: 1 });
      // It does not wait for the statements that mark its jobs as done or failed.
      await becomes(async () => (await pool.query(locked)).rowCount === 0);
      return structuredClone(done);
    };
    const jobs = async () => {
      const { rows } = await pool.query('SELECT * FROM worker.jobs ORDER BY id');
      return rows;
    };

    await check('it migrates its schema', async () => {
      await utils.migrate();
      const { rows } = await pool.query('SELECT id, breaking FROM worker.migrations ORDER BY id');
      return rows;
    });
    await check('a job is added, with all that it can have', async () => {
      const job = await utils.addJob(
        'note',
        { text: 'snow ☃', list: [1, null] },
        {
          queueName: 'q',
          runAt: new Date(Date.UTC(2020, 1, 29)),
          maxAttempts: 3,
          priority: -2,
          jobKey: 'k',
          flags: ['a', 'b'],
        },
      );
      return [shown(job), job.run_at, typeof job.id, job.created_at instanceof Date, (await jobs()).map(shown)];
    });
    await check('it is run once', async () => [await once(), await jobs()]);
    await check('a job that fails is kept for another attempt', async () => {
      await utils.addJob('fail', {}, { maxAttempts: 2 });
      await once();
      const [first] = await jobs();
      await utils.rescheduleJobs([first.id], { runAt: new Date(0) });
      await once();
      const [last] = await jobs();
      await utils.completeJobs([last.id]);
      return [shown(first), first.run_at > new Date(), shown(last), await jobs()];
    });
    await check('jobs with SQL, and jobs of jobs', async () => {
      await utils.addJob('sql', { n: 41 });
      await utils.addJob('more');
      return once();
    });
    await check('the keys of jobs', async () => {
      const keyed = (/** @type {number} */ n, /** @type {string} */ jobKeyMode) =>
        utils.addJob('note', { n }, { jobKey: 'one', jobKeyMode, runAt: new Date(0) });
      await keyed(1, 'replace');
      await keyed(2, 'replace');
      await keyed(3, 'preserve_run_at');
      const waiting = (await jobs()).map(shown);
      await keyed(4, 'unsafe_dedupe');
      return [waiting, await once()];
    });
    await check('many jobs at once', async () => {
      const added = await utils.addJobs(
        Array.from({ length: 100 }, (_, n) => ({ identifier: 'note', payload: { n }, priority: n })),
      );
      return [added.length, (await once()).map(({ n }) => n)];
    });
    await check('a job by SQL, in a transaction', async () => {
      const client = await pool.connect();
      const add = (/** @type {number} */ n) =>
        client.query("SELECT worker.add_job('note', json_build_object('n', $1::int))", [n]);
      await client.query('BEGIN');
      await add(1);
      await client.query('ROLLBACK');
      await client.query('BEGIN');
      await add(2);
      const before = await once();
      await client.query('COMMIT');
      client.release();
      return [before, await once()];
    });
    await check('a job that is given up', async () => {
      const { id } = await utils.addJob('note', {});
      const [given] = await utils.permanentlyFailJobs([id], 'enough');
      await utils.cleanup({ tasks: ['DELETE_PERMAFAILED_JOBS'] });
      return [shown(given), await jobs()];
    });
    await check('a worker that would look again in a minute is woken by a notification', async () => {
      done.length = 0;
      const workers = await startWorkers({ ...options, taskList, concurrency: 2, pollInterval: 60_000 });
      // Its session listens when the statement has ended.
      const listening = "SELECT FROM pg_stat_activity WHERE state = 'idle' AND query LIKE 'LISTEN%jobs:insert%'";
      await becomes(async () => (await pool.query(listening)).rowCount === 1);
      for (let n = 1; n <= 5; n++) {
        await utils.addJob('note', n);
        await becomes(() => done.includes(n));
      }
      await workers.stop();
      return done;
    });
    await check('200 jobs by 4 workers', async () => {
      done.length = 0;
      await utils.addJobs(Array.from({ length: 200 }, (_, n) => ({ identifier: 'note', payload: n })));
      const workers = await startWorkers({ ...options, taskList, concurrency: 4, pollInterval: 100 });
      await becomes(async () => (await jobs()).length === 0);
      await workers.stop();
      return [...done].sort((a, b) => a - b);
    });
    await check('jobs that are completed in batches', async () => {
      done.length = 0;
      await utils.addJobs(Array.from({ length: 50 }, (_, n) => ({ identifier: 'note', payload: n })));
      const preset = { worker: { localQueue: { size: 10 }, completeJobBatchDelay: 5, failJobBatchDelay: 5 } };
      const workers = await startWorkers({ ...options, preset, taskList, concurrency: 2, pollInterval: 100 });
      await becomes(async () => (await jobs()).length === 0);
      await workers.stop();
      return [...done].sort((a, b) => a - b);
    });
    await check('a crontab', async () => {
      const workers = await startWorkers({
        ...options,
        taskList,
        crontab: '0 4 * * * note ?id=early&max=3 {"n":1}\n5 5 1 1 * note',
      });
      await becomes(async () => (await pool.query('SELECT FROM worker._private_known_crontabs')).rowCount === 2);
      await workers.stop();
      return (await pool.query('SELECT identifier, last_execution FROM worker._private_known_crontabs ORDER BY 1'))
        .rows;
    });
    await check('workers are unlocked by force', async () => {
      await utils.addJob('note', 'locked');
      await pool.query("UPDATE worker._private_jobs SET locked_by = 'gone', locked_at = now()");
      const before = await once();
      await utils.forceUnlockWorkers(['gone']);
      return [before, await once()];
    });
    await check('a job that the schema refuses', async () => {
      const { code, constraint, message } = await rejection(() =>
        utils.addJob('note', {}, { jobKey: 'k'.repeat(600) }),
      );
      return { code, constraint, message };
    });
    await check('it ends', async () => {
      await utils.release();
      await pool.end();
    });
  },

  // A job is acknowledged when addJob() has resolved. Workers make its row, once for however often they do the job: a queue promises that a
  // job is done at least once. Workers whose job cannot be marked as done or failed end their runner, whatever the driver is; it is started
  // again here, as a service manager would, and what its workers have left locked is unlocked. Without the two delays graphile-worker does
  // not await the statements that mark a job: one that fails is an unhandled rejection then, which ends the process, on pg, too.
  async writers({ pg, settings, driver }) {
    const schema = `worker_${driver}`;
    const pool = new pg.Pool({ ...settings, max: 8 });
    pool.on('error', () => {});
    pool.on('connect', (/** @type {any} */ client) => client.on('error', () => {}));
    await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    const preset = { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } };
    const options = { pgPool: pool, schema, preset, logger: silent, noHandleSignals: true };
    const utils = await makeWorkerUtils(options);
    await utils.migrate();
    await pool.query(`CREATE TABLE ${schema}.done (id bigint PRIMARY KEY)`);
    const taskList = {
      write: (/** @type {any} */ { id }, /** @type {any} */ { query }) =>
        query(
          `WITH first AS (INSERT INTO ${schema}.done VALUES ($1) ON CONFLICT DO NOTHING RETURNING id)
           INSERT INTO writes SELECT id, $2 FROM first`,
          [id, driver],
        ),
    };
    const unlock = async () => {
      const { rows } = await pool.query(
        `SELECT DISTINCT locked_by FROM ${schema}._private_jobs WHERE locked_by IS NOT NULL`,
      );
      await utils.forceUnlockWorkers(rows.map(({ locked_by }) => locked_by));
    };
    let stopped = false;
    /** @type {any} */
    let workers;
    const working = (async () => {
      while (!stopped) {
        try {
          await unlock();
          workers = await startWorkers({ ...options, taskList, concurrency: 2, pollInterval: 100 });
          await workers.promise;
        } catch {
          await sleep(50);
        }
      }
    })();
    return {
      one: (id) => utils.addJob('write', { id }),
      two: async (first, second) => {
        const client = await pool.connect();
        const add = `SELECT ${schema}.add_job('write', json_build_object('id', $1::int), max_attempts => 1000)`;
        /** @type {unknown} */
        let failure;
        try {
          await client.query('BEGIN');
          await client.query(add, [first]);
          await client.query(add, [second]);
          await client.query('COMMIT');
        } catch (error) {
          failure = error;
          throw error;
        } finally {
          client.release(/** @type {any} */ (failure));
        }
      },
      end: async () => {
        stopped = true;
        // A runner that has ended by itself refuses.
        await workers?.stop().catch(() => {});
        // pg is not asked to finish: its one server is no primary any more.
        if (driver === 'face') {
          await working;
          await unlock();
          // Attempts that a failover ended wait longer and longer for their next one.
          await pool.query(`UPDATE ${schema}._private_jobs SET run_at = now()`);
          await runOnce({ ...options, taskList });
        }
        await pool.end();
        // The other program has migrated its schema in this database: workers take that for a newer version of themselves, end, and set 57.
        if (process.exitCode === 57) process.exitCode = 0;
      },
    };
  },
});
