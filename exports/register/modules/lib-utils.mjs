// The name that `import { ... } from 'pg/lib/utils'` finds.

import { createRequire } from 'node:module';

const utils = createRequire(import.meta.url)('./lib-utils.js');

export const { prepareValue } = utils;
export default utils;
