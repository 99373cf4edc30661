// The names that `import { ... } from 'pg-types'` finds.

import { createRequire } from 'node:module';

const types = createRequire(import.meta.url)('./pg-types.js');

export const { arrayParser, builtins, getTypeParser, setTypeParser } = types;
export default types;
