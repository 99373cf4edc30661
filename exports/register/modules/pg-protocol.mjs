// The names that `import { ... } from 'pg-protocol'` finds. Its URL has the importer, which alone may see the installed package.

import { createRequire } from 'node:module';

const from = new URL(import.meta.url).searchParams.get('from') || import.meta.url;
const protocol = createRequire(from.startsWith('file:') ? from : import.meta.url)('pg-protocol');

export const { DatabaseError, SASL, parse, serialize } = protocol;
export default protocol;
