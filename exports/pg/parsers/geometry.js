'use strict';

// The texts of point and circle, as pg-types 2.2.0 reads them: `(1,2)` and `<(1,2),3>`.

/** @param {string} text */
function parsePoint(text) {
  if (text[0] !== '(') return null;
  const [x, y] = text.slice(1, -1).split(',');
  return { x: Number.parseFloat(x), y: Number.parseFloat(y) };
}

/** @param {string} text */
function parseCircle(text) {
  if (!text.startsWith('<(')) return null;
  const end = text.indexOf(')');
  return { ...parsePoint(text.slice(1, end + 1)), radius: Number.parseFloat(text.slice(end + 2)) };
}

module.exports = { parseCircle, parsePoint };
