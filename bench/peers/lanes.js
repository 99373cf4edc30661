'use strict';

// node-postgres with `pipeline: true`: a statement is sent before the answer to the one before it has come. That is an
// option of a Client; a Pool would give each statement a client of its own, so each statement goes to the client with
// the fewest statements in flight here.

/**
 * @param {new (config: any) => any} Client pure or native
 * @param {import('../types').Opening} opening
 * @returns {Promise<import('../types').Db>}
 */
async function openLanes(Client, { primary, user, password, database, connections }) {
  const lanes = Array.from({ length: connections }, () => ({
    client: new Client({ ...primary, user, password, database, pipeline: true }),
    underWay: 0,
  }));
  await Promise.all(lanes.map(({ client }) => client.connect()));
  return {
    statement: (name, text) => async (values) => {
      let lane = lanes[0];
      for (const each of lanes) if (each.underWay < lane.underWay) lane = each;
      lane.underWay++;
      try {
        return (await lane.client.query({ name, text, values })).rows;
      } finally {
        lane.underWay--;
      }
    },
    transaction: () => Promise.reject(new Error('a transaction needs a connection of its own')),
    bulk: {},
    close: async () => {
      await Promise.all(lanes.map(({ client }) => client.end()));
    },
  };
}

module.exports = { openLanes };
