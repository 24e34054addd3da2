// The subscriber of docs/connect/medusa.md as JavaScript, where Medusa looks for subscribers, as `medusa build` would put it.
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { transformSync } = require('@swc/core');

const options = { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } };
const place = join(__dirname, 'src', 'subscribers');
mkdirSync(place, { recursive: true });
writeFileSync(join(place, 'ariane.js'), transformSync(readFileSync(process.argv[2], 'utf8'), options).code);
