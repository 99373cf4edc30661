'use strict';

// pool.metrics(), and the metrics of all open pools (hyperiondb-client/metrics). Nothing is counted here: the core counts, and is asked
// when somebody scrapes.

const { labelOf } = require('../options/hosts.js');
const { prometheusText } = require('../values/prometheus.js');
const { FAMILIES } = require('./metric-families.js');
const { openPools } = require('./open-pools.js');
const { snapshot } = require('./statistics.js');

/** @typedef {import('./metric-families.js').View} View */
/** @typedef {import('./open-pools.js').Source} Source */

/** A function that returns each name once; the second one of `name` is `name#2`. */
function distinct() {
  /** @type {Map<string, number>} */
  const seen = new Map();
  return (/** @type {string} */ name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}#${count}`;
  };
}

/** A host that stands twice in `hosts` is two nodes: their series must differ. @param {Source} source @returns {View} */
function viewOf(source) {
  const stats = snapshot(source.runner);
  const [labelOfCounts, labelOfNode] = [distinct(), distinct()];
  return {
    stats: {
      ...stats,
      nodes: stats.nodes.map((/** @type {any} */ counts) => ({ ...counts, node: labelOfCounts(counts.node) })),
    },
    status: source.status(),
    nodes: source.nodes().map((node) => ({ ...node, label: labelOfNode(labelOf(node)) })),
  };
}

/** The metrics of these pools, as text for Prometheus. @param {[name: string, source: Source][]} pools */
function metricsOf(pools) {
  const views = pools.map(([pool, source]) => ({ pool, view: viewOf(source) }));
  return prometheusText(
    FAMILIES.map(({ samples, ...family }) => ({
      ...family,
      samples: views.flatMap(({ pool, view }) =>
        samples(view).map((sample) => ({ ...sample, labels: { pool, ...sample.labels } })),
      ),
    })),
  );
}

/** Those of all open pools of this thread. */
const metrics = () => metricsOf(openPools());

module.exports = { metrics, metricsOf };
