// Generates the types of the API (generated/schema.d.ts) from the repository's OpenAPI document.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import openapiTS, { astToString } from 'openapi-typescript';

const document = new URL('../../../docs/openapi.json', import.meta.url);
const folder = new URL('../generated/', import.meta.url);
const target = fileURLToPath(new URL('schema.d.ts', folder));

const types = astToString(await openapiTS(document, { alphabetize: true, defaultNonNullable: false }));
if (!existsSync(target) || readFileSync(target, 'utf8') !== types) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${target}.${process.pid}`, types);
  renameSync(`${target}.${process.pid}`, target);
}
