'use strict';

// Runs test files, several at a time, each in a process of its own with servers of its own. A line says how each ended; the
// output of those that failed follows when all have ended, so that it stands together at the end.
//
// Most of a file's time is waiting (for servers that start, for deadlines that pass), so two cores take three files.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Leaks } = require('../leaks');
const { ALONE, ROOT } = require('./rooms');

/** Files at a time. */
const JOBS = Math.max(2, Math.min(8, Math.round(os.availableParallelism() * 1.5)));
/** How long each file took last time: the longest go first, so that no long one runs alone at the end. */
const DURATIONS = path.join(ROOT, 'target', 'test-durations.json');
/** The ports of test servers (exports/testing/cluster/ports.js); each file at a time has a part of its own. */
const PORTS = { lowest: 20_000, highest: 32_000 };

/**
 * @typedef {object} Result
 * @property {string} file
 * @property {boolean} ok
 * @property {number} pass
 * @property {number} fail
 * @property {number} skipped
 * @property {number} seconds
 * @property {string} output
 */

/** @returns {Record<string, number>} */
function knownDurations() {
  try {
    return JSON.parse(fs.readFileSync(DURATIONS, 'utf8'));
  } catch {
    return {}; // none yet
  }
}

/** @param {readonly Result[]} results */
function remember(results) {
  const durations = knownDurations();
  for (const { file, seconds } of results) durations[file] = seconds;
  fs.mkdirSync(path.dirname(DURATIONS), { recursive: true });
  fs.writeFileSync(DURATIONS, JSON.stringify(durations));
}

/** A number of the summary that node's spec reporter prints. @param {string} output @param {string} name */
const numberIn = (output, name) => Number(new RegExp(`^ℹ ${name} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);

/**
 * @param {string} file
 * @param {NodeJS.ProcessEnv} env
 * @param {number} slot which of the files at a time this one is
 * @returns {Promise<Result>}
 */
function runFile(file, env, slot) {
  const started = performance.now();
  const share = Math.floor((PORTS.highest - PORTS.lowest) / JOBS);
  const lowest = PORTS.lowest + slot * share;
  const ports = `${lowest}-${lowest + share - 1}`;
  const child = spawn(process.execPath, ['--test', '--test-reporter=spec', file], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HYPERION_PORTS: ports, ...env },
  });
  let output = '';
  const streams = /** @type {const} */ (['stdout', 'stderr']).map((name) => {
    const leaks = new Leaks((text) => {
      output += text;
    });
    child[name].setEncoding('utf8').on('data', (text) => leaks.take(text));
    return { name, leaks };
  });
  return new Promise((resolve) => {
    /** @param {boolean} succeeded */
    const end = (succeeded) => {
      for (const { leaks } of streams) leaks.end();
      const found = streams.flatMap(({ name, leaks }) => leaks.found.map((place) => `${name}, ${place}`));
      for (const place of found) output += `== Secret printed by ${file}: ${place}\n`;
      const [pass, fail, skipped] = ['pass', 'fail', 'skipped'].map((name) => numberIn(output, name));
      const ok = succeeded && found.length === 0;
      const seconds = (performance.now() - started) / 1000;
      // A file that ended without a summary, or printed a secret, has failed as a whole.
      resolve({ file, ok, pass, fail: ok ? fail : Math.max(fail, 1), skipped, seconds, output });
    };
    child.on('error', (error) => {
      output += `${error.message}\n`;
      end(false);
    });
    child.on('close', (status) => end(status === 0));
  });
}

/** @param {Result} result */
function line({ file, ok, pass, fail, skipped, seconds }) {
  const counts = [
    `${pass} passed`,
    ...(fail > 0 ? [`${fail} failed`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return `${ok ? 'ok  ' : 'FAIL'} ${seconds.toFixed(1).padStart(6)} s  ${file}: ${counts.join(', ')}`;
}

/**
 * @param {readonly string[]} files
 * @param {NodeJS.ProcessEnv} env
 * @param {number} [jobs] files at a time
 * @returns {Promise<Result[]>}
 */
async function runFiles(files, env, jobs = JOBS) {
  const durations = knownDurations();
  const waiting = files
    .filter((file) => !ALONE.includes(file))
    .sort((a, b) => (durations[b] ?? Infinity) - (durations[a] ?? Infinity));
  /** @type {Result[]} */
  const results = [];
  /** @param {number} slot */
  const work = async (slot) => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runFile(file, env, slot);
      results.push(result);
      console.log(line(result));
    }
  };
  await Promise.all(Array.from({ length: jobs }, (_, slot) => work(slot)));
  waiting.push(...files.filter((file) => ALONE.includes(file)));
  await work(0);
  for (const { file, ok, output } of results) if (!ok) console.log(`\n==== ${file}\n${output.trimEnd()}`);
  remember(results);
  return results;
}

module.exports = { runFiles };
