'use strict';

// `npm run test:patroni`: a pool against a cluster that Patroni manages, under every fault that can be made here.
//
//   npm run test:patroni -- [--rounds 5] [--only crash,freeze] [--seed 1]
//
// It installs what it needs (install.js) or says what is missing and ends with exit code 2. A violation of what the pool promises
// is exit code 1. The record goes to test/external/patroni/results/ (JSON), a line for each round and a table to the terminal.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Random, seedFrom } = require('../../chaos/random');
const { PatroniCluster, RolledBackError } = require('./cluster');
const { MissingError, isSound, programs } = require('./install');
const { lineOf, tableOf } = require('./report');
const { playRound } = require('./round');
const { SCENARIOS } = require('./scenarios');
const { clockFor } = require('./settings');

/** @typedef {import('./round').Round} Round */

const RESULTS = path.join(__dirname, 'results');
const EXIT = { violated: 1, cannotRun: 2, interrupted: 130 };
/** The most rounds of a run that may be void because Patroni itself lost writes. */
const VOIDS = 3;

/** Wrong arguments. */
class UsageError extends Error {}

/** @param {string | undefined} text */
function seed(text) {
  try {
    return seedFrom(text, '--seed');
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
}

function options() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      only: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new UsageError(`--rounds: '${values.rounds}' is not a count`);
  const names = SCENARIOS.map(({ name }) => name);
  const chosen = values.only?.split(',') ?? names;
  const stranger = chosen.find((name) => !names.includes(name));
  if (stranger !== undefined) throw new UsageError(`--only: '${stranger}' is none of ${names.join(', ')}`);
  return { rounds, seed: seed(values.seed), scenarios: SCENARIOS.filter(({ name }) => chosen.includes(name)) };
}

/** @param {string} name @param {string} text @returns {string} the file */
function save(name, text) {
  fs.mkdirSync(RESULTS, { recursive: true });
  const file = path.join(RESULTS, `${new Date().toISOString().replace(/[:.]/g, '-')}${name}`);
  fs.writeFileSync(file, text);
  return path.relative(process.cwd(), file);
}

/** @param {PatroniCluster} cluster */
const saveLogs = (cluster) => cluster.members.map((member) => save(`-${member.name}.log`, member.log())).join(', ');

/** @param {import('../../chaos/history').History} history */
const saveHistory = (history) =>
  save(
    '-history.json',
    JSON.stringify(history, (_, value) => (value instanceof Map ? [...value] : value)),
  );

async function main() {
  const { rounds: count, seed, scenarios } = options();
  const found = await programs();
  const header = {
    seed,
    postgres: found.postgres.version,
    patroni: found.patroni.version,
    etcd: found.etcd.version,
    clock: clockFor(found.patroni.version),
    node: process.version,
    cpus: os.cpus().length,
  };
  console.log(
    `PostgreSQL ${header.postgres}, Patroni ${header.patroni} (${JSON.stringify(header.clock)}), etcd ${header.etcd}, seed ${seed}`,
  );
  if (!isSound(found.patroni))
    console.log('This Patroni can lose writes by itself (test/external/patroni/install.js): such rounds are void.');
  /** @type {Round[]} */
  const rounds = [];
  /** @type {string[]} */
  const voids = [];
  const conclude = () => {
    if (rounds.length === 0) return;
    console.log(`\n${tableOf(rounds)}\n`);
    if (voids.length > 0) console.log(`Void, by Patroni's doing: ${voids.length}\n`);
    console.log(`Everything: ${save('.json', `${JSON.stringify({ ...header, voids, rounds }, null, 1)}\n`)}`);
  };
  // The watchdog (exports/testing/cluster/reaper.js) removes what is left.
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
    process.once(name, () => {
      conclude();
      process.exit(EXIT.interrupted);
    });
  }
  let cluster = await PatroniCluster.start(found);
  try {
    for (let number = 1; number <= count; number += 1) {
      for (const scenario of scenarios) {
        for (let attempt = 0; ; attempt += 1) {
          // A sequence of its own for each round, so that --only repeats it.
          const random = new Random(seed).fork(`${scenario.name} ${number} ${attempt}`);
          try {
            const { round, history } = await playRound(cluster, scenario, random);
            rounds.push(round);
            console.log(lineOf(round, number));
            if (round.violations.length > 0) {
              console.log(
                `  what everybody was told: ${saveHistory(history)}; what the members said: ${saveLogs(cluster)}`,
              );
            }
            break;
          } catch (error) {
            if (!(error instanceof RolledBackError) || voids.length === VOIDS) throw error;
            // The round proves nothing about the pool, and the cluster does not recover.
            voids.push(`${scenario.name} ${number}: ${error.message}`);
            console.log(`${scenario.name} ${number}: VOID, again on a new cluster: ${error.message}`);
            console.log(`  what the members said: ${saveLogs(cluster)}`);
            await cluster.stop();
            cluster = await PatroniCluster.start(found);
          }
        }
      }
    }
  } catch (error) {
    console.error(`The run broke off; what the members said: ${saveLogs(cluster)}`);
    throw error;
  } finally {
    await cluster.stop();
    conclude();
  }
  return rounds.some(({ violations }) => violations.length > 0) ? EXIT.violated : 0;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    const expected =
      error instanceof MissingError || error instanceof UsageError || error.code?.startsWith('ERR_PARSE_ARGS');
    console.error(expected ? error.message : error);
    process.exit(expected ? EXIT.cannotRun : EXIT.violated);
  },
);
