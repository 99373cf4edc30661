'use strict';

// `doctor`: everything that must be right for a pool to work, looked at one after another, from this machine to the settings of
// the servers. What is wrong is said with its cure. It works where the addon does not load and where no server answers.
//
// machine.js and examination.js look, findings.js judges, this file conducts and prints.

const { OptionError } = require('../errors.js');
const { parseOptions } = require('../options/options.js');
const { examine, knock } = require('./examination.js');
const judge = require('./findings.js');
const { addon, loaded, machine } = require('./machine.js');
const { seen } = require('./seen.js');
const { label } = require('./words.js');

/** @typedef {import('./findings.js').Finding} Finding */

/** @type {Record<import('./findings.js').Level, [word: string, color: number]>} SGR codes: green, yellow, red */
const LEVELS = { ok: ['ok', 32], note: ['note', 33], wrong: ['WRONG', 31] };
const WIDEST = 100;
const MARGIN = '  ';
const INDENT = `${MARGIN}       `;

/**
 * @param {import('./arguments.js').Arguments} asked
 * @param {{ out: NodeJS.WritableStream & { columns?: number }, isScreen: boolean, colors: boolean }} surroundings
 * @returns {Promise<number>} the exit code
 */
async function doctor({ pool, timeoutMs, json }, { out, isScreen, colors }) {
  const seenByUs = await withWarnings(() => look(pool, timeoutMs));
  const wrong = seenByUs.findings.filter(({ level }) => level === 'wrong').length;
  const text = json
    ? JSON.stringify({ ok: wrong === 0, ...seenByUs }, null, 2)
    : pageOf(seenByUs.findings, { columns: (isScreen && out.columns) || 80, colors }).join('\n');
  out.write(`${text}\n`);
  return wrong === 0 ? 0 : 1;
}

/** What is a finding of its own, better told. */
const TOLD = 'HYPERION_NO_SYSTEM_IDENTIFIER';

/**
 * What Node would print across the page, e.g. that others may read the password file, is a finding, too.
 * @param {() => Promise<{ findings: Finding[] } & Record<string, unknown>>} work
 */
async function withWarnings(work) {
  /** @type {string[]} */
  const heard = [];
  const others = process.listeners('warning');
  process.removeAllListeners('warning').on('warning', (/** @type {NodeJS.ErrnoException} */ { message, code }) => {
    if (code !== TOLD) heard.push(message.replace(/^hyperiondb-client: /, ''));
  });
  try {
    const found = await work();
    // Node tells them a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    const told = [...new Set(heard)].map((text) => ({
      level: /** @type {const} */ ('note'),
      subject: 'settings',
      text,
    }));
    return { ...found, findings: [...found.findings, ...told] };
  } finally {
    process.removeAllListeners('warning');
    for (const other of others) process.on('warning', other);
  }
}

/**
 * @param {import('../../client.js').PoolOptions} given
 * @param {number} timeoutMs
 */
async function look(given, timeoutMs) {
  const here = machine();
  const { client, addon: binary } = loaded(addon(here, process.env));
  const findings = [...judge.machineFindings(here), ...judge.addonFindings(binary)];
  const base = { machine: here, addon: binary };
  const { options, problem } = optionsOf(given);
  if (options === null) {
    findings.push({ level: 'wrong', subject: 'settings', text: problem });
    return { ...base, nodes: [], servers: [], findings };
  }
  findings.push(...judge.optionFindings(options));
  if (client === null) {
    const knocks = await Promise.all(options.hosts.map((/** @type {any} */ host) => knock(host, timeoutMs)));
    findings.push(...knocks.map(knockFinding));
    return { ...base, nodes: [], servers: [], findings };
  }
  const pool = client.createPool({ ...given, mode: 'any', applicationName: 'hyperiondb-client doctor' });
  // Failures of the background are in what the nodes say.
  try {
    const [nodes, servers] = await Promise.all([
      seen(pool, timeoutMs),
      Promise.all(options.hosts.map((/** @type {any} */ host) => examine(client.createPool, given, host, timeoutMs))),
    ]);
    findings.push(...judge.clusterFindings(nodes), ...judge.togetherFindings(servers));
    for (const node of nodes) {
      const server = servers.find((one) => one.node === label(node));
      findings.push(...judge.nodeFindings(node), ...(server ? judge.serverFindings(server, node) : []));
    }
    return { ...base, nodes, servers, findings };
  } finally {
    await pool.end();
  }
}

/** @param {import('../../client.js').PoolOptions} given @returns {{ options: Record<string, any> | null, problem: string }} */
function optionsOf(given) {
  try {
    return { options: parseOptions(given), problem: '' };
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    return { options: null, problem: error.message };
  }
}

/** @param {{ node: string, error: string | null }} knocked @returns {Finding} */
function knockFinding({ node: subject, error }) {
  if (error === null)
    return { level: 'note', subject, text: 'somebody listens there; more is not known without the addon' };
  const cure = judge.cureOf(error);
  return { level: 'wrong', subject, text: `cannot be reached: ${error}`, ...(cure ? { cure } : {}) };
}

/**
 * A paragraph a subject, in the order in which they came up; no line is wider than there is room.
 * @param {Finding[]} findings
 * @param {{ columns: number, colors: boolean }} room
 */
function pageOf(findings, { columns, colors }) {
  const width = Math.min(columns, WIDEST);
  const subjects = [...new Set(findings.map(({ subject }) => subject))];
  const lines = subjects.flatMap((subject) => [
    subject,
    ...findings.filter((one) => one.subject === subject).flatMap((one) => paragraph(one, width, colors)),
    '',
  ]);
  const wrong = findings.filter(({ level }) => level === 'wrong').length;
  return [...lines, wrong === 0 ? 'All is well.' : `${wrong} ${wrong === 1 ? 'thing is' : 'things are'} wrong.`];
}

/** @param {Finding} finding @param {number} width @param {boolean} colors */
function paragraph({ level, text, cure }, width, colors) {
  const [word, color] = LEVELS[level];
  const padding = ' '.repeat(INDENT.length - MARGIN.length - word.length);
  const shown = colors ? `\x1b[${color}m${word}\x1b[0m` : word;
  const [first, ...others] = wrapped(text, width - INDENT.length);
  const remedy = cure ? wrapped(cure, width - INDENT.length - 3) : [];
  return [
    `${MARGIN}${shown}${padding}${first}`,
    ...others.map((line) => INDENT + line),
    ...remedy.map((line, index) => `${INDENT}${index === 0 ? '-> ' : '   '}${line}`),
  ];
}

/** At spaces; a word that is longer than a line is cut. @param {string} text @param {number} width */
function wrapped(text, width) {
  const lines = [''];
  for (const word of text.split(' ').flatMap((one) => one.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [])) {
    const line = lines[lines.length - 1];
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

module.exports = { doctor, pageOf };
