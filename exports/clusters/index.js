'use strict';

// hyperiondb-client/clusters: many clusters as one database. Names only; index.d.ts says what each does.

const { MultiClusterPostgres } = require('./multi-cluster.js');
const { slotExpression, slotOf } = require('./sharding/slots.js');

module.exports = { MultiClusterPostgres, slotExpression, slotOf };
