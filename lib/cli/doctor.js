'use strict';

// `doctor`: checks everything that a pool needs, from this machine to the settings of the servers, and names a cure for what is
// wrong. It also works where the add-on does not load and where no server answers.
//
// machine.js and examination.js collect facts, findings.js judges them, this file runs them and prints the findings.

const { OptionError } = require('../errors.js');
const { parseOptions } = require('../options/options.js');
const { checkPort, examineServer } = require('./examination.js');
const judge = require('./findings.js');
const { describeMachine, findAddon, loadClient } = require('./machine.js');
const { waitForNodes } = require('./wait-for-nodes.js');
const { label } = require('./format.js');

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
  const report = await withWarnings(() => inspectCluster(pool, timeoutMs));
  const wrong = report.findings.filter(({ level }) => level === 'wrong').length;
  const text = json
    ? JSON.stringify({ ok: wrong === 0, ...report }, null, 2)
    : pageOf(report.findings, { columns: (isScreen && out.columns) || 80, colors }).join('\n');
  out.write(`${text}\n`);
  return wrong === 0 ? 0 : 1;
}

/** The code of a warning that is a finding of its own, with more detail. */
const OWN_FINDING = 'HYPERION_NO_SYSTEM_IDENTIFIER';

/**
 * Makes findings of warnings that Node would print between them, e.g. that others may read the password file.
 * @param {() => Promise<{ findings: Finding[] } & Record<string, unknown>>} work
 */
async function withWarnings(work) {
  /** @type {string[]} */
  const messages = [];
  const others = process.listeners('warning');
  process.removeAllListeners('warning').on('warning', (/** @type {NodeJS.ErrnoException} */ { message, code }) => {
    if (code !== OWN_FINDING) messages.push(message.replace(/^hyperiondb-client: /, ''));
  });
  try {
    const found = await work();
    // Node emits a warning one turn later.
    await new Promise((resolve) => setImmediate(resolve));
    const warnings = [...new Set(messages)].map((text) => ({
      level: /** @type {const} */ ('note'),
      subject: 'settings',
      text,
    }));
    return { ...found, findings: [...found.findings, ...warnings] };
  } finally {
    process.removeAllListeners('warning');
    for (const other of others) process.on('warning', other);
  }
}

/**
 * Collects facts and findings.
 * @param {import('../../client.js').PoolOptions} given
 * @param {number} timeoutMs
 */
async function inspectCluster(given, timeoutMs) {
  const here = describeMachine();
  const { client, addon: binary } = loadClient(findAddon(here, process.env));
  const findings = [...judge.machineFindings(here), ...judge.addonFindings(binary)];
  const base = { machine: here, addon: binary };
  const { options, problem } = optionsOf(given);
  if (options === null) {
    findings.push({ level: 'wrong', subject: 'settings', text: problem });
    return { ...base, nodes: [], servers: [], findings };
  }
  findings.push(...judge.optionFindings(options));
  if (client === null) {
    const ports = await Promise.all(options.hosts.map((/** @type {any} */ host) => checkPort(host, timeoutMs)));
    findings.push(...ports.map(portFinding));
    return { ...base, nodes: [], servers: [], findings };
  }
  const pool = client.createPool({ ...given, mode: 'any', applicationName: 'hyperiondb-client doctor' });
  // Nodes report failures of the background in their lastError.
  try {
    const [nodes, servers] = await Promise.all([
      waitForNodes(pool, timeoutMs),
      Promise.all(
        options.hosts.map((/** @type {any} */ host) => examineServer(client.createPool, given, host, timeoutMs)),
      ),
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

/** Without the add-on. @param {{ node: string, error: string | null }} port @returns {Finding} */
function portFinding({ node: subject, error }) {
  if (error === null)
    return { level: 'note', subject, text: 'somebody listens there; more is not known without the addon' };
  const cure = judge.cureOf(error);
  return { level: 'wrong', subject, text: `cannot be reached: ${error}`, ...(cure ? { cure } : {}) };
}

/**
 * The findings as lines, a paragraph for each subject in the order of the findings; no line is wider than the room.
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
  const [first, ...others] = wrapText(text, width - INDENT.length);
  const remedy = cure ? wrapText(cure, width - INDENT.length - 3) : [];
  return [
    `${MARGIN}${shown}${padding}${first}`,
    ...others.map((line) => INDENT + line),
    ...remedy.map((line, index) => `${INDENT}${index === 0 ? '-> ' : '   '}${line}`),
  ];
}

/** Breaks a text into lines at spaces; a word that is longer than a line is cut. @param {string} text @param {number} width */
function wrapText(text, width) {
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
