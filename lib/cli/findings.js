'use strict';

// Judges the facts that `doctor` has collected: pure functions, so that every judgement is a line of a table in
// test/unit/doctor.findings.test.js. A finding of the level `wrong` has a cure where one is known.

const { isSeen, verdict, writable } = require('./topology.js');
const { bytes, duration, label, printable } = require('./format.js');

/** @typedef {import('./topology.js').Node} Node */
/** @typedef {import('./machine.js').Machine} Machine */
/** @typedef {import('./machine.js').Addon} Addon */
/** @typedef {import('./examination.js').Server} Server */
/** @typedef {'ok' | 'note' | 'wrong'} Level `note`: worth knowing, but does not change the exit code */
/** @typedef {{ level: Level, subject: string, text: string, cure?: string }} Finding `subject`: the title of its paragraph */

const [OLDEST, NEWEST] = [13, 18];
const LEAST_NODE = 20;
/** With a larger difference, the logs of two machines cannot be put in order. */
const CLOCK_MS = 1_000;
/** A standby that is further behind does not help at a failover. */
const LAG_MS = 30_000;
/** From this share of used connections on, the level is `wrong`. */
const FULL = 0.8;

/** @param {string} subject @returns {Record<Level, (text: string, cure?: string) => Finding>} */
const about = (subject) => ({
  ok: (text) => ({ level: 'ok', subject, text }),
  note: (text, cure) => ({ level: 'note', subject, text, ...(cure ? { cure } : {}) }),
  wrong: (text, cure) => ({ level: 'wrong', subject, text, ...(cure ? { cure } : {}) }),
});

/** @param {Machine} machine @returns {Finding[]} */
function machineFindings({ package: version, node, napi, platform, arch, libc, os }) {
  const { ok, wrong } = about('this machine');
  const text = `hyperiondb-client ${version}, Node ${node}, Node-API ${napi}, ${platform} ${arch}${libc === null ? '' : `, ${libc}`} (${os})`;
  const major = Number(/^v(\d+)/.exec(node)?.[1]);
  return [major >= LEAST_NODE ? ok(text) : wrong(text, `Node ${LEAST_NODE} or later is needed`)];
}

/** @param {Addon} addon @returns {Finding[]} */
function addonFindings({ target, package: name, path, bytes: size, error }) {
  const { ok, wrong } = about('this machine');
  if (error === null) return [ok(`native addon ${path ?? target}${size === null ? '' : `, ${bytes(size)}`}`)];
  if (path === null) {
    return [
      wrong(
        `there is no native addon for ${target}`,
        `npm install ${name}. It is missing after npm install --omit=optional, with a lock file or a node_modules ` +
          'of another platform, and where there is no package for this one',
      ),
    ];
  }
  return [
    wrong(
      `the native addon ${path} does not load: ${printable(error)}`,
      'it is for another platform, another C library, or damaged: remove node_modules and install again',
    ),
  ];
}

/**
 * The settings of the pool.
 * @param {Record<string, any>} options as parseOptions made them
 * @returns {Finding[]}
 */
function optionFindings({ user, database, hosts, ssl }) {
  const { ok, note } = about('settings');
  const list = hosts.map(label).join(', ');
  const found = [ok(`user ${printable(user)}, database ${printable(database)}, nodes ${list}`)];
  const twice = hosts
    .map(label)
    .filter(
      (/** @type {string} */ one, /** @type {number} */ at, /** @type {string[]} */ all) => all.indexOf(one) !== at,
    );
  if (twice.length > 0) found.push(note(`${twice[0]} is named twice`));
  if (ssl === null) return [...found, note('no TLS: everybody on the way can read and change everything')];
  const { mode, ca, cert, servername } = ssl;
  const whom =
    ca === null ? 'the chain is not verified' : ca.system ? "the system's roots" : (ca.path ?? 'a CA that was given');
  const more = [whom, ...(cert ? ['with a client certificate'] : []), ...(servername ? [`for ${servername}`] : [])];
  const text = `TLS ${mode}: ${more.join(', ')}`;
  return [
    ...found,
    mode === 'verify-full' ? ok(text) : note(text, 'only verify-full protects from somebody in between'),
  ];
}

/** Cures by the reason for which a node cannot be used; the first that matches counts. @type {[RegExp, string][]} */
const CURES = [
  [/refused/i, 'nobody listens there: is PostgreSQL running, and is this address in listen_addresses?'],
  [/password authentication failed|28P01/, 'check the user, and PGPASSWORD or the password file'],
  [/no password|fe_sendauth/i, 'set PGPASSWORD, or put the password into the password file'],
  [/pg_hba\.conf|28000/, 'the server lets nobody in this way: see its pg_hba.conf'],
  [/3D000|database ".*" does not exist/, 'check --database'],
  [/certificate|TLS|SSL/, 'check --sslmode and the CA; the name in the certificate must be that of the host'],
  [/no answer|timed out|unreachable|EHOSTUNREACH|ENETUNREACH/i, 'a firewall, a wrong address, or a machine that hangs'],
  [/lookup|ENOTFOUND|EAI_AGAIN|not known|resolve/i, 'the name is unknown here: check it, and the DNS of this machine'],
  [/53300|too many/i, 'all connections are taken: see max_connections, and who holds them (hyperiondb-client leases)'],
  [/57P03|starting up/, 'wait; it is starting'],
  [/deposed/, 'stop it, and let it follow the new primary (pg_rewind, or a new base backup)'],
  [/another cluster|system identifier/, 'the name leads to a server of another cluster: check the list of nodes'],
  [/ENOENT|No such file/, 'there is no socket there: is PostgreSQL running?'],
];

/** @param {string} reason */
const cureOf = (reason) => CURES.find(([pattern]) => pattern.test(reason))?.[1];

/** @param {Node[]} nodes @returns {Finding[]} */
function clusterFindings(nodes) {
  const { ok, note, wrong } = about('cluster');
  const primaries = writable(nodes);
  const up = nodes.filter(({ state }) => state === 'up').length;
  const said = verdict(nodes).replace(', see last error', '');
  const cure = primaries.length > 1 ? 'stop the one on the lower timeline' : undefined;
  const found = [primaries.length === 1 ? ok(said) : wrong(said, cure)];
  if (nodes.length === 1 && up === 1) found.push(note('one node: there is nothing to fail over to'));
  for (const { role, timeline, ...node } of nodes) {
    if (role === 'standby' && timeline !== null && primaries.length === 1 && timeline < (primaries[0].timeline ?? 0)) {
      found.push(note(`${label(node)} follows timeline ${timeline}, the primary writes ${primaries[0].timeline}`));
    }
  }
  return found;
}

/** @param {Node} node @returns {Finding[]} */
function nodeFindings(node) {
  const { ok, wrong } = about(label(node));
  const { role, state, lastError, lagMs, lagBytes, timeline } = node;
  const reason = lastError === null ? '' : printable(lastError);
  if (!isSeen(node) || state === 'down')
    return [wrong(`cannot be used: ${reason || 'nothing is known of it'}`, cureOf(reason))];
  const line = timeline === null ? '' : `, timeline ${timeline}`;
  if (state === 'fenced') {
    return [
      wrong(
        `${role}${line}, fenced${reason ? `: ${reason}` : ''}`,
        cureOf(reason) ?? 'it accepts no writes: default_transaction_read_only is on, as during a switchover',
      ),
    ];
  }
  if (role !== 'standby') return [ok(`${role}${line}`)];
  const lag = [bytes(lagBytes), duration(lagMs)].filter((part) => part !== '-').join(', ');
  const text = `standby${line}${lag ? `, behind by ${lag}` : ''}`;
  return [
    (lagMs ?? 0) > LAG_MS
      ? wrong(text, 'see its log and pg_stat_replication of the primary: what holds it up?')
      : ok(text),
  ];
}

/** @param {Server} server @param {Node | undefined} node @returns {Finding[]} */
function serverFindings({ node: subject, error, said, clock, notices }, node) {
  const { ok, note, wrong } = about(subject);
  if (error !== null) {
    // nodeFindings has the reason of a node that is down.
    return node && node.state !== 'down' ? [wrong(`could not be asked: ${printable(error)}`, cureOf(error))] : [];
  }
  const major = Math.floor(said.versionNumber / 10_000);
  const encryption = said.serverPort === null ? '' : `, ${said.tls ?? 'no TLS'}`;
  const version = `PostgreSQL ${said.version}${encryption}`;
  return [
    major < OLDEST
      ? wrong(version, `PostgreSQL ${OLDEST} to ${NEWEST} are supported`)
      : major > NEWEST
        ? note(version, `newer than what this version was tested with (${NEWEST})`)
        : ok(version),
    ...clockFindings(subject, clock),
    ...connectionFindings(subject, said),
    ...rightFindings(subject, said),
    ...settingFindings(subject, said, node),
    ...[...new Set(notices)].map((text) => note(printable(text))),
    ...(said.serverPort !== null && node !== undefined && said.serverPort !== node.port
      ? [note(`the server itself listens on port ${said.serverPort}: a pooler, a proxy or a container is in between`)]
      : []),
  ];
}

/** @param {string} subject @param {Server['clock']} clock @returns {Finding[]} */
function clockFindings(subject, clock) {
  if (clock === null) return [];
  const { ok, wrong } = about(subject);
  const { aheadMs, exactMs } = clock;
  // Date.now() has whole milliseconds.
  const give = Math.max(1, Math.round(exactMs));
  if (Math.abs(aheadMs) <= CLOCK_MS + exactMs) return [ok(`clock as here, ${signed(aheadMs)} ms (+-${give})`)];
  return [
    wrong(
      `its clock is ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's`,
      'see that both machines keep time (NTP)',
    ),
  ];
}

/** @param {number} ms */
const signed = (ms) => `${Math.round(ms) < 0 ? '-' : '+'}${Math.abs(Math.round(ms))}`;

/** @param {string} subject @param {Record<string, any>} said @returns {Finding[]} */
function connectionFindings(subject, { connections, connectionLimit, settings }) {
  const { ok, wrong } = about(subject);
  const reserved = Number(settings.superuser_reserved_connections) + Number(settings.reserved_connections ?? 0);
  const room = Number(settings.max_connections) - reserved;
  const text = `${connections} of ${room} connections in use`;
  const limit = connectionLimit >= 0 ? `, ${connectionLimit} for this role` : '';
  return [
    connections >= room * FULL
      ? wrong(text + limit, 'raise max_connections, make pools smaller, or put PgBouncer in between')
      : ok(text + limit),
  ];
}

/** @param {string} subject @param {Record<string, any>} said @returns {Finding[]} */
function rightFindings(subject, { user, isSuperuser, seesIdentity, isMonitor }) {
  const { note } = about(subject);
  /** @type {Finding[]} */
  const found = [];
  const role = printable(`"${user}"`);
  if (isSuperuser) found.push(note(`${role} is a superuser: a service needs none of its rights`));
  if (!seesIdentity) {
    found.push(
      note(
        `${role} may not execute pg_control_system(): a host of another cluster is not recognised`,
        `GRANT EXECUTE ON FUNCTION pg_control_system() TO ${role}`,
      ),
    );
  }
  if (!isMonitor) {
    found.push(
      note(`${role} is not in pg_monitor: the state of replication is not seen here`, `GRANT pg_monitor TO ${role}`),
    );
  }
  return found;
}

/** @param {string} subject @param {Record<string, any>} said @param {Node | undefined} node @returns {Finding[]} */
function settingFindings(subject, { settings, walReceiver, standbys, isMonitor }, node) {
  const { ok, note, wrong } = about(subject);
  /** @type {Finding[]} */
  const found = [];
  if (settings.fsync === 'off')
    found.push(wrong('fsync is off: a crash of the machine destroys the database', 'fsync = on'));
  if (settings.full_page_writes === 'off') {
    found.push(wrong('full_page_writes is off: a crash may tear pages', 'full_page_writes = on'));
  }
  if (node?.role === 'standby') {
    if (isMonitor && walReceiver !== 'streaming') {
      found.push(wrong(`receives no WAL (${walReceiver ?? 'no receiver'})`, 'check primary_conninfo, and its log'));
    }
    return found;
  }
  const names = settings.synchronous_standby_names;
  if (settings.wal_level === 'minimal')
    found.push(wrong('wal_level is minimal: no standby can follow', 'wal_level = replica'));
  if (settings.synchronous_commit === 'off') {
    found.push(note('synchronous_commit is off: a crash may lose what was acknowledged just before'));
  }
  if (names !== '' && settings.synchronous_commit === 'local') {
    found.push(note('synchronous_commit is local: commits do not wait for synchronous_standby_names'));
  }
  if (names === '')
    found.push(note('replication is asynchronous: a failover may lose what was acknowledged just before'));
  else found.push(ok(`replication is synchronous: ${names}`));
  if (standbys) found.push(ok(`followed by ${printable(standbys)}`));
  const idleMs = Number(settings.idle_session_timeout ?? 0);
  if (idleMs > 0) found.push(note(`idle_session_timeout is ${duration(idleMs)}: give pools a shorter idleTimeoutMs`));
  return found;
}

/** Differences between the servers. @param {Server[]} servers @returns {Finding[]} */
function togetherFindings(servers) {
  const { wrong, note } = about('cluster');
  const asked = servers.filter(({ error }) => error === null);
  /** @type {Finding[]} */
  const found = [];
  const versions = new Set(asked.map(({ said }) => said.version));
  const majors = new Set(asked.map(({ said }) => Math.floor(said.versionNumber / 10_000)));
  if (majors.size > 1) {
    found.push(wrong(`PostgreSQL ${[...versions].join(' and ')}: physical replication needs one major version`));
  } else if (versions.size > 1) {
    found.push(note(`PostgreSQL ${[...versions].join(' and ')}: bring all nodes to the newest`));
  }
  const clocks = asked.flatMap(({ node, clock }) => (clock === null ? [] : [{ node, ...clock }]));
  clocks.sort((a, b) => a.aheadMs - b.aheadMs);
  const [first, last] = [clocks[0], clocks[clocks.length - 1]];
  if (first && last && last.aheadMs - first.aheadMs > CLOCK_MS + first.exactMs + last.exactMs) {
    const apart = duration(last.aheadMs - first.aheadMs);
    found.push(
      wrong(`the clock of ${last.node} is ${apart} ahead of that of ${first.node}`, 'see that both keep time (NTP)'),
    );
  }
  return found;
}

module.exports = {
  addonFindings,
  clusterFindings,
  cureOf,
  machineFindings,
  nodeFindings,
  optionFindings,
  serverFindings,
  togetherFindings,
};
