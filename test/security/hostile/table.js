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
  const worker = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const began = performance.now();
      const wrong = await next.run();
      console.log(JSON.stringify({ name: next.name, wrong, ms: Math.round(performance.now() - began) }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

main();
