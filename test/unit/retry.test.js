'use strict';

// retry(): how often it calls, how long it pauses, what ends it, and what it rejects with. Against a server it is tested in
// test/server/classify.test.js.

const assert = require('node:assert/strict');
const _fs = require('node:fs');
const path = require('node:path');
const { describe } = require('node:test');
const { HyperionError, isTransient, retry } = require('../../client.js');
const { nextPause } = require('../../lib/api/retry.js');
const { failureOf, isPending, printedBy, range, sleep, test } = require('../support/helpers.js');

const NO_PAUSE = { minMs: 0, maxMs: 0 };
/** @param {string} code */
const failure = (code) => Object.assign(new Error(code), { code });

/** Work that fails with each of `errors` in turn and succeeds then; it notes the attempts. @param {...unknown} errors */
function failing(...errors) {
  /** @type {number[]} */
  const attempts = [];
  const work = async (/** @type {number} */ attempt) => {
    attempts.push(attempt);
    if (attempts.length <= errors.length) throw errors[attempts.length - 1];
    return 'done';
  };
  return { attempts, work };
}

describe('retry calls', () => {
  test('retry resolves with what the function returns, and calls it once', async () => {
    const { attempts, work } = failing();
    assert.equal(await retry(work), 'done');
    assert.deepEqual(attempts, [1]);
  });

  test('retry calls again after what is retryable, with the number of the attempt', async () => {
    const { attempts, work } = failing(failure('40001'), failure('40P01'));
    assert.equal(await retry(work, NO_PAUSE), 'done');
    assert.deepEqual(attempts, [1, 2, 3]);
  });

  test('retry throws the last error as it came when three attempts have failed', async () => {
    const errors = range(5).map(() => failure('40001'));
    const { attempts, work } = failing(...errors);
    assert.equal(await failureOf(retry(work, NO_PAUSE)), errors[2]);
    assert.deepEqual(attempts, [1, 2, 3]);
  });

  test('retry throws at once what is not retryable, whatever it is', async () => {
    for (const error of [failure('23505'), new Error('Connection terminated unexpectedly'), 'a string', undefined]) {
      const { attempts, work } = failing(error);
      assert.equal(await failureOf(retry(work, NO_PAUSE)), error);
      assert.deepEqual(attempts, [1]);
    }
  });

  test('retry with attempts: 1 calls once and does not ask `when`', async () => {
    const { attempts, work } = failing(failure('40001'));
    const when = () => assert.fail('asked');
    assert.equal((await failureOf(retry(work, { attempts: 1, when }))).code, '40001');
    assert.deepEqual(attempts, [1]);
  });

  test('retry takes a function that is not async: what it returns, and what it throws', async () => {
    let calls = 0;
    const work = () => {
      if (++calls === 1) throw failure('40001');
      return calls;
    };
    assert.equal(await retry(work, NO_PAUSE), 2);
  });

  test('retry takes undefined for an option as not given', async () => {
    const { attempts, work } = failing(failure('40001'));
    const options = { ...NO_PAUSE, attempts: undefined, signal: undefined, when: undefined };
    assert.equal(await retry(work, options), 'done');
    assert.equal(attempts.length, 2);
    assert.equal(await retry(work, undefined), 'done');
  });
});

describe('when', () => {
  test('retry asks `when` after each failure but the last, with the error', async () => {
    const errors = range(3).map((index) => failure(`E${index}`));
    /** @type {unknown[]} */
    const asked = [];
    const when = (/** @type {unknown} */ error) => asked.push(error) > 0;
    assert.equal(await failureOf(retry(failing(...errors).work, { ...NO_PAUSE, when })), errors[2]);
    assert.deepEqual(asked, errors.slice(0, 2));
  });

  test('retry calls again only where `when` says so', async () => {
    const lost = new Error('Connection terminated unexpectedly');
    assert.equal(await retry(failing(lost).work, { ...NO_PAUSE, when: isTransient }), 'done');
    assert.equal(await failureOf(retry(failing(lost).work, { ...NO_PAUSE, when: () => false })), lost);
    assert.equal(
      await failureOf(retry(failing(lost).work, { ...NO_PAUSE, when: /** @type {any} */ (() => {}) })),
      lost,
    );
  });

  test('retry refuses a promise of `when`, which would be true whatever it resolves to', async () => {
    const error = failure('40001');
    const when = /** @type {any} */ (async () => false);
    const refusal = await failureOf(retry(failing(error).work, { ...NO_PAUSE, when }));
    assert.deepEqual(
      [refusal.code, refusal.message],
      ['ERR_INVALID_PARAM', 'when must return a boolean, not a promise'],
    );
    assert.equal(refusal.cause, error);
  });

  test('retry rejects with what `when` throws', async () => {
    const mistake = new Error('mistake');
    const when = () => {
      throw mistake;
    };
    assert.equal(await failureOf(retry(failing(failure('40001')).work, { when })), mistake);
  });
});

describe('onRetry', () => {
  test('retry tells onRetry of each pause before it begins: the attempt that failed, the pause, the error', async (t) => {
    t.mock.method(Math, 'random', () => 1);
    const errors = range(3).map(() => failure('40001'));
    const { attempts, work } = failing(...errors);
    /** @type {unknown[]} */
    const told = [];
    const onRetry = (/** @type {object} */ retrying) => told.push({ ...retrying, calls: attempts.length });
    assert.equal(await failureOf(retry(work, { minMs: 1, maxMs: 4, onRetry })), errors[2]);
    assert.deepEqual(told, [
      { attempt: 1, pauseMs: 3, error: errors[0], calls: 1 },
      { attempt: 2, pauseMs: 4, error: errors[1], calls: 2 },
    ]);
  });

  test('retry does not tell onRetry of what is not called again', async () => {
    const onRetry = () => assert.fail('told');
    assert.equal((await failureOf(retry(failing(failure('23505')).work, { onRetry }))).code, '23505');
    assert.equal(await retry(failing().work, { onRetry }), 'done');
  });

  test('retry swallows what onRetry throws, and what it rejects with', async () => {
    let told = 0;
    const fail = () => {
      told += 1;
      throw new Error('an observer');
    };
    const code = `
      const { retry } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'client.js'))});
      const work = (attempt) => { if (attempt < 3) throw { code: '40001' }; return attempt; };
      print(await retry(work, { minMs: 0, maxMs: 0, onRetry: async () => { throw new Error('an observer'); } }));`;
    assert.equal(await retry(failing(failure('40001'), failure('40001')).work, { ...NO_PAUSE, onRetry: fail }), 'done');
    assert.equal(told, 2);
    assert.deepEqual(await printedBy(null, code, { load: false }), ['3']);
  });
});

describe('pauses', () => {
  test('a pause is random between minMs and three times the one before it, and at most maxMs', () => {
    const bounds = { minMs: 50, maxMs: 2_000 };
    for (const [previous, random, expected] of [
      [50, 0, 50],
      [50, 0.5, 100],
      [50, 1, 150],
      [150, 0, 50],
      [150, 1, 450],
      [1_000, 0.5, 1_525],
      [1_000, 1, 2_000],
      [2_000, 1, 2_000],
    ]) {
      assert.equal(
        nextPause(previous, bounds, () => random),
        expected,
        `${previous} ${random}`,
      );
    }
  });

  test('retry pauses as the formula says: the pause before counts', async (t) => {
    t.mock.method(Math, 'random', () => 1);
    /** @type {number[]} */
    const pauses = [];
    const real = performance.now.bind(performance);
    let last = real();
    const work = () => {
      pauses.push(real() - last);
      last = real();
      throw failure('40001');
    };
    await failureOf(retry(work, { attempts: 4, minMs: 20, maxMs: 100 }));
    // 60, then 180 and 540, which are cut to maxMs. A timer is never early by more than a millisecond.
    for (const [index, least] of [0, 59, 99, 99].entries()) assert.ok(pauses[index] >= least, `${pauses}`);
  });

  test('a pause keeps the process alive, and nothing does after it', async () => {
    const code = `
      const { retry } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'client.js'))});
      const work = (attempt) => { if (attempt < 3) throw { code: '40001' }; return attempt; };
      print(await retry(work, { minMs: 30, maxMs: 30, signal: new AbortController().signal }));`;
    assert.deepEqual(await printedBy(null, code, { load: false }), ['3']);
  });
});

describe('signal', () => {
  test('a signal that has fired before: nothing is called', async () => {
    const reason = new Error('no time');
    const { attempts, work } = failing();
    const error = await failureOf(retry(work, { signal: AbortSignal.abort(reason) }));
    assert.deepEqual([error.name, error.code, error.outcome], ['AbortError', 'ABORT_ERR', 'not-applied']);
    assert.ok(error instanceof HyperionError);
    assert.equal(error.cause, reason);
    assert.deepEqual(attempts, []);
  });

  test('a signal that fires in a pause ends it at once, and nothing is called any more', async () => {
    const controller = new AbortController();
    const { attempts, work } = failing(failure('40001'));
    const running = retry(work, { minMs: 3_600_000, maxMs: 3_600_000, signal: controller.signal });
    assert.equal(await isPending(running), true);
    controller.abort('over');
    const error = await failureOf(running);
    assert.deepEqual([error.code, error.cause, error.outcome], ['ABORT_ERR', 'over', 'not-applied']);
    assert.deepEqual(attempts, [1]);
  });

  test('a signal that fires while the function runs: it ends by itself, and is not called again', async () => {
    const controller = new AbortController();
    let calls = 0;
    const work = async () => {
      calls += 1;
      controller.abort('over');
      await sleep(1);
      if (calls < 3) throw failure('40001');
    };
    const error = await failureOf(retry(work, { signal: controller.signal }));
    assert.deepEqual([error.code, error.cause, calls], ['ABORT_ERR', 'over', 1]);
    const { signal } = new AbortController();
    assert.equal(await retry(() => 'done', { signal }), 'done');
  });

  test('a signal that fires while the function runs does not hide an error that ends it, or its success', async () => {
    const controller = new AbortController();
    const error = failure('23505');
    const abortAnd = (/** @type {() => unknown} */ then) => () => {
      controller.abort();
      return then();
    };
    const fail = () => {
      throw error;
    };
    assert.equal(await failureOf(retry(abortAnd(fail), { signal: controller.signal })), error);
    const other = new AbortController();
    const succeed = () => {
      other.abort();
      return 'done';
    };
    assert.equal(await retry(succeed, { signal: other.signal }), 'done');
  });

  for (const [title, error, outcome] of /** @type {[string, unknown, string][]} */ ([
    ['a lost connection', new Error('Connection terminated unexpectedly'), 'unknown'],
    ['a serialization failure', failure('40001'), 'not-applied'],
    [
      'an error of ours that changed nothing',
      Object.assign(new HyperionError('x', '23505'), { outcome: 'not-applied' }),
      'not-applied',
    ],
    [
      'an error of ours that was applied',
      Object.assign(new HyperionError('x', 'ERR_NO_ROWS'), { outcome: 'applied' }),
      'unknown',
    ],
  ])) {
    test(`the outcome of an AbortError in the pause after ${title} is ${outcome}`, async () => {
      const controller = new AbortController();
      const again = failure('40001');
      const { work } = failing(error, again);
      const running = retry(
        (attempt) => {
          if (attempt === 2) controller.abort();
          return work(attempt);
        },
        { ...NO_PAUSE, signal: controller.signal, when: () => true },
      );
      const aborted = await failureOf(running);
      assert.deepEqual([aborted.code, aborted.outcome], ['ABORT_ERR', outcome]);
    });
  }

  test('one signal ends many pauses, without a warning of a leak', async () => {
    const code = `
      const { retry } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'client.js'))});
      const controller = new AbortController();
      const fail = () => { throw { code: '40001' }; };
      const all = Array.from({ length: 30 }, () => retry(fail, { minMs: 60000, maxMs: 60000, signal: controller.signal }));
      setTimeout(() => controller.abort(), 20);
      print(new Set((await Promise.allSettled(all)).map(({ reason }) => reason.code)).size);`;
    assert.deepEqual(await printedBy(null, code, { load: false }), ['1']);
  });
});

describe('arguments', () => {
  for (const [title, args, message] of /** @type {[string, unknown[], string][]} */ ([
    ['no function', [undefined], 'retry needs a function'],
    ['a promise', [Promise.resolve()], 'retry needs a function'],
    ['options that are none', [() => {}, 5], 'options must be an object, not number'],
    ['an unknown option', [() => {}, { attemps: 1 }], "unknown option 'attemps': did you mean 'attempts'?"],
    ['attempts: 0', [() => {}, { attempts: 0 }], `attempts must be from 1 to ${Number.MAX_SAFE_INTEGER}, not 0`],
    ['attempts: 1.5', [() => {}, { attempts: 1.5 }], 'attempts must be an integer, not 1.5'],
    ['attempts: Infinity', [() => {}, { attempts: Infinity }], 'attempts must be an integer, not Infinity'],
    ['minMs: -1', [() => {}, { minMs: -1 }], 'minMs must be from 0 to 2147483647, not -1'],
    ['maxMs: a string', [() => {}, { maxMs: '1' }], 'maxMs must be an integer, not string'],
    [
      'minMs over the default of maxMs',
      [() => {}, { minMs: 5_000 }],
      'minMs (5000) must not be larger than maxMs (2000)',
    ],
    ['maxMs under the default of minMs', [() => {}, { maxMs: 10 }], 'minMs (50) must not be larger than maxMs (10)'],
    ['signal: a controller', [() => {}, { signal: new AbortController() }], 'signal must be an AbortSignal'],
    ['when: a boolean', [() => {}, { when: true }], 'when must be a function, not boolean'],
    ['onRetry: a string', [() => {}, { onRetry: 'x' }], 'onRetry must be a function, not string'],
  ])) {
    test(`retry refuses ${title}`, async () => {
      const error = await failureOf(/** @type {any} */ (retry)(...args));
      assert.deepEqual([error.name, error.code, error.message], ['ParameterError', 'ERR_INVALID_PARAM', message]);
    });
  }
});
