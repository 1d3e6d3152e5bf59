// Prints what the browser loads before the Overview page stands, compressed, and fails above the budget.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BUDGET_BYTES = 300 * 1024;
const dist = new URL(`${process.argv[2] ?? '../dist'}/`, import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));

const size = file => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
const print = (label, bytes) => console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KB  ${label}`);

/** Files that a chunk needs, its static imports and their style sheets included. */
function closure(name, seen = new Set()) {
  const chunk = manifest[name];
  for (const file of [chunk.file, ...(chunk.css ?? [])]) seen.add(file);
  for (const other of chunk.imports ?? []) if (!seen.has(manifest[other].file)) closure(other, seen);
  return seen;
}

// The canvas of charts is asked for by the page when it stands: it belongs to what the page needs.
const OVERVIEW = ['index.html', 'src/pages/overview/index.tsx', 'src/kit/TimePlot.tsx'];
const initial = new Set(OVERVIEW.flatMap(name => [...closure(name)]));
let total = 0;
console.log('Overview, everything it needs, gzipped:');
for (const file of ['index.html', ...initial]) {
  const bytes = size(file);
  total += bytes;
  print(file, bytes);
}
print('in all', total);

console.log('\nWhat each other page adds:');
for (const name of Object.keys(manifest)
  .filter(key => key.startsWith('src/pages/'))
  .sort()) {
  const added = [...closure(name)].filter(file => !initial.has(file));
  print(
    name,
    added.reduce((sum, file) => sum + size(file), 0),
  );
}
if (total > BUDGET_BYTES) {
  console.error(`\nabove the budget of ${BUDGET_BYTES / 1024} KB`);
  process.exit(1);
}
