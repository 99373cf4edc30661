'use strict';

// retry(): runs a function again when its failure allows that. For work of the caller that is more than one call of the pool, or
// that runs on another client: pool.transaction() has `retries` of its own, and a statement of the pool is run again by the core.

const { setMaxListeners } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { HyperionError, ParameterError, aborted } = require('../errors.js');
const { QUERY, callOptions } = require('../options/call-options.js');
const { count, fn, ms } = require('../options/validate.js');
const { isRetryable } = require('./classify.js');

/** @typedef {import('../options/validate.js').Rows} Rows */

/** The options, of which `interface RetryOptions` of client.d.ts is written. @satisfies {Rows} */
const RETRY = {
  attempts: {
    type: 'number',
    value: 3,
    check: count(1, Number.MAX_SAFE_INTEGER),
    text: 'how often the function is called at most, the first call included',
  },
  minMs: {
    type: 'number',
    value: 50,
    check: ms(0),
    text: 'the shortest pause between two calls',
  },
  maxMs: {
    type: 'number',
    value: 2_000,
    check: ms(0),
    text: 'the longest pause between two calls',
  },
  signal: {
    type: 'AbortSignal',
    preset: 'none',
    check: QUERY.signal.check,
    text: 'when it fires a pause ends at once and the function is not called again: {@link AbortError}',
    more: 'A call that is running is not ended by it: give it to the statements of the function, too.',
  },
  when: {
    type: '(error: unknown) => boolean',
    preset: '`isRetryable`',
    check: fn,
    text: 'whether the function is called again after this error; it must answer at once, without a promise',
  },
  onRetry: {
    type: '(retry: { attempt: number; pauseMs: number; error: unknown }) => void',
    preset: 'none',
    check: fn,
    text: 'called before each pause: `attempt` is the one that failed with `error`, from 1',
    more: 'It only observes: it is not waited for, and what it throws, or rejects with, is swallowed.',
  },
};

/** @param {unknown} options */
function checked(options) {
  const given = callOptions(options, RETRY);
  const { attempts = RETRY.attempts.value, minMs = RETRY.minMs.value, maxMs = RETRY.maxMs.value } = given;
  if (minMs > maxMs) throw new ParameterError(`minMs (${minMs}) must not be larger than maxMs (${maxMs})`);
  return { attempts, minMs, maxMs, signal: given.signal, when: given.when ?? isRetryable, onRetry: given.onRetry };
}

/**
 * The next pause: decorrelated jitter, so that callers who failed at the same time do not come back at the same time (AWS
 * Architecture Blog, "Exponential Backoff And Jitter").
 * @param {number} previous the pause before it, at first minMs
 * @param {{ minMs: number, maxMs: number }} bounds
 * @param {() => number} [random] from 0 to 1
 */
const nextPause = (previous, { minMs, maxMs }, random = Math.random) =>
  Math.round(Math.min(maxMs, minMs + random() * (3 * previous - minMs)));

/** @param {(error: unknown) => unknown} when @param {unknown} error */
function mayRunAgain(when, error) {
  const answer = when(error);
  // A promise is true for JavaScript, whatever it resolves to.
  if (typeof (/** @type {any} */ (answer)?.then) === 'function') {
    throw new ParameterError('when must return a boolean, not a promise', { cause: error });
  }
  return Boolean(answer);
}

/** @param {(retry: object) => unknown} onRetry @param {{ attempt: number, pauseMs: number, error: unknown }} retry */
function tell(onRetry, retry) {
  try {
    Promise.resolve(onRetry(retry)).catch(() => {});
  } catch {
    // Who only observes does not decide whether the work goes on.
  }
}

/** Whether work that failed so has certainly changed nothing. @param {unknown} error */
const leftNothing = (error) =>
  error instanceof HyperionError && 'outcome' in error ? error.outcome === 'not-applied' : isRetryable(error);

/**
 * @param {number} pause
 * @param {AbortSignal | undefined} signal
 * @param {string} outcome of the calls so far
 */
async function pauseFor(pause, signal, outcome) {
  // One signal may end many pauses at a time: Node must not warn of a leak.
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
  try {
    await sleep(pause, undefined, { signal });
  } catch (error) {
    throw signal === undefined ? error : aborted(signal, outcome);
  }
}

/**
 * Calls a function until it succeeds, its failure does not allow another call, or the attempts are used up: then it throws the last
 * error as it came.
 * @template T
 * @param {(attempt: number) => Promise<T> | T} work attempt: from 1
 * @param {unknown} [options]
 * @returns {Promise<T>}
 */
async function retry(work, options) {
  if (typeof work !== 'function') throw new ParameterError('retry needs a function');
  const { attempts, signal, when, onRetry, ...bounds } = checked(options);
  if (signal?.aborted) throw aborted(signal);
  let pause = bounds.minMs;
  let outcome = 'not-applied';
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attempts || !mayRunAgain(when, error)) throw error;
      if (!leftNothing(error)) outcome = 'unknown';
      pause = nextPause(pause, bounds);
      if (onRetry !== undefined) tell(onRetry, { attempt, pauseMs: pause, error });
      await pauseFor(pause, signal, outcome);
    }
  }
}

module.exports = { RETRY, nextPause, retry };
