// An AWS Lambda that counts visits. README.md says how to deploy it.

import { ServerlessClient } from 'hyperiondb-client/serverless';

const { DATABASE_URL, COORDINATION_SECRET, LEASE_TTL_MS = '90000' } = process.env;

/** A metric in a line of the log, in CloudWatch's embedded format. */
const metric = (name, value) =>
  console.log(
    JSON.stringify({
      _aws: {
        Timestamp: Date.now(),
        CloudWatchMetrics: [{ Namespace: 'Database', Dimensions: [[]], Metrics: [{ Name: name }] }],
      },
      [name]: value,
    }),
  );

// Outside of the handler: the client, and its one session, serve all invocations of this process.
const client = new ServerlessClient({
  connectionString: DATABASE_URL,
  coordinationSecret: COORDINATION_SECRET,
  leaseTtlMs: Number(LEASE_TTL_MS),
  hooks: {
    onClientDead: () => metric('SessionsLost', 1),
    onQueryRetry: () => metric('Retries', 1),
    onReap: ({ killed }) => metric('SessionsReaped', killed),
  },
});

/** `{ id, page }` -> how often the page was visited. The same `id` is counted once, also when Lambda sends the event again. */
export async function handler({ id, page }) {
  await client.query('INSERT INTO visits (id, page) VALUES ($1, $2) ON CONFLICT DO NOTHING', [id, page]);
  const { rows } = await client.query('SELECT count(*)::int4 AS visits FROM visits WHERE page = $1', [page]);
  return { statusCode: 200, body: JSON.stringify({ page, visits: rows[0].visits }) };
}
