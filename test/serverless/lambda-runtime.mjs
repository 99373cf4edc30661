// As much of Lambda's runtime as lambda.test.js needs: a line on stdin is an event for the handler, a line on stdout is its answer. What
// the handler itself prints stands in other lines.

import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { handler } = await import(pathToFileURL(process.argv[2]).href);

for await (const line of createInterface({ input: process.stdin })) {
  const event = JSON.parse(line);
  const answer = await handler(event).then(
    (result) => ({ result }),
    (error) => ({ error: `${error.code}: ${error.message} (outcome: ${error.outcome})` }),
  );
  process.stdout.write(`${JSON.stringify({ answerTo: event.id, ...answer })}\n`);
}
