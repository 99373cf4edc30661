'use strict';

// The option `lease` of createPool: what the sessions of a pool are called, how that is renewed, and whose sessions are ended. A row for
// each member. What depends on other options (the password, the environment) is checked when those are known.

const { OptionError } = require('../errors.js');
const { newInstance, secretsOf, serviceToken } = require('../values/lease.js');
const { boolean, choice, count, filled, members, ms, share } = require('./validate.js');

/** @typedef {import('./validate.js').Rows} Rows */

const REQUIRED = 'required';
const DEFAULT_SERVICE = 'sls_pg';
const SOFT_MS = 30_000;
const HARD_MS = 5_000;
/** A year. */
const LONGEST_IDLE_SEC = 31_536_000;

/** @param {unknown} value @param {string} name */
const secrets = (value, name) =>
  value === null ? null : secretsOf(value, name, (message) => new OptionError(message));

/** @satisfies {Rows} */
const LEASE = {
  coordinationSecret: {
    type: 'string | Uint8Array | ReadonlyArray<string | Uint8Array> | null',
    value: null,
    preset: "none, which only `leaseMode: 'optional'` allows",
    check: secrets,
    text: 'what the leases are signed with: at least 16 bytes, the same in all processes of the service, and not the password',
    more: 'An array is for rotation: the first secret signs, all verify. It is never printed.',
  },
  leaseMode: {
    type: "'required' | 'optional'",
    value: REQUIRED,
    check: choice([REQUIRED, 'optional']),
    text: "`'optional'`: without a secret, and behind a transaction pooler, the pool works without leases, and says so once",
  },
  serviceName: {
    type: 'string',
    preset: `\`AWS_LAMBDA_FUNCTION_NAME\`, \`'${DEFAULT_SERVICE}'\``,
    check: filled,
    text: 'whose sessions these are: a process ends only expired sessions of its own service',
    more:
      'Characters other than `A-Z a-z 0-9 : _ -` become `_`; a name of more than 20 characters keeps its first 11, and ends in `-` ' +
      'and 8 digits of its SHA-1.',
  },
  leaseTtlMs: {
    type: 'number',
    value: 90_000,
    check: ms(100),
    text: 'for how long a lease is valid after its last renewal',
  },
  heartbeatSoftRemainingMs: {
    type: 'number',
    preset: '30000, or a third of `leaseTtlMs` if that is less',
    check: ms(1),
    text: 'with less than this left a lease is renewed in the background; less than `leaseTtlMs`',
  },
  heartbeatHardWaitRemainingMs: {
    type: 'number',
    preset: '5000, or a sixth of `heartbeatSoftRemainingMs` if that is less',
    check: ms(0),
    text: 'with less than this left a lease is renewed before a statement is sent; at most `heartbeatSoftRemainingMs`',
  },
  heartbeatTimeoutMs: {
    type: 'number',
    value: 2_000,
    check: ms(1),
    text: 'how long a renewal may take',
  },
  heartbeatErrorMode: {
    type: "'reconnect' | 'swallow' | 'throw'",
    value: 'reconnect',
    check: choice(['reconnect', 'swallow', 'throw']),
    text: 'what a failed renewal does: the statement gets a new session, goes on in the old one, or fails with the error',
  },
  reaper: {
    type: 'boolean',
    value: true,
    check: boolean,
    text: 'whether expired sessions are ended by themselves; `pool.reap()` works all the same',
  },
  reaperRunProbability: {
    type: 'number',
    value: 0.1,
    check: share,
    text: 'how likely a pass is after a connect, from 0 to 1',
    more:
      'While the server has less than a fifth of its connections left, or has refused a connect before for want of one (53300), each ' +
      'connect is followed by a pass, unless the probability is 0 or `reaper` is false.',
  },
  reaperCooldownMs: {
    type: 'number',
    value: 30_000,
    check: ms(0),
    text: 'the time between two passes of a process for a service, ±10 %; it grows while other processes run theirs',
  },
  minConnectionIdleTimeSec: {
    type: 'number',
    value: 180,
    check: count(0, LONGEST_IDLE_SEC),
    text: 'a session that has been idle for less than this is not ended, in seconds',
  },
  maxIdleConnectionsToKill: {
    type: 'number',
    value: 10,
    check: count(1, 100_000),
    text: 'how many sessions a pass ends at most on a node, those that expired first before others',
  },
  reaperErrorMode: {
    type: "'swallow' | 'throw'",
    value: 'swallow',
    check: choice(['swallow', 'throw']),
    text: "`'throw'`: `pool.reap()` rejects with the error of a pass; else only the event `lease` has it",
  },
};

/** @param {unknown} value @returns {Record<string, any> | null} */
function lease(value) {
  if (value === null) return null;
  const checked = members('lease', value, LEASE);
  const { leaseTtlMs: ttl } = checked;
  checked.heartbeatSoftRemainingMs ??= Math.min(SOFT_MS, Math.floor(ttl / 3));
  const { heartbeatSoftRemainingMs: soft } = checked;
  checked.heartbeatHardWaitRemainingMs ??= Math.min(HARD_MS, Math.floor(soft / 6));
  const { heartbeatHardWaitRemainingMs: hard } = checked;
  if (soft >= ttl) {
    throw new OptionError(`lease.heartbeatSoftRemainingMs (${soft}) must be less than lease.leaseTtlMs (${ttl})`);
  }
  if (hard > soft) {
    throw new OptionError(
      `lease.heartbeatHardWaitRemainingMs (${hard}) must not be more than lease.heartbeatSoftRemainingMs (${soft})`,
    );
  }
  return checked;
}

let warned = false;

/** Says once in a process that there is no lease. @param {string} reason */
function warnWithoutLease(reason) {
  if (warned) return;
  warned = true;
  process.emitWarning(`hyperiondb-client: ${reason}, so sessions have no leases and expired ones are not ended`, {
    code: 'HYPERION_NO_LEASE',
  });
}

/**
 * The complete option; null: no leases.
 * @param {Record<string, any> | null} checked
 * @param {NodeJS.ProcessEnv} env
 */
function completeLease(checked, env) {
  if (checked === null) return null;
  if (checked.coordinationSecret === null) {
    if (checked.leaseMode === REQUIRED) throw new OptionError('lease.coordinationSecret is missing');
    warnWithoutLease('lease.coordinationSecret is missing');
    return null;
  }
  const serviceName = checked.serviceName ?? (env.AWS_LAMBDA_FUNCTION_NAME || DEFAULT_SERVICE);
  return Object.freeze({ ...checked, serviceName, service: serviceToken(serviceName), instance: newInstance() });
}

/**
 * Refuses a password that is a secret of the lease, too: whoever may verify leases could log in.
 * @param {Record<string, any> | null} complete
 * @param {unknown} password
 */
function refuseSecretAsPassword(complete, password) {
  if (complete === null || typeof password !== 'string') return;
  const bytes = Buffer.from(password);
  if (complete.coordinationSecret.all().some((/** @type {Buffer} */ secret) => secret.equals(bytes))) {
    throw new OptionError('lease.coordinationSecret must not be the password');
  }
}

/** The option as the core reads it. @param {Record<string, any> | null} complete */
function leaseForCore(complete) {
  if (complete === null) return null;
  return {
    service: complete.service,
    instance: complete.instance,
    secret: complete.coordinationSecret.all()[0].toString('base64'),
    ttlMs: complete.leaseTtlMs,
    softMs: complete.heartbeatSoftRemainingMs,
    hardMs: complete.heartbeatHardWaitRemainingMs,
    timeoutMs: complete.heartbeatTimeoutMs,
    onFailure: complete.heartbeatErrorMode,
    required: complete.leaseMode === REQUIRED,
  };
}

module.exports = { LEASE, completeLease, lease, leaseForCore, refuseSecretAsPassword, warnWithoutLease };
