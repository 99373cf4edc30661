'use strict';

// The processes of a server, and getting rid of them. A postmaster's children are process groups of their own and
// outlive it, so neither a group kill nor the parent's pid finds them all; but every server process has the data
// directory as its working directory, and Linux tells us that. Elsewhere we read `ps`: the postmaster is known by its
// -D argument, its children by their parent, and orphans of a killed postmaster are not seen. What manages servers
// (Patroni, etcd) is found by its working directory alike.

const { execFile, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');
const { until } = require('./until.js');

const run = promisify(execFile);
const ON_LINUX = process.platform === 'linux';
/** What runs in a cluster's folders: servers, their tools, a pooler, a cache, and (test/external/patroni) a manager, which is a Python script. */
const OURS = /^(postgres|initdb|pg_\w+|pgbouncer|redis-server|patroni|python[\d.]*|etcd)$/;
/** Time for the work of a test to be under way again. */
const WORK_MS = 10;

/**
 * Pids of the servers whose data directory is `dir` or lies below it. Zombies are not listed: they run no code.
 *
 * @param {string} dir an absolute path without symlinks
 * @returns {number[]}
 */
function processesIn(dir) {
  return ON_LINUX ? processesByFolder(dir) : processesByParent(dir);
}

/** @param {string} dir */
function processesByFolder(dir) {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const cwd = fs.readlinkSync(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '');
        // The name matters: a developer's shell may be in the folder, too.
        return isWithin(cwd, dir) && OURS.test(fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
      } catch {
        return false; // gone, a zombie, or not ours
      }
    })
    .map(Number);
}

/** @param {string} dir */
function processesByParent(dir) {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,command='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .flatMap((found) =>
      found ? [{ pid: Number(found[1]), parent: Number(found[2]), state: found[3], command: found[4] }] : [],
    )
    .filter(({ state }) => !state.startsWith('Z'));
  const members = new Set(table.filter(({ command }) => command.includes(`-D ${dir}`)).map(({ pid }) => pid));
  for (let size = -1; size !== members.size; ) {
    size = members.size;
    for (const { pid, parent } of table) if (members.has(parent)) members.add(pid);
  }
  return [...members];
}

/**
 * @param {string} file
 * @param {string} dir
 */
function isWithin(file, dir) {
  return file === dir || file.startsWith(`${dir}${path.sep}`);
}

/**
 * Stops the postmaster first, so that no process forks, then everything that it has started.
 *
 * @param {number} postmaster
 * @param {string} dir
 */
async function suspend(postmaster, dir) {
  signal('SIGSTOP', [postmaster]);
  await until(`pid ${postmaster} is suspended`, () => isSuspended(postmaster), { everyMs: 1 });
  const all = processesIn(dir);
  // The look-up has blocked this process: the work that it had on the server is done by now. A fault should strike in the middle
  // of work.
  await sleep(WORK_MS);
  signal('SIGSTOP', all);
  await until(`all processes in ${dir} are suspended`, () => all.every(isSuspended), { everyMs: 1 });
}

/**
 * Kills every server in `dir`, suspended ones too (SIGKILL needs no SIGCONT), and waits until they are gone.
 *
 * @param {string} dir
 */
async function killAll(dir) {
  await until(
    `the processes in ${dir} are gone`,
    () => {
      const pids = processesIn(dir);
      signal('SIGKILL', pids);
      return pids.length === 0;
    },
    { everyMs: 2 },
  );
}

/**
 * @param {NodeJS.Signals} name
 * @param {number[]} pids
 */
function signal(name, pids) {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
    }
  }
}

/** @param {number} pid */
function isSuspended(pid) {
  const state = stateOf(pid);
  return state === 'T' || state === 'Z' || state === '';
}

/**
 * @param {number} pid
 * @returns {string} the state letter of ps(1), '' when there is no such process
 */
function stateOf(pid) {
  try {
    // proc(5): "pid (name) state ...", and the name may contain anything.
    if (ON_LINUX) return fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0];
    return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).trim()[0] ?? '';
  } catch {
    return '';
  }
}

/**
 * Ends what is left of a server that did not stop by itself: orphaned backends, its small System V segment (which only the
 * postmaster would free), and the pid file, which would make the next server believe that another one runs.
 *
 * @param {string} dataDir
 */
async function clearRemains(dataDir) {
  await killAll(dataDir);
  const id = sharedMemoryId(dataDir);
  // Fails where the segment is gone already, or where there is no ipcrm: nothing to do about it.
  if (id !== undefined) await run('ipcrm', ['-m', id]).catch(() => {});
  fs.rmSync(path.join(dataDir, 'postmaster.pid'), { force: true });
}

/**
 * Removes a cluster completely: processes, shared memory, files.
 *
 * @param {string} dir its folder; data directories are `<node>/data` in it
 */
async function sweep(dir) {
  await killAll(dir); // in one go first: a cluster must not fail over bit by bit
  const nodes = fs.existsSync(dir) ? fs.readdirSync(dir) : [];
  await Promise.all(nodes.map((node) => clearRemains(path.join(dir, node, 'data'))));
  await run('rm', ['-rf', dir]); // several times faster than fs.rm on thousands of files
}

/**
 * From postmaster.pid, whose 7th line is "key id" (src/include/utils/pidfile.h).
 *
 * @param {string} dataDir
 * @returns {string | undefined}
 */
function sharedMemoryId(dataDir) {
  try {
    const line = fs.readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[6] ?? '';
    return line.trim().split(/\s+/)[1];
  } catch {
    return undefined;
  }
}

exports.processesIn = processesIn;
exports.sharedMemoryId = sharedMemoryId;
exports.suspend = suspend;
exports.killAll = killAll;
exports.clearRemains = clearRemains;
exports.signal = signal;
exports.sweep = sweep;
