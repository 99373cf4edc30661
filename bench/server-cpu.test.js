'use strict';

// CPU time of a process and its children, whenever they begin and end. `node --test bench/`.

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { beginCpuOf, beginServerCpu, processCpu, spentBetween } = require('./server-cpu.js');

const ON_LINUX = process.platform === 'linux';
const skip = ON_LINUX ? false : 'only Linux tells CPU times of other processes';

/** @param {Record<number, number>} times @param {number} [endedUs] */
const reading = (times, endedUs = 0) => ({
  times: new Map(Object.entries(times).map(([pid, time]) => [Number(pid), time])),
  endedUs,
});

test('server CPU: what lived all the time counts by its difference, what is new by all', () => {
  assert.equal(spentBetween(reading({ 1: 100, 2: 500 }), reading({ 1: 150, 2: 700, 3: 40 })), 50 + 200 + 40);
});

test('server CPU: what has ended counts by what its parent has waited for, without its time before', () => {
  const before = reading({ 1: 0, 2: 300_000 }, 1_000_000);
  assert.equal(spentBetween(before, reading({ 1: 5 }, 1_900_000)), 5 + 900_000 - 300_000);
  // Began and ended in between.
  assert.equal(spentBetween(reading({ 1: 0 }, 0), reading({ 1: 5 }, 70_000)), 5 + 70_000);
});

test('server CPU: ticks that are rounded down make nothing less than it is', () => {
  assert.equal(spentBetween(reading({ 1: 0, 2: 9_000 }, 0), reading({ 1: 5 }, 0)), 5);
});

test('server CPU: a process that is gone, and for which nobody has waited, makes it unknown', () => {
  assert.equal(spentBetween(reading({ 1: 0, 2: 300_000 }, 0), reading({ 1: 5 }, 0)), undefined);
});

test('server CPU: nothing is told of a server that is not here', () => {
  assert.equal(beginServerCpu(undefined)(), undefined);
  assert.equal(beginServerCpu('/nowhere')(), undefined);
  assert.equal(processCpu(2 ** 30), undefined);
});

// A parent with children that work when they are told to. They tell their own CPU time: what is compared comes from the same clock
// of the system, but by another way.
const PROGRAM = `
  const { fork } = require('node:child_process');
  if (process.argv[2] === 'child') {
    process.on('message', (ms) => {
      const before = process.cpuUsage();
      const spent = () => process.cpuUsage(before).user + process.cpuUsage(before).system;
      for (let n = 0; n % 1e6 !== 0 || spent() < ms * 1000; n++);
      process.send(spent());
    });
    process.on('disconnect', () => process.exit());
  } else {
    const children = new Map();
    process.on('message', async ({ name, ms, end }) => {
      const child = children.get(name) ?? fork(process.argv[1], ['child']);
      children.set(name, child);
      const spent = await new Promise((resolve) => { child.once('message', resolve); child.send(ms); });
      if (end) {
        child.disconnect();
        await new Promise((resolve) => child.once('exit', resolve));
      }
      process.send(spent);
    });
    process.on('disconnect', () => { for (const child of children.values()) child.kill('SIGKILL'); process.exit(); });
  }`;

test('server CPU: children that begin, stay and end while it is measured all count', { skip }, async (t) => {
  const fs = require('node:fs');
  const os = require('node:os');
  const path = require('node:path');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperion-server-cpu-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'parent.js');
  fs.writeFileSync(file, PROGRAM);
  const parent = fork(file);
  t.after(() => parent.disconnect());
  /** @param {string} name @param {number} ms @param {{ end?: boolean }} [how] @returns {Promise<number>} its own CPU time in us */
  const work = async (name, ms, { end = false } = {}) => {
    parent.send({ name, ms, end });
    const [spent] = await once(parent, 'message');
    return spent;
  };
  const pid = /** @type {number} */ (parent.pid);
  await work('stays', 150);
  await work('ends', 150);
  const measure = beginCpuOf(pid);
  const own = [await work('stays', 100), await work('ends', 100, { end: true })];
  const known = own.reduce((sum, us) => sum + us, 0);
  const measured = /** @type {number} */ (measure());
  // Beside their work the parent has its own, and the children have to read messages. With what they did before it would be 2.5 times as much.
  assert.ok(measured >= known * 0.8 && measured < known * 1.7, `${measured} us of ${known}`);

  const again = beginCpuOf(pid);
  const brief = await work('brief', 100, { end: true });
  const all = /** @type {number} */ (again());
  assert.ok(all >= brief * 0.8, `${all} us of ${brief}: a child that began and ended`);

  const idle = beginCpuOf(pid);
  assert.ok(/** @type {number} */ (idle()) < brief * 0.1, 'nothing happens');
});

test('server CPU: a process counts with all its threads', { skip }, () => {
  const before = /** @type {number} */ (processCpu(process.pid));
  const { user, system } = process.cpuUsage();
  assert.ok(Math.abs(before - user - system) < 0.2 * before, `${before} us of ${user + system}`);
});
