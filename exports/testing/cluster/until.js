'use strict';

// Waiting. Nothing in the harness sleeps for a fixed time: it asks again and again until a condition is true, and gives up with
// the name of that condition. The deadline is only there so that a broken test ends; no test should depend on it.

const { setTimeout: sleep } = require('node:timers/promises');

const DEADLINE_MS = 60_000;

/**
 * Resolves with the first truthy answer of `probe`. A probe that throws counts as "not yet"; its last error becomes the
 * cause when time is up. Throw a {@link GiveUp} from the probe to end the wait at once.
 *
 * @template T
 * @param {string} fact what we wait for, as it should read in the error
 * @param {() => T | Promise<T>} probe
 * @param {{ timeoutMs?: number, everyMs?: number }} [options]
 * @returns {Promise<NonNullable<T>>}
 */
async function until(fact, probe, { timeoutMs = DEADLINE_MS, everyMs = 10 } = {}) {
  const deadline = Date.now() + timeoutMs;
  let lastError;
  for (;;) {
    try {
      const answer = await probe();
      if (answer) return answer;
      lastError = undefined;
    } catch (error) {
      if (error instanceof GiveUp) throw error;
      lastError = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(`waited ${timeoutMs} ms in vain: ${fact}`, { cause: lastError });
    }
    await sleep(everyMs);
  }
}

/** Thrown by a probe: waiting longer is of no use. */
class GiveUp extends Error {}

exports.until = until;
exports.GiveUp = GiveUp;
