// Leaves the lock file that node_modules was installed from inside it, so that the cargo build can tell
// whether an installation is due.
import { copyFileSync, existsSync } from 'node:fs';

const folder = new URL('../', import.meta.url);
if (existsSync(new URL('node_modules/', folder)) && existsSync(new URL('package-lock.json', folder))) {
  copyFileSync(new URL('package-lock.json', folder), new URL('node_modules/.sluice-installed', folder));
}
