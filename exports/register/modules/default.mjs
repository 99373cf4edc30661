// Each import has a URL of its own, which names the file: default.mjs?name=pg-cursor

import { createRequire } from 'node:module';

const name = new URL(import.meta.url).searchParams.get('name');

export default createRequire(import.meta.url)(`./${name}.js`);
