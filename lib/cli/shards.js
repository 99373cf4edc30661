'use strict';

// `shards --plan`: what moves from n to m shards of the strategy `hash`. It asks no server.

const { planMoves } = require('../../exports/clusters/sharding/plan.js');
const { ParameterError } = require('../errors.js');
const { UsageError } = require('./arguments.js');

/** @typedef {ReturnType<typeof planMoves>} Plan */
/** @typedef {Plan['moves'][number]} Move */

const WIDTH = 80;
const MARGIN = '  ';
const TABLE = 'sharded_table';
/** The end of the expression. */
const CAST = '::bit(10)::int';

/**
 * @param {import('./arguments.js').Arguments} asked
 * @param {NodeJS.WritableStream} out
 * @returns {number} the exit code
 */
function showPlan({ json, resharding, table = TABLE }, out) {
  const { from, to, key } = /** @type {NonNullable<typeof resharding>} */ (resharding);
  if (table.split('.').length > 2) throw new UsageError("--table must be 'table' or 'schema.table'");
  const plan = planOf(from, to, { key, table });
  out.write(`${json ? JSON.stringify(plan, null, 2) : pageOf(plan, key).join('\n')}\n`);
  return 0;
}

/** @param {number} from @param {number} to @param {{ key: string, table: string }} names */
function planOf(from, to, names) {
  try {
    return planMoves(from, to, names);
  } catch (error) {
    if (!(error instanceof ParameterError)) throw error;
    throw new UsageError(`--${error.message.replace(/^column\b/, 'key')}`);
  }
}

/** @param {number} share */
const percent = (share) => `${(share * 100).toFixed(1)} %`;
/** @param {number} count */
const shards = (count) => `${count} shard${count === 1 ? '' : 's'}`;

/** @param {Plan} plan @param {string} key */
function pageOf(plan, key) {
  const { from, to, slots, moved, share, expression, moves } = plan;
  const rest = to > from ? 'Nothing moves between the shards that there are.' : 'Nothing else moves.';
  return [
    `From ${from} to ${shards(to)}: ${moved} of ${slots} slots move, ${percent(share)} of the rows. ${rest}`,
    '',
    ...table(moves),
    '',
    `The slot of a row, by its column ${JSON.stringify(key)}:`,
    ...expressionLines(expression).map((line) => MARGIN + line),
    ...moves.flatMap((move) => statementLines(plan, move)),
    '',
    'With --json there is SQL to count, guard and delete them, too.',
  ].flatMap((line) => (line.length > WIDTH && !line.startsWith(MARGIN) ? wrapped(line) : [line]));
}

/** @param {Move[]} moves */
function table(moves) {
  const head = `${MARGIN}from    to  slots   share  which`;
  const indent = head.indexOf('which');
  return [
    head,
    ...moves.flatMap(({ from, to, slots, share, ranges }) => {
      const start = `${MARGIN}${String(from).padStart(4)}  ${String(to).padStart(4)}  ${String(slots).padStart(5)}  ${percent(share).padStart(6)}  `;
      const words = ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(', ');
      const [line, ...more] = wrapped(words, WIDTH - indent);
      return [start + line, ...more.map((one) => ' '.repeat(indent) + one)];
    }),
  ];
}

/** The expression in lines that fit into a terminal where the name of the column is short. @param {string} expression */
const expressionLines = (expression) => [expression.slice(0, -CAST.length), `${MARGIN}${CAST}`];

/** @param {Plan} plan @param {Move} move */
function statementLines({ expression, table: name }, { from, to, ranges }) {
  const conditions = ranges.flatMap(([first, last], at) => {
    const [start, cast] = expressionLines(expression);
    const condition = first === last ? `= ${first}` : `BETWEEN ${first} AND ${last}`;
    return [`${MARGIN}${at === 0 ? '' : 'OR '}${start}`, `${cast} ${condition}`];
  });
  const lines = [`COPY (SELECT * FROM ${name} WHERE`, ...conditions];
  lines[lines.length - 1] += ') TO STDOUT';
  return [
    '',
    `The rows that move from shard ${from} to shard ${to}, on shard ${from}:`,
    ...lines.map((line) => MARGIN + line),
  ];
}

/** @param {string} text @param {number} [width] */
function wrapped(text, width = WIDTH) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = /** @type {string} */ (lines.at(-1));
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

module.exports = { showPlan };
