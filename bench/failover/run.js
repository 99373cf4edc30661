'use strict';

// `npm run bench:failover`: this client beside its peers while the primary goes away. Each client has each scenario (see
// scenarios.js) on a cluster of its own, in a process of its own, under the same load (load.js).
//
//   node bench/failover/run.js [--rounds 3] [--only switchover,kill] [--clients hyperion,pg,postgres] [--variants]
//                              [--markdown] [--from result.json,another.json]
//
// --variants: every way to set a client up (clients/index.js), not the best one only. --from: the tables of earlier runs.
// Everything goes to bench/results/failover/ as JSON.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { installPeers } = require('../install.js');
const { PARTICIPANTS } = require('./clients');
const { markdown, terminal } = require('./report.js');
const { round } = require('./round.js');
const { SCENARIOS } = require('./scenarios.js');

/** @typedef {import('./types').Result} Result */

const RESULTS = path.join(__dirname, '../results/failover');

/** @param {string | undefined} list @param {string[]} known @param {string} option */
function chosen(list, known, option) {
  const given = list?.split(',') ?? known;
  for (const each of given) {
    if (!known.includes(each)) throw new Error(`--${option}: '${each}' is none of ${known.join(', ')}`);
  }
  return known.filter((each) => given.includes(each));
}

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      only: { type: 'string' },
      clients: { type: 'string' },
      variants: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      from: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error('--rounds must be a whole number from 1');
  const scenarioIds = SCENARIOS.map(({ id }) => id);
  const only = chosen(values.only, scenarioIds, 'only');
  const names = PARTICIPANTS.map(({ name }) => name);
  const clients = chosen(values.clients, names, 'clients');
  return {
    rounds,
    scenarios: SCENARIOS.filter(({ id }) => only.includes(id)),
    entries: PARTICIPANTS.filter(({ name }) => clients.includes(name)).flatMap(({ name, best, variants }) =>
      (values.variants ? Object.keys(variants) : [best]).map((variant) => ({
        name,
        key: values.variants ? `${name}: ${variant}` : name,
        variant: variants[variant],
      })),
    ),
    markdown: values.markdown,
    from: values.from,
  };
}

/** Another order for each round, so that each client is the first once. @template T @param {T[]} list @param {number} by */
const rotated = (list, by) => [...list.slice(by % list.length), ...list.slice(0, by % list.length)];

/** @param {ReturnType<typeof options>} options @returns {Promise<Result>} */
async function measure({ rounds, scenarios, entries }) {
  const started = performance.now();
  /** @type {Result} */
  const result = {
    at: new Date().toISOString(),
    minutes: 0,
    rounds,
    node: process.version,
    postgresql: 0,
    cpu: `${os.availableParallelism()} x ${os.cpus()[0]?.model}`,
    versions: {},
    measured: Object.fromEntries(
      scenarios.map(({ id }) => [id, Object.fromEntries(entries.map(({ key }) => [key, []]))]),
    ),
  };
  for (let number = 0; number < rounds; number++) {
    for (const scenario of scenarios) {
      for (const { name, key, variant } of rotated(entries, number)) {
        const title = `round ${number + 1} of ${rounds}  ${scenario.id.padEnd(12)}  ${key}`;
        try {
          const { version, postgresql, figures } = await round(
            scenario,
            path.join(__dirname, 'clients', name),
            variant,
          );
          result.versions[name] = version;
          result.postgresql = postgresql;
          result.measured[scenario.id][key].push(figures);
          const { failedWrites, failedReads, hung, lost, doubled, deposed, pauseMs, recovered } = figures;
          console.log(
            `${title}: failed ${failedWrites}+${failedReads}, hung ${hung}, lost ${lost}, doubled ${doubled}, ` +
              `by the old primary ${deposed}, pause ${Math.round(pauseMs)} ms, recovered: ${recovered}`,
          );
        } catch (error) {
          process.exitCode = 1;
          console.log(`${title}: FAILED: ${/** @type {Error} */ (error).stack}`);
        }
      }
    }
  }
  result.minutes = (performance.now() - started) / 60_000;
  return result;
}

/** @param {Result} result */
function save(result) {
  fs.mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `${result.at.replace(/[:.]/g, '-')}.json`);
  fs.writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`\nAll figures: ${path.relative(process.cwd(), file)}, ${result.minutes.toFixed(1)} minutes`);
}

async function main() {
  const given = options();
  /** @type {Result} */
  let result;
  if (given.from !== undefined) {
    const [first, ...others] = given.from.split(',').map((file) => JSON.parse(fs.readFileSync(file, 'utf8')));
    result = first;
    for (const { measured } of others) Object.assign(result.measured, measured);
  } else {
    if (process.env.HYPERION_HOSTS) throw new Error('it crashes servers, so it starts its own: unset HYPERION_HOSTS');
    installPeers();
    result = await measure(given);
    save(result);
  }
  console.log(`\n${given.markdown ? markdown(result) : terminal(result)}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
