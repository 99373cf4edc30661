// A program of TypeScript, for tsx, which has hooks of its own.

import pg, { Pool } from 'pg';
import type { Client } from 'pg';

const seen: { isFace: boolean; client: Client | null } = {
  isFace: pg === require('hyperiondb-client/pg') && Pool === require('pg').Pool && Pool === require('pg-pool'),
  client: null,
};

console.log(JSON.stringify(seen));
