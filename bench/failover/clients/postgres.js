'use strict';

// postgres.js with its own multi-host option: it tries the hosts in turn and checks what each one reports at the start of a
// session (target_session_attrs). It runs nothing again and has no limit on a statement.

const postgres = require('postgres');

exports.version = () => require('../../package.json').devDependencies.postgres;

/** A tagged template, as if it had been written in the source. @param {string} text @returns {TemplateStringsArray} */
function templateOf(text) {
  const strings = text.split(/\$\d+/);
  return Object.assign(strings, { raw: strings });
}

/** @type {import('../types').ClientModule['open']} */
exports.open = ({ hosts, user, password, database, connections }, { attrs, maxLifetime }) => {
  const addresses = hosts.map((each) => each.split(':'));
  const sql = postgres({
    host: /** @type {any} */ (addresses.map(([host]) => host)),
    port: /** @type {any} */ (addresses.map(([, port]) => Number(port))),
    user,
    password,
    database,
    max: connections,
    target_session_attrs: attrs,
    connect_timeout: 1, // its default is 30 s for a host that is silent
    backoff: () => 0.1, // its default grows to 20 s, and a new primary would wait for that
    fetch_types: false, // a round trip of each new connection
    ...(maxLifetime === undefined ? {} : { max_lifetime: maxLifetime }),
    onnotice: () => {},
  });
  const run = (/** @type {string} */ text, /** @type {readonly unknown[]} */ params) =>
    sql(templateOf(text), .../** @type {any[]} */ (params));
  return { write: run, read: run };
};
