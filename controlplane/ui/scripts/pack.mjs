// Compresses a built dashboard for embedding: `node pack.mjs <dist> <packed>`. Writes for file number N the files N.gz and N.br, and
// a table with one line a file: number, path, media type, strong ETag, whether its name holds a hash. Fields are separated by tabs.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { extname, join, posix, relative, sep } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

const [dist, packed] = process.argv.slice(2);
rmSync(packed, { recursive: true, force: true });
mkdirSync(packed, { recursive: true });

const files = readdirSync(dist, { recursive: true })
  .filter(file => statSync(join(dist, file)).isFile())
  .map(file => relative('.', file).split(sep).join(posix.sep))
  .filter(file => !file.startsWith('.vite/'))
  .sort();

const rows = files.map((file, number) => {
  const type = TYPES[extname(file)];
  if (type === undefined) throw new Error(`no media type is known for ${file}`);
  const bytes = readFileSync(join(dist, file));
  writeFileSync(join(packed, `${number}.raw`), bytes);
  writeFileSync(join(packed, `${number}.gz`), gzipSync(bytes, { level: 9 }));
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  writeFileSync(join(packed, `${number}.br`), brotliCompressSync(bytes, { params }));
  const etag = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
  return [number, file, type, etag, file.startsWith('assets/')].join('\t');
});
writeFileSync(join(packed, 'table.tsv'), `${rows.join('\n')}\n`);
