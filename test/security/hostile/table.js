'use strict';

// Runs the cases, several at a time, and prints what is wrong with each as a line of JSON. It is a process of its own, so that
// a case that ends the process, or makes it print something, is noticed by the parent.
//
//   node test/security/hostile/table.js [part of a case's name]

const { CASES } = require('./cases');

/** Most of the time of a case is waiting. */
const AT_ONCE = 12;

async function main() {
  const [part = ''] = process.argv.slice(2);
  const left = CASES.filter(({ name }) => name.includes(part));
  process.on('warning', (warning) => console.error(`warning: ${warning.stack}`));
  /** @type {typeof left} */
  const late = [];
  /** @param {typeof left} cases @param {(one: (typeof left)[number], wrong: string[]) => boolean} isHeldBack */
  const work = async (cases, isHeldBack) => {
    for (let next = cases.shift(); next !== undefined; next = cases.shift()) {
      const began = performance.now();
      const wrong = await next.run();
      if (isHeldBack(next, wrong)) continue;
      console.log(JSON.stringify({ name: next.name, wrong, ms: Math.round(performance.now() - began) }));
    }
  };
  // The servers are in this process, too: while a neighbour, or the machine, holds it up, they answer too late. Such a case is run
  // once more by itself.
  const isLate = (/** @type {(typeof left)[number]} */ one, /** @type {string[]} */ wrong) =>
    wrong.some((what) => what.includes('no answer within')) && late.push(one) > 0;
  await Promise.all(Array.from({ length: AT_ONCE }, () => work(left, isLate)));
  await work(late, () => false);
}

main();
