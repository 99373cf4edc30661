'use strict';

// A type of src/ has a name of its own in the crate: whoever searches for the name finds one declaration. Associated types are
// indented, and so not looked at; types of tests may repeat a name.

const { code, isSource } = require('./rust.js');

const DECLARATION = /^(?:pub(?:\([^)]*\))? )?(?:unsafe )?(?:struct|enum|trait|type|union) (\w+)/gm;

/**
 * @param {Map<string, string>} files
 * @param {Record<string, string>} exceptions names that stand more than once, with the reason
 */
function doubleTypes(files, exceptions) {
  /** @type {Map<string, string[]>} */
  const places = new Map();
  for (const [file, text] of files) {
    if (!isSource(file)) continue;
    const bare = code(text);
    for (const { 1: name, index } of bare.matchAll(DECLARATION)) {
      const line = bare.slice(0, index).split('\n').length;
      places.set(name, [...(places.get(name) ?? []), `${file}:${line}`]);
    }
  }
  const doubles = [...places].filter(([, found]) => found.length > 1);
  const stale = Object.keys(exceptions).filter((name) => !doubles.some(([double]) => double === name));
  return [
    ...doubles
      .filter(([name]) => !(name in exceptions))
      .map(([name, found]) => `the type name ${name} stands more than once: ${found.join(', ')}`),
    ...stale.map((name) => `the type name ${name} is an exception in scripts/house/rules.js, and does not stand twice`),
  ];
}

module.exports = { doubleTypes };
