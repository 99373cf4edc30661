// Type tests of errors: each class has its codes, and other strings are no codes. Compiled, never run.

import {
  type AbortError,
  type AcquireTimeoutError,
  ConnectionLostError,
  DatabaseError,
  type ConstraintKind,
  type ErrorCode,
  HyperionError,
  isConnectionError,
  isConstraintViolation,
  isRetryable,
  isTransient,
  NoPrimaryError,
  type NoRowsError,
  NoStandbyError,
  type OptionError,
  type Outcome,
  ParameterError,
  type PoolClosedError,
  type QueryTimeoutError,
  type RetryOptions,
  retry,
  type SqlState,
  sqlState,
  TlsError,
  type TooManyRowsError,
} from '../../client.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => {};

same<Equal<NoPrimaryError['code'], 'ERR_NO_PRIMARY'>>();
same<Equal<NoStandbyError['code'], 'ERR_NO_STANDBY'>>();
same<Equal<TlsError['code'], 'ERR_TLS'>>();
same<Equal<AcquireTimeoutError['code'], 'ERR_ACQUIRE_TIMEOUT'>>();
same<Equal<ConnectionLostError['code'], 'ERR_CONNECTION_LOST' | 'ERR_OUTCOME_UNKNOWN'>>();
same<Equal<QueryTimeoutError['code'], '57014'>>();
same<Equal<AbortError['code'], 'ABORT_ERR'>>();
same<Equal<PoolClosedError['code'], 'ERR_POOL_CLOSED'>>();
same<Equal<OptionError['code'], 'ERR_INVALID_OPTION'>>();
same<Equal<ParameterError['code'], 'ERR_INVALID_PARAM'>>();
same<Equal<NoRowsError['code'], 'ERR_NO_ROWS'>>();
same<Equal<TooManyRowsError['code'], 'ERR_TOO_MANY_ROWS' | 'ERR_TOO_MANY_COLUMNS'>>();
same<Equal<DatabaseError['code'], SqlState>>();
same<Equal<HyperionError['retryable'], boolean>>();
same<Equal<HyperionError['outcome'], Outcome | undefined>>();
same<Equal<Outcome, 'not-applied' | 'applied' | 'unknown'>>();

const code: ErrorCode = 'ERR_TRANSACTION_OPEN';
// @ts-expect-error there is no such code
const none: ErrorCode = 'ERR_NO_SUCH_THING';

export function tell(error: unknown): unknown {
  // @ts-expect-error only what is known to be ours has a code
  void error.code;
  if (!(error instanceof HyperionError)) return [code, none];
  if (error instanceof ConnectionLostError) {
    // @ts-expect-error it has two codes, and this is none of them
    if (error.code === 'ERR_TLS') return null;
    return error.code === 'ERR_OUTCOME_UNKNOWN' ? error.outcome : error.attempts;
  }
  if (error instanceof NoPrimaryError) return error.nodes.map(({ host, port, reason }) => `${host}:${port}: ${reason}`);
  if (error instanceof NoStandbyError) return error.nodes.map(({ host, port, reason }) => `${host}:${port}: ${reason}`);
  if (error instanceof DatabaseError) {
    // @ts-expect-error only a parameter's error and the server's know of rows
    void new TlsError('', 'ERR_TLS').row;
    return error.code === '23505' ? error.constraint?.toUpperCase() : error.row?.toFixed();
  }
  if (error instanceof ParameterError) return error.column?.toUpperCase();
  // @ts-expect-error what is told cannot be changed
  error.code = 'ERR_TLS';
  return error.statementIndex;
}

export async function ask(error: unknown, kind: ConstraintKind): Promise<number> {
  const answers: boolean[] = [isRetryable(error), isTransient(error), isConnectionError(error)];
  const name: string | undefined = sqlState(error);
  void [answers, name, isConstraintViolation(error), isConstraintViolation(error, kind)];
  // @ts-expect-error there is no such kind
  isConstraintViolation(error, 'uniqe');
  // Not narrowed: that it is no violation does not make it another class.
  if (error instanceof DatabaseError && !isConstraintViolation(error, 'unique')) void error.code.length;

  const options: Required<RetryOptions> = {
    attempts: 5,
    minMs: 10,
    maxMs: 100,
    signal: AbortSignal.timeout(1),
    when: isTransient,
    onRetry: ({ attempt, pauseMs, error }) => {
      same<Equal<[typeof attempt, typeof pauseMs, typeof error], [number, number, unknown]>>();
    },
  };
  same<Equal<Awaited<ReturnType<typeof retry<string>>>, string>>();
  await retry(() => {});
  // @ts-expect-error a promise is no answer
  void retry(async () => 1, { when: async () => true });
  // @ts-expect-error unknown option
  void retry(async () => 1, { attemps: 1 });
  return retry(async (attempt) => attempt * 2, options);
}
