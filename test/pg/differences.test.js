'use strict';

// Where the face differs from pg on purpose, the documentation says so, in the words of the fact.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('../support/helpers.js');
const { listFacts } = require('./support.js');

const DOCUMENT = path.join(__dirname, '..', '..', 'docs', 'from-pg.md');
const facts = listFacts();

/** What lines and emphasis do not change. @param {string} text */
const flat = (text) => text.replace(/\s+/g, ' ').trim();

test('facts: no two have the same title', () => {
  const titles = facts.map(({ title }) => title);
  assert.deepEqual(
    titles.filter((title, i) => titles.indexOf(title) !== i),
    [],
  );
});

test('facts: the reason of every difference stands in the documentation', (t) => {
  if (!fs.existsSync(DOCUMENT)) {
    t.skip('the document does not exist yet');
    return;
  }
  const document = flat(fs.readFileSync(DOCUMENT, 'utf8'));
  const reasons = [...new Set(facts.flatMap(({ reason }) => reason ?? []))];
  assert.deepEqual(
    reasons.filter((reason) => !document.includes(flat(reason))),
    [],
  );
});

/** The points of the page's list of differences. @param {string} document */
function pointsOf(document) {
  const [, section = ''] = /\n## Differences\n([\s\S]*?)(?=\n## )/.exec(document) ?? [];
  return section
    .split(/\n(?=- |#|\n)/)
    .filter((part) => /^- /.test(part))
    .map((part) => flat(part.slice(2)));
}

test('facts: every difference that the documentation lists is shown by a fact', (t) => {
  if (!fs.existsSync(DOCUMENT)) {
    t.skip('the document does not exist yet');
    return;
  }
  const points = pointsOf(fs.readFileSync(DOCUMENT, 'utf8'));
  const reasons = new Set(facts.map(({ reason }) => flat(reason ?? '')));
  assert.ok(points.length > 10, `${points.length} points`);
  assert.deepEqual(
    points.filter((point) => !reasons.has(point)),
    [],
  );
});
