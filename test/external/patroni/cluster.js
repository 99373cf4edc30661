'use strict';

// Three members and an etcd on this machine, made from nothing. Each member has an address of its own (127.0.0.1 to .3), and all
// have the same port, as on three machines. All files are in one folder, which the harness's watchdog removes.

const fs = require('node:fs');
const path = require('node:path');
const { newClusterFolder } = require('../../../exports/testing/cluster/files.js');
const { freePort } = require('../../../exports/testing/cluster/ports.js');
const { sweep } = require('../../../exports/testing/cluster/processes.js');
const { guard, release } = require('../../../exports/testing/cluster/reaper.js');
const { GiveUp, until } = require('../../../exports/testing/cluster/until.js');
const { Etcd } = require('./etcd');
const { Member } = require('./member');
const { APP } = require('./settings');

/** @typedef {import('./install').Programs} Programs */
/** @typedef {{ name: string, role: string, state: string, timeline?: number, lag?: number | string }} Seen a member, as /cluster has it */
/** @typedef {{ application_name: string, state: string, sync_state: string, behind: number }} Stream */

const WHOLE_MS = 180_000;
/** Characters of the log of a member that does not start. */
const LOG_KEPT = 2_000;
/** Agents report the timeline with some delay; what they report after this time is true. */
const BELIEVE_MS = 20_000;

/** Patroni itself has lost writes: it went back to a timeline below one that had accepted some. */
class RolledBackError extends Error {}

class PatroniCluster {
  #dispose;

  /** @param {{ members: Member[], etcd: Etcd, dispose: () => Promise<void> }} parts */
  constructor({ members, etcd, dispose }) {
    this.members = members;
    this.etcd = etcd;
    this.#dispose = dispose;
  }

  /** @param {Programs} programs */
  static async start(programs) {
    const dir = newClusterFolder();
    guard(dir);
    const dispose = async () => {
      await sweep(dir);
      release(dir);
    };
    /** @type {Member[]} */
    const members = [];
    try {
      fs.chmodSync(dir, 0o755); // the account of the servers must be able to enter
      const [port, restPort, etcdPort, peerPort] = [
        await freePort(),
        await freePort(),
        await freePort(),
        await freePort(),
      ];
      const etcd = new Etcd({ dir: path.join(dir, 'etcd'), port: etcdPort, peerPort, programs });
      for (const number of [1, 2, 3]) {
        const name = `n${number}`;
        const place = { name, host: `127.0.0.${number}`, port, restPort, dir: path.join(dir, name) };
        members.push(new Member(place, etcd, programs));
      }
      const cluster = new PatroniCluster({ members, etcd, dispose });
      await etcd.start();
      for (const member of members) member.startAgent();
      const leader = await cluster.whole();
      await leader.sql(`CREATE ROLE ${APP.user} LOGIN PASSWORD '${APP.password}'`, [], { database: 'postgres' });
      await leader.sql(`CREATE DATABASE ${APP.database} OWNER ${APP.user}`, [], { database: 'postgres' });
      return cluster;
    } catch (cause) {
      const logs = members.map((member) => `--- ${member.name}\n${member.log().slice(-LOG_KEPT)}`);
      await dispose();
      throw new Error(`the cluster did not start\n${logs.join('\n')}`, { cause });
    }
  }

  /** The options with which a pool reaches the cluster. */
  get login() {
    return { hosts: this.members.map(({ address }) => address), ...APP };
  }

  /** @param {string} name */
  member(name) {
    return /** @type {Member} */ (this.members.find((member) => member.name === name));
  }

  /**
   * Waits until the cluster is healthy: three members, all streaming from one leader, on its timeline and near its end, one of
   * them synchronous for Patroni and for PostgreSQL. "running" is not enough: a switchover in that moment can lose data.
   *
   * @param {number} [timeline] the highest on which a node has accepted writes
   * @returns {Promise<Member>} the leader
   * @throws {RolledBackError}
   */
  async whole(timeline = 0) {
    /** @type {unknown} */
    let seen;
    let belowSince = Infinity;
    try {
      return await until(
        'the cluster is whole',
        async () => {
          const members = await this.look();
          const leader = members.find(({ role }) => role === 'leader');
          seen = members;
          if (members.length !== 3 || leader === undefined || leader.state !== 'running') return null;
          const below = leader.timeline !== undefined && leader.timeline < timeline;
          belowSince = below ? Math.min(belowSince, Date.now()) : Infinity;
          if (Date.now() - belowSince > BELIEVE_MS) throw new GiveUp();
          if (below) return null;
          const others = members.filter((member) => member !== leader);
          if (others.filter(({ role }) => role === 'sync_standby').length !== 1) return null;
          if (!others.every(({ state }) => state === 'running' || state === 'streaming')) return null;
          if (!others.every(({ timeline }) => timeline === leader.timeline)) return null;
          const streams = await this.streamsOf(this.member(leader.name));
          seen = { members, streams };
          const steady = streams.filter(({ state, behind }) => state === 'streaming' && behind < 1024 ** 2);
          const synchronous = streams.filter(({ sync_state }) => sync_state === 'sync' || sync_state === 'quorum');
          return steady.length === 2 && synchronous.length > 0 ? this.member(leader.name) : null;
        },
        { timeoutMs: WHOLE_MS, everyMs: 100 },
      );
    } catch (error) {
      if (error instanceof GiveUp) {
        throw new RolledBackError(
          `Patroni went back to a timeline below ${timeline}, on which writes had been accepted: ${JSON.stringify(seen)}`,
        );
      }
      throw new Error(`the cluster does not become whole: ${JSON.stringify(seen)}`, { cause: error });
    }
  }

  /** The cluster as the first agent that answers sees it. @returns {Promise<Seen[]>} */
  async look() {
    const answers = this.members
      .filter(({ managed, frozen }) => managed && !frozen)
      .map(async (member) => JSON.parse((await member.ask('/cluster')).text).members);
    return Promise.any(answers);
  }

  /** @param {Member} leader @returns {Promise<Stream[]>} */
  async streamsOf(leader) {
    const rows = await leader.sql(
      `SELECT application_name, state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::float8 AS behind
         FROM pg_stat_replication`,
      [],
      { database: 'postgres' },
    );
    return /** @type {Stream[]} */ (rows);
  }

  /** Starts everything that was stopped. */
  async repair() {
    if (!this.etcd.running) await this.etcd.start();
    for (const member of this.members) {
      if (member.frozen) member.thaw();
      if (!member.managed) member.startAgent();
    }
  }

  stop() {
    return this.#dispose();
  }
}

exports.PatroniCluster = PatroniCluster;
exports.RolledBackError = RolledBackError;
