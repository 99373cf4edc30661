'use strict';

// The command line of the curves.

const { parseArgs } = require('node:util');
const { UsageError } = require('../usage-error.js');

const HELP = (/** @type {string} */ curves) => `npm run bench -- --curves [NAME,...] [options]

What an operation costs, in time and in memory, while one thing grows:
${curves}

  --rounds N     every step is measured so often, in another order each time; medians count (3)
  --seconds S    how long an operation is repeated, after as long a warm-up (0.3)
  --quick        fewer steps and one round of each: a minute or two
  -h, --help     this text

All of them take about ten minutes on two cores. The figures of each go to bench/results/curves/ as JSON, and a chart as
SVG. A knee is a step at which a figure is more than 1.5 times that of the step before. HYPERION_HOSTS names a cluster to
use in place of one that is started for the purpose; its memory and CPU time cannot be seen then.`;

/**
 * `--curves` takes names, or none: all. They may stand behind a space or an equals sign.
 * @param {string[]} args
 * @param {{ name: string, title: string }[]} curves
 */
function options(args, curves) {
  const split = args.flatMap((arg) => (arg.startsWith('--curves=') ? ['--curves', arg.slice(9)] : [arg]));
  const { values, positionals } = parseArgs({
    args: split,
    options: {
      curves: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string', default: '0.3' },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  const known = curves.map(({ name }) => name);
  const wanted = positionals.flatMap((each) => each.split(',')).filter(Boolean);
  for (const name of wanted) {
    if (!known.includes(name)) throw new UsageError(`--curves: '${name}' is none of ${known.join(', ')}`);
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  const seconds = Number(values.seconds);
  if (!(Number.isInteger(rounds) && rounds > 0)) throw new UsageError('--rounds must be a whole number from 1');
  if (!(seconds > 0 && Number.isFinite(seconds))) throw new UsageError('--seconds must be a number greater than 0');
  return {
    names: wanted.length === 0 ? known : known.filter((name) => wanted.includes(name)),
    rounds,
    seconds,
    quick: values.quick,
    help: values.help ? HELP(curves.map(({ name, title }) => `  ${name.padEnd(13)}${title}`).join('\n')) : undefined,
  };
}

module.exports = { options };
