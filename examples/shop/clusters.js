'use strict';

// Where the clusters of the shop are. Each variable lists the servers of a cluster, or of a shard: "db1:5432,db2:5432".

/** @param {NodeJS.ProcessEnv} env */
function clustersFrom(env) {
  const login = { user: env.SHOP_USER ?? 'shop', password: env.SHOP_PASSWORD, database: env.SHOP_DATABASE ?? 'shop' };
  return {
    // Users are many: each shard has those whose user_id belongs to it.
    users: {
      ...login,
      schemas: ['users'],
      sharding: {
        strategy: 'hash',
        key: 'user_id',
        shards: [{ hosts: env.SHOP_USERS_0 }, { hosts: env.SHOP_USERS_1 }],
      },
    },
    // The catalogue is read much more often than it is changed: its pages come from the cache.
    catalogue: { ...login, schemas: ['catalogue'], hosts: env.SHOP_CATALOGUE },
    // Orders are read on standbys, and whoever has ordered sees the order there.
    orders: { ...login, schemas: ['orders'], hosts: env.SHOP_ORDERS, readPreference: 'replica' },
  };
}

module.exports = { clustersFrom };
