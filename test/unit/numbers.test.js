'use strict';

// The numbers that JavaScript and the core share, a number that one of them does not know, and an add-on of another version.

const assert = require('node:assert/strict');
const { Environment } = require('../../index.js');
const { checkVersion } = require('../../lib/core/binding.js');
const { CoreLink, Call } = require('../../lib/core/core-link.js');
const ours = require('../../lib/core/numbers.js');
const { test } = require('../support/helpers');

const theirs = JSON.parse(Environment.numbers());

/** `END_DATA` as the core has it: `EndData`. @param {Record<string, number>} table */
const renamed = (table) =>
  Object.fromEntries(
    Object.entries(table).map(([name, number]) => [
      name.toLowerCase().replaceAll(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase()),
      number,
    ]),
  );

for (const [name, table] of /** @type {const} */ ([
  ['operations', ours.OP],
  ['flags', ours.FLAG],
  ['messages', ours.MESSAGE],
  ['messageFlags', ours.MESSAGE_FLAG],
])) {
  test(`JavaScript and the core have the same ${name}`, () => {
    assert.deepEqual(renamed(table), theirs[name]);
    assert.equal(new Set(Object.values(table)).size, Object.keys(table).length, 'each number stands once');
  });
}

test('JavaScript and the core have heads of the same size and one protocol version', () => {
  const { FRAME, ITEM, BATCH, MESSAGE } = ours.WORDS;
  assert.deepEqual({ frame: FRAME, item: ITEM, batch: BATCH, message: MESSAGE }, theirs.words);
  assert.equal(ours.PROTOCOL_VERSION, theirs.protocolVersion);
});

test('an unknown operation rejects its caller and names the number', async () => {
  const link = new CoreLink();
  await assert.rejects(link.ask(99, 1), { code: 'ERR_INTERNAL', message: /operation 99/ });
  // The next frame of the same burst is read, too.
  const both = [link.ask(98, 1), link.ask(97, 1)].map((asked) => assert.rejects(asked, { code: 'ERR_INTERNAL' }));
  await Promise.all(both);
});

test('an unknown flag rejects its caller and names the flag', async () => {
  const link = new CoreLink();
  const asked = link.ask(ours.OP.QUERY, 1, { flags: 1 << 20 });
  await assert.rejects(asked, { code: 'ERR_INTERNAL', message: /flags 0x100000/ });
});

test('frames whose lengths do not add up reject all calls that wait', async () => {
  const link = new CoreLink();
  const waiting = [1, 2].map(() => new Promise((resolve, reject) => link.register(new Call(resolve, reject))));
  // The head of a frame whose payload is longer than all there is.
  const broken = Buffer.alloc(40);
  broken.writeInt32LE(ours.OP.QUERY, 0);
  broken.writeInt32LE(1 << 30, 32);
  link.core.submit(broken, broken.length);
  for (const one of waiting) await assert.rejects(one, { code: 'ERR_INTERNAL', message: /cannot be read/ });
});

test('a message of an unknown kind rejects its caller', async () => {
  const link = new CoreLink();
  const waiting = new Promise((resolve, reject) => link.register(new Call(resolve, reject)));
  link.deliverOther(77, 1, 0, 0, '', 0);
  await assert.rejects(waiting, { code: 'ERR_INTERNAL', message: /kind 77/ });
});

test('an add-on of another version is refused by name', () => {
  const addon = (/** @type {object} */ table) =>
    /** @type {any} */ ({ Environment: { numbers: () => JSON.stringify(table) } });
  assert.doesNotThrow(() => checkVersion(addon(theirs)));
  const other = { ...theirs, protocolVersion: theirs.protocolVersion + 1, packageVersion: '9.9.9' };
  assert.throws(() => checkVersion(addon(other)), {
    name: 'HyperionError',
    code: 'ERR_BINDING_VERSION',
    message: /hyperiondb-client-\S+ has version 9\.9\.9.*needs \d+\.\d+\.\d+/s,
  });
  // One that is too old to say its version.
  const addonWithoutNumbers = { Environment: {} };
  assert.throws(() => checkVersion(addonWithoutNumbers), { code: 'ERR_BINDING_VERSION', message: /an older version/ });
});
