// Stands as a library in node_modules: an ES module that loads pg itself, as pg-boss and graphile-worker do, and waits for notifications.

import pg, { Client } from 'pg';
import Cursor from 'pg-cursor';
import { DatabaseError } from 'pg-protocol';

export { pg };

/** @param {string[]} words @returns {Promise<string[]>} what was heard of them */
export async function throughNotifications(words) {
  const listener = new Client();
  const heard = [];
  await listener.connect();
  const all = new Promise((resolve) => {
    listener.on('notification', ({ payload }) => {
      heard.push(payload);
      if (heard.length === words.length) resolve(heard);
    });
  });
  await listener.query('LISTEN queue');
  const pool = new pg.Pool();
  for (const word of words) await pool.query("SELECT pg_notify('queue', $1)", [word]);
  await all;
  await Promise.all([listener.end(), pool.end()]);
  return heard;
}

/** @returns {Promise<boolean>} whether an error of the server is one of pg-protocol */
export async function failsAsItShould() {
  const client = new pg.Client();
  await client.connect();
  try {
    await client.query('SELECT 1/0');
  } catch (error) {
    return error instanceof DatabaseError && error instanceof pg.DatabaseError && error.code === '22012';
  } finally {
    await client.end();
  }
  return false;
}

/** @param {number} rows */
export async function throughCursor(rows) {
  const client = new pg.Client();
  await client.connect();
  const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, $1::int) AS n', [rows]));
  const read = [];
  for (let piece = await cursor.read(3); piece.length > 0; piece = await cursor.read(3)) read.push(piece.length);
  await client.end();
  return read;
}
