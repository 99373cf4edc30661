'use strict';

// Runs mutated sessions from the command line:
//
//   npm run test:hostile -- [--sessions 10000] [--seed N] [--parallel 200] [--only N]
//
// `--only` repeats one session of a seed by itself. Exit code 1 when anything was wrong.

const { parseArgs } = require('node:util');
const { seedFrom } = require('../../chaos/random');
const { runSessions } = require('./sessions');

/** The number of problems that are printed. */
const SHOWN = 20;

async function main() {
  const { values } = parseArgs({
    options: {
      sessions: { type: 'string', default: '10000' },
      seed: { type: 'string' },
      parallel: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const seed = seedFrom(values.seed ?? process.env.HYPERION_SEED, '--seed');
  console.log(`seed ${seed}`);
  const outcome = await runSessions({
    sessions: Number(values.sessions),
    seed,
    only: values.only === undefined ? undefined : Number(values.only),
    parallel: values.parallel === undefined ? undefined : Number(values.parallel),
  });
  const {
    wrong,
    stderr,
    exit,
    open,
    warmMb,
    peakMb,
    values: fulfilled,
    errors,
    codes,
    connections,
    slowest,
    ms,
  } = outcome;
  for (const { session, what } of wrong.slice(0, SHOWN)) console.log(`session ${session}: ${what}`);
  if (wrong.length > SHOWN) console.log(`and ${wrong.length - SHOWN} more`);
  if (stderr !== '') console.log(`the client printed:\n${stderr}`);
  for (const step of slowest) console.log(`slow: ${step}`);
  console.log(`${fulfilled} promises fulfilled, ${errors} rejected: ${JSON.stringify(codes)}`);
  console.log(`${connections} connections, ${open} of them left open; RSS ${warmMb} MB warm, ${peakMb} MB at the peak`);
  console.log(`${wrong.length} wrong, exit ${exit}, ${(ms / 1000).toFixed(1)} s`);
  process.exitCode = wrong.length > 0 || stderr !== '' || exit !== 0 || open > 0 ? 1 : 0;
}

main();
