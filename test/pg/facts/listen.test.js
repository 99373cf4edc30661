'use strict';

// LISTEN and NOTIFY: the event notification of https://node-postgres.com/apis/client, and what PostgreSQL says of NOTIFY.

const assert = require('node:assert/strict');
const { fact } = require('../support.js');
const { named, sleep, until } = require('../../support/helpers.js');

/** A channel of its own, which needs no quotes. */
const channelOf = () => named('channel').replaceAll('-', '_');

/** Notes every notification of a client. @param {any} client @returns {any[]} */
function heardBy(client) {
  /** @type {any[]} */
  const heard = [];
  client.on('notification', (/** @type {any} */ message) => heard.push(message));
  return heard;
}

/** A listener, a speaker, a channel and what was heard. @param {import('../support.js').Face} face */
async function listening(face) {
  const [listener, speaker] = [await face.client(), await face.client()];
  const channel = channelOf();
  await listener.query(`LISTEN ${channel}`);
  return { listener, speaker, channel, heard: heardBy(listener) };
}

/** @param {any[]} heard */
const payloadsOf = (heard) => heard.map(({ payload }) => payload);

fact(
  'listen: an idle client hears a NOTIFY, with channel, payload and the process id of who sent it',
  async (_t, face) => {
    const { speaker, channel, heard } = await listening(face);
    await speaker.query(`NOTIFY ${channel}, 'hello'`);
    await until('it is heard', () => heard.length === 1);
    const { payload, processId } = heard[0];
    assert.deepEqual([heard[0].channel, payload, processId], [channel, 'hello', speaker.processID]);
  },
);

fact('listen: a notification has the name notification and the length of its message', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  await speaker.query(`NOTIFY ${channel}, 'hello'`);
  await until('it is heard', () => heard.length === 1);
  assert.equal(heard[0].name, 'notification');
  assert.equal(heard[0].length, 4 + 4 + channel.length + 1 + 'hello'.length + 1);
});

fact('listen: without a payload it is an empty text', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  await speaker.query(`NOTIFY ${channel}`);
  await until('it is heard', () => heard.length === 1);
  assert.equal(heard[0].payload, '');
});

fact('listen: pg_notify() with values', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  await speaker.query('SELECT pg_notify($1, $2)', [channel, "it's \u00e4 \u{1f600} payload"]);
  await until('it is heard', () => heard.length === 1);
  assert.equal(heard[0].payload, "it's \u00e4 \u{1f600} payload");
});

fact('listen: the longest payload, 7999 bytes', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  await speaker.query('SELECT pg_notify($1, $2)', [channel, 'x'.repeat(7999)]);
  await until('it is heard', () => heard.length === 1);
  assert.equal(heard[0].payload.length, 7999);
  await assert.rejects(speaker.query('SELECT pg_notify($1, $2)', [channel, 'x'.repeat(8000)]), { code: '22023' });
});

fact('listen: a client hears itself, before its NOTIFY resolves', async (_t, face) => {
  const { listener, channel, heard } = await listening(face);
  await listener.query(`NOTIFY ${channel}, 'to myself'`);
  assert.deepEqual(payloadsOf(heard), ['to myself']);
  assert.equal(heard[0].processId, listener.processID);
});

fact('listen: many come in the order of their sending', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  for (let n = 0; n < 50; n++) await speaker.query('SELECT pg_notify($1, $2)', [channel, `${n}`]);
  await until('all are heard', () => heard.length === 50);
  assert.deepEqual(
    payloadsOf(heard),
    Array.from({ length: 50 }, (_, n) => `${n}`),
  );
});

fact('listen: several channels on one client', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  const other = channelOf();
  await listener.query(`LISTEN ${other}`);
  await speaker.query(`NOTIFY ${other}, 'b'; NOTIFY ${channel}, 'a'`);
  await until('both are heard', () => heard.length === 2);
  assert.deepEqual(
    heard.map((message) => [message.channel, message.payload]).sort(),
    [
      [channel, 'a'],
      [other, 'b'],
    ].sort(),
  );
});

fact('listen: several listeners hear the same', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  const second = await face.client();
  const heardToo = heardBy(second);
  await second.query(`LISTEN ${channel}`);
  await speaker.query(`NOTIFY ${channel}, 'all'`);
  await until('both have heard', () => heard.length === 1 && heardToo.length === 1);
});

fact('listen: the name of a channel is an identifier: lower case unless it is quoted', async (_t, face) => {
  const { listener, speaker, heard } = await listening(face);
  const name = `Quoted ${channelOf()}`;
  await listener.query(`LISTEN ${face.pg.escapeIdentifier(name)}`);
  await speaker.query('SELECT pg_notify($1, $2)', [name, 'quoted']);
  await until('it is heard', () => heard.length === 1);
  assert.equal(heard[0].channel, name);
});

fact('listen: after UNLISTEN nothing is heard', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  const other = channelOf();
  await listener.query(`LISTEN ${other}; UNLISTEN ${channel}`);
  await speaker.query(`NOTIFY ${channel}, 'not heard'; NOTIFY ${other}, 'heard'`);
  await until('the other is heard', () => heard.length === 1);
  assert.deepEqual(payloadsOf(heard), ['heard']);
});

fact('listen: UNLISTEN * ends all', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  await listener.query('UNLISTEN *');
  await speaker.query(`NOTIFY ${channel}, 'not heard'`);
  await listener.query('SELECT 1');
  assert.deepEqual(heard, []);
});

fact('listen: a NOTIFY in a transaction is sent by COMMIT', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  await speaker.query('BEGIN');
  await speaker.query(`NOTIFY ${channel}, 'committed'`);
  await listener.query('SELECT 1');
  assert.deepEqual(heard, []);
  await speaker.query('COMMIT');
  await until('it is heard', () => heard.length === 1);
});

fact('listen: a NOTIFY in a transaction is not sent by ROLLBACK', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  await speaker.query('BEGIN');
  await speaker.query(`NOTIFY ${channel}, 'undone'`);
  await speaker.query('ROLLBACK');
  await speaker.query(`NOTIFY ${channel}, 'sent'`);
  await until('one is heard', () => heard.length === 1);
  assert.deepEqual(payloadsOf(heard), ['sent']);
});

fact('listen: the same NOTIFY twice in a transaction is one', async (_t, face) => {
  const { speaker, channel, heard } = await listening(face);
  await speaker.query(`BEGIN; NOTIFY ${channel}, 'same'; NOTIFY ${channel}, 'same'; COMMIT`);
  await speaker.query(`NOTIFY ${channel}, 'last'`);
  await until('the last is heard', () => payloadsOf(heard).includes('last'));
  assert.deepEqual(payloadsOf(heard), ['same', 'last']);
});

fact('listen: who is in a transaction hears after its end', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  await listener.query('BEGIN');
  // With its answer the server is in the transaction.
  await listener.query('SELECT 1');
  await speaker.query(`NOTIFY ${channel}, 'later'`);
  await listener.query('SELECT 1');
  assert.deepEqual(heard, []);
  await listener.query('COMMIT');
  await until('it is heard', () => heard.length === 1);
});

fact('listen: who runs a statement hears after it', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  const running = listener.query('SELECT pg_sleep(0.2)');
  await speaker.query(`NOTIFY ${channel}, 'meanwhile'`);
  await running;
  await until('it is heard', () => heard.length === 1);
});

fact('listen: an idle client of a pool hears', async (_t, face) => {
  const pool = face.pool({ max: 1 });
  const client = await pool.connect();
  const heard = heardBy(client);
  const channel = channelOf();
  await client.query(`LISTEN ${channel}`);
  client.release();
  const speaker = await face.client();
  await speaker.query(`NOTIFY ${channel}, 'to the pool'`);
  await until('it is heard', () => heard.length === 1);
});

fact('listen: a client without a listener of notification ignores it', async (_t, face) => {
  const client = await face.client();
  const channel = channelOf();
  await client.query(`LISTEN ${channel}`);
  await client.query(`NOTIFY ${channel}, 'nobody'`);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

fact('listen: after end() nothing is heard', async (_t, face) => {
  const { listener, speaker, channel, heard } = await listening(face);
  await listener.end();
  await speaker.query(`NOTIFY ${channel}, 'too late'`);
  await sleep(30);
  assert.deepEqual(heard, []);
});
